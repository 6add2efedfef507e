#!/usr/bin/env bash
# Puts a Rust toolchain into the cache folder when this machine has none, or one that is too old (Debian 12's is).
#
#   rust.sh CACHE
#
# A cargo that is new enough is used as it is. Otherwise the pinned toolchain comes from rust-lang.org by rustup, with
# everything in CACHE (CACHE/rust is the toolchain; the Makefile puts its bin/ first in PATH), nothing in the home folder.
set -euo pipefail
cache=${1:?usage: rust.sh CACHE}
toolchain=1.95.0
checkout=$(cd "$(dirname "$0")/../.." && pwd)
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$checkout/Cargo.toml")

at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; } # MINIMUM VERSION

if [ ! -x "$cache/rust/bin/cargo" ] && command -v cargo >/dev/null; then
  found=$(cargo --version 2>/dev/null | cut -d' ' -f2)
  if at_least "$wanted" "${found:-0}"; then
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
      echo "setup: make test also needs rustfmt and clippy: rustup component add rustfmt clippy" >&2
    exit 0
  fi
  echo "setup: cargo ${found:-without a toolchain} is older than $wanted"
fi
if [ -x "$cache/rust/bin/cargo" ]; then exit 0; fi

target=$(uname -m)-unknown-linux-gnu
server=${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}/dist/$target
echo "setup: Rust $toolchain from ${server%/rustup/*}, into $cache/rustup"
mkdir -p "$cache"
work=$(mktemp -d "$cache/.rustup-init.XXXXXX")
trap 'rm -rf "$work"' EXIT
help="install Rust $wanted or later by hand (https://rustup.rs), then run this again"
curl -fsSL --retry 2 -o "$work/rustup-init" "$server/rustup-init" &&
  curl -fsSL --retry 2 -o "$work/sha256" "$server/rustup-init.sha256" ||
  { echo "setup: rustup cannot be fetched from $server: $help" >&2; exit 1; }
[ "$(sha256sum <"$work/rustup-init" | cut -c1-64)" = "$(cut -c1-64 "$work/sha256")" ] ||
  { echo "setup: $server/rustup-init does not have the checksum that is published beside it: $help" >&2; exit 1; }
chmod +x "$work/rustup-init"
# CARGO_HOME goes away with $work: cargo would prefer rustup's stand-ins there to the toolchain's own cargo-fmt.
RUSTUP_HOME=$cache/rustup CARGO_HOME=$work/cargo "$work/rustup-init" -y -q --no-modify-path --profile minimal \
  --component rustfmt --component clippy --default-toolchain "$toolchain" >"$work/log" 2>&1 ||
  { tail -n 5 "$work/log" >&2; echo "setup: rustup could not install Rust $toolchain: $help" >&2; exit 1; }
ln -sfn "rustup/toolchains/$toolchain-$target" "$cache/rust"
