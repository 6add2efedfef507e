#!/usr/bin/env bash
# Writes .cargo/config.toml, so that a plain `cargo build`, or an editor's rust-analyzer, builds what make builds: the
# same libtorch, the same target folder. The variables of the same names, where set, win over it. git ignores it.
#
#   LIBTORCH=DIR CARGO_TARGET_DIR=DIR cargo-config.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -e "$LIBTORCH/lib" ] ||
  { echo "setup: LIBTORCH=$LIBTORCH has no lib/: unset it, and make setup fetches libtorch" >&2; exit 1; }
config="# Written by make setup.
[env]
LIBTORCH = \"$LIBTORCH\"

[build]
target-dir = \"$CARGO_TARGET_DIR\""
[ "$(cat .cargo/config.toml 2>/dev/null)" = "$config" ] && exit 0
mkdir -p .cargo
echo "$config" >.cargo/config.toml
