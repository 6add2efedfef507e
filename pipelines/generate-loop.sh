#!/bin/sh
# A video that can be repeated without a seam: after four random pictures the walk is back at its first.
gst-launch-1.0 torchsrc model-file=cells-gan loop=4 walk-speed=1 num-buffers=120 ! video/x-raw,width=256,height=256,framerate=30/1 \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
