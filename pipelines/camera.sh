#!/bin/sh
# Tracks people before a camera, on the screen. When the network is too slow for the camera's rate, frames pass without a
# new detection rather than late; the tracker carries the boxes over.
gst-launch-1.0 v4l2src ! videoconvert \
  ! torchdetect late-policy=passthrough ! torchtrack ! torchoverlay \
  ! videoconvert ! autovideosink
