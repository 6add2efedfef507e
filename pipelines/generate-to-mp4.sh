#!/bin/sh
# Video out of a network: eight seconds of a road that it goes along by itself, the same for the same seed.
gst-launch-1.0 torchsrc seed="${SEED:-7}" num-buffers=200 ! video/x-raw,width=640,height=360,framerate=25/1 \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
