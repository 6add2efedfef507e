#!/bin/sh
# Only what the detector found is restored, at the cost of that part of the frame; the rest stays bit for bit.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin \
  ! torchdetect ! torchrestore inference-region=roi-list object-class=person \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
