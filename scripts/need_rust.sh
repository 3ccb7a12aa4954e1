#!/bin/sh
# need_rust.sh: makes sure that rustc and cargo are there and as new as Cargo.toml's rust-version; else says what to run.
set -eu
cd "$(dirname "$0")/.."
wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$wanted" ] || { echo "Cargo.toml names no rust-version" >&2; exit 1; }
here=
if command -v cargo >/dev/null 2>&1; then
    # "rustc 1.90.0 (hash date)"; nothing where rustup is there without a toolchain.
    here=$(rustc --version 2>/dev/null | cut -d ' ' -f 2 || true)
fi
if [ -n "$here" ] && [ "$(printf '%s\n%s\n' "$wanted" "${here%%-*}" | sort -V | head -n 1)" = "$wanted" ]; then
    exit 0
fi
echo "Rust $wanted or newer is needed, ${here:-none} is here; run this, then make again:" >&2
if command -v rustup >/dev/null 2>&1; then
    echo "    rustup update stable && rustup default stable" >&2
else
    echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y" >&2
fi
exit 1
