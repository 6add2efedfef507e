#!/bin/sh
# A clip compressed with the autoencoder codec at 300 kbit/s. gst-play-1.0 out.tvc shows it, and seeks in it.
gst-launch-1.0 filesrc location="${CLIP:-clip.mp4}" ! decodebin ! videoconvert \
  ! torchenc bitrate=300 ! filesink location=out.tvc
