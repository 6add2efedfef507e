#!/bin/sh
# Live, by the clock, for as long as you look.
gst-launch-1.0 torchsrc is-live=true num-buffers=${FRAMES:-150} ! video/x-raw,width=512,height=512,framerate=30/1 \
  ! videoconvert ! autovideosink
