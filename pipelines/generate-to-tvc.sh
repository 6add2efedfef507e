#!/bin/sh
# Generated and compressed by networks from end to end.
gst-launch-1.0 torchsrc num-buffers=60 ! video/x-raw,format=I420,width=320,height=180 ! torchenc quality=60 \
  ! filesink location=out.tvc
