#!/bin/sh
# A camera, and a generator beside it for as many frames as you say, mixed as any two sources are.
gst-launch-1.0 compositor name=mix sink_1::xpos=320 ! videoconvert ! autovideosink \
  v4l2src ! videoconvert ! videoscale ! video/x-raw,width=320,height=240 ! queue ! mix.sink_0 \
  torchsrc is-live=true num-buffers=${FRAMES:-90} ! video/x-raw,width=320,height=180,framerate=25/1 ! queue ! mix.sink_1
