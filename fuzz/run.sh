#!/bin/sh
# Runs every fuzz target for SECONDS (default 60) each, one after another; ends with an error at the first crash.
# Targets can be named: fuzz/run.sh request_head chunked. Installs cargo-fuzz and a nightly compiler if they are missing.
set -eu
cd "$(dirname "$0")"
SECONDS_EACH=${SECONDS_EACH:-${SECONDS:-60}}
# In some shells SECONDS counts by itself; a number below one makes no sense.
[ "$SECONDS_EACH" -ge 1 ] 2>/dev/null || SECONDS_EACH=60
TOOLCHAIN=${FUZZ_TOOLCHAIN:-nightly}

rustup run "$TOOLCHAIN" rustc --version >/dev/null 2>&1 || rustup toolchain install "$TOOLCHAIN" --profile minimal
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

# The files of the unit tests are a good beginning.
mkdir -p corpus/request_head corpus/chunked corpus/conf corpus/config
for file in ../crates/wire/tests/h1/valid/*.http ../crates/wire/tests/h1/invalid/*.http; do
    cp -n "$file" corpus/request_head/ 2>/dev/null || true
    # What follows the head's blank line is a chunked body or nothing.
    awk 'body { print } /^\r$/ { body = 1 }' "$file" > "corpus/chunked/$(basename "$file")"
done
find corpus/chunked -size 0 -delete
for file in ../tests/config/*/*.conf ../tests/config/*/*/*.conf; do
    for target in conf config; do
        cp -n "$file" "corpus/$target/$(basename "$(dirname "$file")")-$(basename "$file")" 2>/dev/null || true
    done
done

[ $# -gt 0 ] || set -- request_head answer_head chunked range uri conf config websocket forwarded proxy_protocol passwords
for target in "$@"; do
    echo "== $target, $SECONDS_EACH s"
    mkdir -p "corpus/$target"
    cargo "+$TOOLCHAIN" fuzz run "$target" "corpus/$target" -- \
        -max_total_time="$SECONDS_EACH" -max_len=4096 -timeout=10 -print_final_stats=1
done
echo "no crashes"
