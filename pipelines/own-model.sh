#!/bin/sh
# Detects with a model of your own: a TorchScript file, a card that describes one, or a built-in name.
# MODEL=yolov8n.torchscript CLIP=street.mp4 pipelines/own-model.sh
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin \
  ! torchdetect model-file="${MODEL:-person}" class-confidence-threshold=0.5 ! torchoverlay \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
