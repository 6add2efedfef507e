#!/bin/sh
# A clip that lost every tenth frame on its way: torchinterpolate makes them anew, at the times that they had.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin ! videoconvert ! identity drop-probability=0.1 \
  ! torchinterpolate ! x264enc speed-preset=ultrafast ! mp4mux ! filesink location=whole.mp4
