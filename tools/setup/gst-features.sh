#!/usr/bin/env bash
# Prints the crate features that the installed GStreamer allows, the newest one (they chain), or nothing for 1.22.
set -eu
for minor in 28 24; do
  if pkg-config --exists "gstreamer-video-1.0 >= 1.$minor"; then echo "gst-plugin-torch/v1_$minor"; break; fi
done
