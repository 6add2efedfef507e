#!/bin/sh
# Live, by the clock, for as long as you look.
gst-launch-1.0 torchsrc is-live=true num-buffers=${FRAMES:-150} ! video/x-raw,width=640,height=360,framerate=25/1 \
  ! videoconvert ! autovideosink
