#!/bin/sh
# A network of your own, in TorchScript: what it takes and gives is found out, or said by a card or by properties.
# MODEL=dncnn.pt CLIP=night.mp4 pipelines/restore-own-model.sh
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin \
  ! torchrestore model-file="${MODEL:-denoise}" tile-size=256 \
  ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux ! filesink location=out.mp4
