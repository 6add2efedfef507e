#!/bin/sh
# Tasks chain: first the noise goes, then the picture doubles, so that noise is not enlarged. Each may be weaker than all it can.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin \
  ! torchrestore strength=0.8 ! torchrestore task=super-resolution \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
