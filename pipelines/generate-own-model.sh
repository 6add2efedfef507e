#!/bin/sh
# A decoder of your own: TorchScript, a card, or a built-in name. What it takes and what its numbers mean is found out.
# MODEL=my-generator.pt pipelines/generate-own-model.sh
gst-launch-1.0 torchsrc model-file="${MODEL:-cells-gan}" mode=noise num-buffers=60 \
  ! video/x-raw,width=256,height=256,framerate=5/1 ! videoconvert ! x264enc speed-preset=veryfast ! mp4mux \
  ! filesink location=out.mp4
