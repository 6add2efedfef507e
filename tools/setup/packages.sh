#!/usr/bin/env bash
# Installs the Debian packages that GstTorch is built, tested and shown with: only those that are missing, with sudo
# when not root. Says nothing and asks nothing when all are there.
set -euo pipefail

packages=(
  # to build
  build-essential pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev meson ninja-build
  # to fetch and unpack libtorch and Rust
  ca-certificates curl python3-pip unzip
  # to run: demuxers, decoders, converters, x264
  gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
  gstreamer1.0-plugins-ugly gstreamer1.0-libav
)

# Another system's package manager is left alone: what is missing is named, and the build says the rest.
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  pkg-config --exists 'gstreamer-video-1.0 >= 1.22' 2>/dev/null ||
    { echo "setup: this is no Debian: install what Debian calls ${packages[*]}" >&2; exit 1; }
  exit 0
fi

installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^installed //p' || true)
missing=()
for package in "${packages[@]}"; do
  grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID)); then
  command -v sudo >/dev/null ||
    { echo "setup: missing packages, and neither root nor sudo: apt-get install ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "setup: installing ${missing[*]}"
# The lists may be fresh enough: they are fetched only when they do not serve, which saves a second or many.
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends)
"${install[@]}" "${missing[@]}" 2>/dev/null >/dev/null && exit 0
"${as_root[@]}" apt-get update -q
"${install[@]}" "${missing[@]}" ||
  { echo "setup: apt-get could not install ${missing[*]}: see its message above" >&2; exit 1; }
