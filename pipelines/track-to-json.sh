#!/bin/sh
# Who is where, frame by frame, as JSON lines with steady track numbers; nothing is drawn. The sink does not wait for the
# clip's clock, so this runs as fast as the machine can.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin \
  ! torchdetect ! torchtrack ! torchmeta location=out.jsonl \
  ! fakesink sync=false
