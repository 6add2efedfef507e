#!/usr/bin/env bash
# Prints the path of vtest.avi (pedestrians, 768x576, 795 frames), the clip that the demo shows. It is part of Debian's
# opencv-doc package, which is downloaded and unpacked into the cache folder once, not installed.
#
#   clip.sh CACHE
set -euo pipefail
cache=${1:?usage: clip.sh CACHE}
folder=$cache/opencv-doc
clip=usr/share/doc/opencv-doc/examples/data/vtest.avi
if [ -e "$folder/$clip" ]; then echo "$folder/$clip"; exit; fi
if [ -e "/$clip" ]; then echo "/$clip"; exit; fi # installed

mkdir -p "$cache"
work=$(mktemp -d "$cache/.opencv-doc.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
# apt drops its rights to download, and a folder under /root is out of reach without them: it then says so, at length.
(cd "$work" && apt-get download -q opencv-doc >log 2>&1) || { grep -E '^E:' "$work/log" >&2 || true
  echo "demo: opencv-doc cannot be downloaded (apt-get update?); any file will do: make demo CLIP=FILE" >&2; exit 1; }
dpkg -x "$work"/opencv-doc_*.deb "$work/root"
[ -e "$work/root/$clip" ] || { echo "demo: opencv-doc holds no vtest.avi any more: make demo CLIP=FILE" >&2; exit 1; }
rm -rf "$folder"
mv -T "$work/root" "$folder"
echo "$folder/$clip"
