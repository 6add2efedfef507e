#!/bin/sh
# Bits go where people are: coarse all over, 25 quality points finer inside the boxes of the detector.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin ! videoconvert \
  ! torchdetect ! torchenc quality=30 roi-quality=25 ! filesink location=out.tvc
