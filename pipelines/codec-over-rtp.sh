#!/bin/sh
# The autoencoder codec over a network that loses every twentieth packet, on one machine. rtpgstpay repeats the caps every
# second, so a receiver may come late; a lost picture is concealed until the next key frame. The received stream has no end,
# so this one stops after 45 packets.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin ! videoconvert ! videoscale ! video/x-raw,width=320,height=240 \
  ! torchenc bitrate=100 key-int-max=10 ! rtpgstpay config-interval=1 \
  ! udpsink host=127.0.0.1 port="${PORT:-5006}" \
  udpsrc port="${PORT:-5006}" num-buffers=45 \
  caps=application/x-rtp,media=application,clock-rate=90000,encoding-name=X-GST \
  ! identity drop-probability=0.05 ! rtpjitterbuffer ! rtpgstdepay ! torchdec \
  ! videoconvert ! x264enc tune=zerolatency ! matroskamux ! filesink location=out.mkv async=false
