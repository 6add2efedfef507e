#!/bin/sh
# Video out of a network: ten seconds of a walk through what the built-in GAN has learnt, the same for the same seed.
gst-launch-1.0 torchsrc seed="${SEED:-7}" walk-speed=1 num-buffers=300 ! video/x-raw,width=512,height=512,framerate=30/1 \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
