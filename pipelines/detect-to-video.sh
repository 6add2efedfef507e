#!/bin/sh
# Boxes around the people of a clip, drawn into an mp4: CLIP=street.mp4 pipelines/detect-to-video.sh
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin \
  ! torchdetect ! torchoverlay \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
