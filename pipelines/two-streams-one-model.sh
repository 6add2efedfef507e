#!/bin/sh
# Two streams, side by side. Both detectors name the same model: it is loaded once, and frames that wait together run as
# one batch.
gst-launch-1.0 compositor name=wall sink_1::xpos=640 \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4 \
  filesrc location="${CLIP:-clip.mp4}" ! decodebin ! torchdetect ! torchoverlay \
  ! videoconvertscale ! video/x-raw,width=640,height=480 ! queue ! wall.sink_0 \
  filesrc location="${CLIP:-clip.mp4}" ! decodebin ! torchdetect ! torchoverlay \
  ! videoconvertscale ! video/x-raw,width=640,height=480 ! queue ! wall.sink_1
