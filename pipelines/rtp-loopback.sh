#!/bin/sh
# A network camera on one machine: the clip leaves as RTP in real time, comes back, is decoded, analysed and listed. A
# received stream has no end, so this one stops after 100 packets; nor has it anything to show before the sender plays,
# hence async=false.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin ! videoconvert \
  ! x264enc tune=zerolatency speed-preset=veryfast bitrate=1000 ! rtph264pay config-interval=-1 \
  ! udpsink host=127.0.0.1 port="${PORT:-5004}" \
  udpsrc port="${PORT:-5004}" num-buffers=100 caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=H264 \
  ! rtpjitterbuffer ! rtph264depay ! avdec_h264 \
  ! torchdetect ! torchtrack ! torchmeta location=out.jsonl ! fakesink async=false
