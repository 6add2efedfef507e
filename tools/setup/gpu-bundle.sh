#!/usr/bin/env bash
# Builds plugin and command line against the tch and libtorch of a GPU machine that has Python's torch 2.11 and packs
# them, with a GStreamer runtime, into one folder (and FOLDER.tar.xz) that runs there: no packages, no root.
#
#   GST_TORCH_CACHE=CACHE gpu-bundle.sh FOLDER [FILE ...]
#
# FOLDER/bin   gst-launch-1.0, gst-inspect-1.0, gst-torch, executables among the FILEs
# FOLDER/gst   our plugin and GStreamer's
# FOLDER/lib   shared libraries they need; CUDA, libtorch and the C library are that machine's
# FOLDER/files all other FILEs
#
# There:  . FOLDER/env.sh && gst-torch doctor
set -euo pipefail
folder=${1:?usage: gpu-bundle.sh FOLDER [FILE ...]}; shift
torch=2.11.0 tch=0.24.0
setup=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$setup/../.." && pwd)
cache=${GST_TORCH_CACHE:?}

"$setup/libtorch.sh" "$torch" cpu "$cache/libtorch-$torch-cpu"
export LIBTORCH=$cache/libtorch-$torch-cpu CARGO_TARGET_DIR=$cache/target-gpu-bundle

# A workspace of its own, of links: the sources are the checkout's, the lock with the older tch is not.
workspace=$cache/gpu-bundle
mkdir -p "$workspace"
for part in Cargo.toml runtime models plugins tools tests; do ln -sfn "$checkout/$part" "$workspace/$part"; done
if [ "$checkout/Cargo.lock" -nt "$workspace/Cargo.lock" ]; then
  cp "$checkout/Cargo.lock" "$workspace/Cargo.lock"
  (cd "$workspace" && "$setup/cargo.sh" update -q -p tch --precise "$tch" && "$setup/cargo.sh" update -q -p torch-sys --precise "$tch")
fi
(cd "$workspace" && "$setup/cargo.sh" build --release --workspace --locked --config build.target-dir="'$CARGO_TARGET_DIR'")

# What the elements are used with: sources, containers, decoders, converters, encoders, network.
plugins=(coreelements coretracers app typefindfunctions playback gio autodetect debug
  videotestsrc videoconvertscale videorate videofilter videocrop videobox compositor overlaycomposition
  videoparsersbad rawparse y4mdec y4menc jpeg png x264 openh264 nvcodec
  multifile matroska isomp4 avi udp rtp rtpmanager tcp)
multiarch=$(pkg-config --variable=pluginsdir gstreamer-1.0)
scanner=$(pkg-config --variable=pluginscannerdir gstreamer-1.0)/gst-plugin-scanner

rm -rf "$folder"
mkdir -p "$folder"/{bin,gst,lib,files}
for plugin in "${plugins[@]}"; do
  cp "$multiarch/libgst$plugin.so" "$folder/gst/" 2>/dev/null || echo "gpu-bundle: GStreamer's $plugin is not installed: left out"
done
cp "$CARGO_TARGET_DIR/release/libgsttorch.so" "$folder/gst/"
cp "$(command -v gst-launch-1.0)" "$(command -v gst-inspect-1.0)" "$scanner" "$CARGO_TARGET_DIR/release/gst-torch" "$folder/bin/"
for file in "$@"; do
  if [ -f "$file" ] && [ "$(head -c4 "$file" | tail -c3)" = ELF ]; then cp -L "$file" "$folder/bin/"; else cp -rL "$file" "$folder/files/"; fi
done

theirs='/(ld-linux|lib(c|m|dl|rt|pthread|resolv|util|stdc\+\+|gcc_s|gomp|c10)[-.]|lib(torch|cuda|cupti|nv))[^/]*$'
find "$folder/bin" "$folder/gst" -type f -exec ldd {} \; 2>/dev/null | awk '/=> \//{print $3}' | sort -u |
  grep -Ev "$theirs" | xargs -r cp -L -t "$folder/lib"
strip --strip-unneeded "$folder"/lib/* "$folder"/gst/*.so "$folder/bin/gst-torch"

cat >"$folder/env.sh" <<'ENV'
# To be sourced: finds libtorch and CUDA where this machine's Python has them.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libraries=$(python3 - <<'PYTHON'
import glob, os, torch
site = os.path.dirname(os.path.dirname(torch.__file__))
print(":".join([os.path.join(site, "torch", "lib"), *sorted(glob.glob(os.path.join(site, "nvidia", "*", "lib")))]))
PYTHON
)
export PATH="$here/bin:$PATH" LD_LIBRARY_PATH="$here/lib:$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export GST_PLUGIN_SYSTEM_PATH_1_0= GST_PLUGIN_PATH_1_0="$here/gst" GST_PLUGIN_SCANNER="$here/bin/gst-plugin-scanner"
export GST_REGISTRY="${TMPDIR:-/tmp}/gst-torch-registry.bin"
ENV
XZ_OPT=-T0 tar -C "$(dirname "$folder")" -cJf "$folder.tar.xz" "$(basename "$folder")"
du -shc "$folder" "$folder.tar.xz" | awk '/bundle/ {print "gpu-bundle: " $2 ", " $1}'
