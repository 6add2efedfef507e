#!/bin/sh
# Twice as wide and high. The element tells its neighbours the sizes; no caps have to be written.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin ! videoconvert \
  ! torchrestore task=super-resolution scale=2 \
  ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
