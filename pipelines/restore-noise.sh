#!/bin/sh
# Takes the noise out of a clip, as much as there is. CLIP=night.mp4 pipelines/restore-noise.sh
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin \
  ! torchrestore \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
