#!/bin/sh
# Runs the network on every third frame only, at a third of the cost; between detections the tracker moves the boxes on.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin \
  ! torchdetect inference-interval=3 ! torchtrack ! torchoverlay \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
