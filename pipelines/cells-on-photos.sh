#!/bin/sh
# Counts blood cells on microscope photos: PHOTOS=smear-%03d.jpg, numbered from 000. Each photo comes back with its boxes
# drawn, and the boxes are listed.
gst-launch-1.0 multifilesrc location="${PHOTOS:-photo-%03d.jpg}" caps=image/jpeg,framerate=1/1 ! jpegdec \
  ! torchdetect model-file=cells ! torchmeta location=cells.jsonl ! torchoverlay \
  ! videoconvert ! jpegenc ! multifilesink location=cells-%03d.jpg
