#!/bin/sh
# A clip at 50 frames a second, whatever it had: the frames between are made.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin ! videoconvert ! torchinterpolate \
  ! video/x-raw,framerate=50/1 ! x264enc speed-preset=ultrafast ! mp4mux ! filesink location=smooth.mp4
