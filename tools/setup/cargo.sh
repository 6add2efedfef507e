#!/usr/bin/env bash
# Runs cargo: the one that rust.sh put into the cache folder, where it had to, else the one in PATH.
#
#   GST_TORCH_CACHE=CACHE cargo.sh ARGUMENTS
set -eu
rust=${GST_TORCH_CACHE:?}/rust
if [ -x "$rust/bin/cargo" ]; then
  export PATH="$rust/bin:$PATH" CARGO_HOME="$GST_TORCH_CACHE/cargo"
fi
exec cargo "$@"
