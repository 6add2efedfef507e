#!/bin/sh
# Tasks chain: first what compression left, then what darkness hid. Each may be weaker than all it can.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin \
  ! torchrestore task=deblock ! torchrestore task=low-light strength=0.6 \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
