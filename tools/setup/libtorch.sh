#!/usr/bin/env bash
# Fills a libtorch folder from the PyPI wheels of one torch version: what C++ needs, without Python's part.
#
#   libtorch.sh VERSION cpu|cuda FOLDER
#
# FOLDER/lib      what the plugin is linked against and finds at run time: libtorch_cpu, libc10, libgomp and the two small
#                 CUDA libraries that libtorch_cpu names; libtorch.so is a stub that stands for libtorch_cpu
# FOLDER/include  the C++ headers
# FOLDER/full     with cuda: every library of the wheels; FOLDER/lib then holds links into it
#
# torch-sys links libtorch_cuda.so as soon as it lies in lib/, so CUDA never does: the runtime opens it from the folder
# that holds the real libtorch_cpu.so when a device wants it. FOLDER appears whole or not at all.
set -euo pipefail
version=${1:?usage: libtorch.sh VERSION cpu|cuda FOLDER} kind=${2:?cpu or cuda} folder=${3:?FOLDER}
[ -e "$folder/lib/libtorch.so" ] && exit 0

fail() { echo "setup: $*" >&2; exit 1; }
python=$(for p in python3 /usr/bin/python3; do "$p" -m pip --version >/dev/null 2>&1 && echo "$p" && break; done) ||
  fail "no python3 with pip to fetch libtorch with: apt-get install python3-pip"

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock" # two runs at once: the second waits, then finds the folder
flock 9
[ -e "$folder/lib/libtorch.so" ] && exit 0
work=$(mktemp -d "$(dirname "$folder")/.libtorch.XXXXXX")
trap 'rm -rf "$work" "$folder.lock"' EXIT

# Which Python the wheels are for does not matter to what is taken out of them; 3.11 is one that all of them serve.
fetch() {
  "$python" -m pip download -q --no-cache-dir --disable-pip-version-check --only-binary=:all: --python-version 3.11 \
    -d "$work" "$@" || fail "pip could not download $*: see its message above"
}
echo "setup: libtorch $version ($kind) from PyPI, into $folder"
fetch --no-deps "torch==$version"
torch=$(echo "$work"/torch-*.whl)

# The wheel itself says which CUDA libraries go with it.
needs=$(unzip -p "$torch" '*.dist-info/METADATA' | sed -nE 's/^Requires-Dist: ((cuda-toolkit|nvidia-)[^ ;]*).*Linux.*/\1/p')
toolkit=$(sed -nE 's/^cuda-toolkit\[.*\]==(.*)/\1/p' <<<"$needs")
[ -n "$toolkit" ] || fail "the torch $version wheel does not name its CUDA toolkit as this script expects"
case $kind in
  cpu) fetch "cuda-toolkit[cudart,cupti]==$toolkit" ;;
  cuda) fetch $needs ;; # one requirement a word
  *) fail "cpu or cuda, not $kind" ;;
esac

mkdir -p "$work/new/lib" "$work/python"
unzip -q "$torch" 'torch/include/*' 'torch/lib/*.so*' -x 'torch/lib/libtorch_python*' -d "$work/python"
for wheel in "$work"/nvidia_*.whl; do unzip -qjo "$wheel" 'nvidia/*/lib/*.so*' -d "$work/python/torch/lib"; done
mv "$work/python/torch/include" "$work/new/include"

linked=(libtorch_cpu.so libc10.so libgomp.so.1 libcudart.so.13 libcupti.so.13)
if [ "$kind" = cuda ]; then
  mv "$work/python/torch/lib" "$work/new/full"
  for library in "${linked[@]}"; do ln -s "../full/$library" "$work/new/lib/$library"; done
else
  for library in "${linked[@]}"; do mv "$work/python/torch/lib/$library" "$work/new/lib/"; done
fi
# libtorch.so of the wheels names libtorch_cuda; ours names only libtorch_cpu.
gcc -shared -x c /dev/null -o "$work/new/lib/libtorch.so" -L"$work/new/lib" -Wl,--no-as-needed -ltorch_cpu \
  -Wl,-soname,libtorch.so -Wl,-rpath,'$ORIGIN' -Wl,--allow-shlib-undefined
echo "$version" >"$work/new/build-version"
rm -rf "$folder"
mv -T "$work/new" "$folder"
