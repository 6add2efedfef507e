#!/bin/sh
# One network makes pictures, the next makes them twice as large, better than stretching does.
gst-launch-1.0 torchsrc num-buffers=120 ! video/x-raw,format=I420 ! torchrestore task=super-resolution \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
