#!/bin/bash
# Runs the fuzz targets of tests/fuzz, COUNT inputs each. With the coverage that libFuzzer wants and without a sanitizer, which
# would need a nightly compiler: arithmetic and bounds are checked by Rust itself.
set -euo pipefail
count=$1
cd "$(dirname "$0")/../../tests/fuzz"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/fuzz
passes="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
# No traces of comparisons: what an arithmetic decoder compares tells nothing of its input, and tracing takes half of the time.
export RUSTFLAGS="--cfg fuzzing $passes -Cllvm-args=-sanitizer-coverage-pc-table"
target=x86_64-unknown-linux-gnu
cargo build --release --target $target
# A block takes a hundred bytes or two; what follows is decoded all the same, and takes as long again.
declare -A longest=([pictures]=600)
for name in units latents arrays pictures; do
    mkdir -p "corpus/$name" artifacts
    echo "fuzz: $name, $count inputs"
    "$CARGO_TARGET_DIR/$target/release/$name" "corpus/$name" $([ -d "seeds/$name" ] && echo "seeds/$name") -runs="$count" \
        -rss_limit_mb=512 -timeout=10 -max_len="${longest[$name]:-4096}" -print_final_stats=1 -artifact_prefix=artifacts/ 2>&1 | tail -n 12
done
