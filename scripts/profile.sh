#!/bin/sh
# profile.sh: what the compiler knows of how the extension runs under load (profile-guided optimization).
set -eu
unset CDPATH PENSTOCK_PROFILE
cd "$(dirname "$0")/.."

help() {
    cat >&2 <<'END'
profile.sh file              the file of the profile that fits, whether it is there or not
profile.sh use COMMAND ARG…  runs maturin with that profile, or as it stands where there is none
profile.sh make              makes the profile anew with the maturin of .venv
END
    exit 2
}

rustc=${RUSTC:-rustc}

# fact NAME: what the compiler says of it.
fact() { echo "$compiler" | sed -n "s/^$1: //p"; }

llvm() { fact 'LLVM version' | cut -d . -f 1; }

# A profile calls functions by names that hold the release of rustc, the host, the version of every crate, and settings.
look() {
    compiler=$("$rustc" --version --verbose)
    crates=$(cat Cargo.toml native/core/Cargo.toml native/binding/Cargo.toml Cargo.lock .cargo/config.toml)
    crates=$(printf '%s' "$crates" | cksum | cut -d ' ' -f 1)
    profile="native/profile/$(fact release)-llvm$(llvm)-$(fact host)-$crates.profdata"
}

target() {
    mkdir -p "${CARGO_TARGET_DIR:-target}"
    (cd "${CARGO_TARGET_DIR:-target}" && pwd)
}

# Flags of the environment replace those of any configuration.
has_flags() { env | grep -Eq '^(RUSTFLAGS|CARGO_ENCODED_RUSTFLAGS|CARGO_TARGET_[A-Z0-9_]+_RUSTFLAGS)='; }

# without WHY COMMAND…: the build as it stands.
without() {
    echo "note: $1, so the extension is built without a profile (CONTRIBUTING.md)" >&2
    shift
    exec "$@"
}

use() {
    look
    at=$(target)
    case $at in
        *\'*) without "the path of $at is not for TOML" "$@" ;;
    esac
    if has_flags; then
        without "RUSTFLAGS is set" "$@"
    elif [ ! -f "$profile" ]; then
        without "$profile is not there" "$@"
    fi
    # Its path is part of what cargo knows a build by: one for all clones that share a target directory, and a new one
    # for new content.
    copy="$at/profile-$(cksum <"$profile" | tr ' ' '-').profdata"
    if [ ! -f "$copy" ]; then
        cp "$profile" "$copy.$$"
        mv "$copy.$$" "$copy"
    fi
    PENSTOCK_PROFILE=$(basename "$profile" .profdata)
    export PENSTOCK_PROFILE
    # Functions that changed since are compiled without it; which ones, only the next `make profile` needs to know.
    exec "$@" --config "build.rustflags=['-Cprofile-use=$copy', '-Cllvm-args=-no-pgo-warn-mismatch']"
}

# The tool that reads counts, of the compiler's own LLVM: rustup's component, or Debian's package.
profdata() {
    own="$("$rustc" --print sysroot)/lib/rustlib/$(fact host)/bin/llvm-profdata"
    if [ -x "$own" ]; then
        echo "$own"
    else
        scripts/need.sh "llvm-profdata-$(llvm)" "llvm-$(llvm)" || {
            echo "or: rustup component add llvm-tools" >&2
            return 1
        }
        echo "llvm-profdata-$(llvm)"
    fi
}

make_anew() {
    if has_flags; then
        echo "RUSTFLAGS is set: unset it, or nothing is counted" >&2
        exit 1
    fi
    look
    tool=$(profdata)
    at=$(mktemp -d "$(target)/profile.XXXXXX")
    trap 'rm -rf "$at"' EXIT
    trap 'exit 130' INT TERM HUP
    # Macros and build scripts count too, and are not asked. A target directory of its own: nobody shall find this library.
    LLVM_PROFILE_FILE=/dev/null CARGO_TARGET_DIR="$(target)/profile-generate" .venv/bin/maturin build \
        --release --locked --quiet --out "$at/wheel" --config "build.rustflags=['-Cprofile-generate']"
    .venv/bin/python -m zipfile -e "$at"/wheel/*.whl "$at/package"
    for part in loads kinds; do
        LLVM_PROFILE_FILE="$at/$part/%m.profraw" PYTHONPATH="$at/package:$PWD" .venv/bin/python -m bench.train $part
        "$tool" merge --sparse --output "$at/$part.profdata" "$at/$part"
    done
    mkdir -p native/profile
    # The loads answer hundreds of thousands of chat completions; the other kinds are no rarer elsewhere.
    "$tool" merge --sparse --output "$profile.new" "$at/loads.profdata" --weighted-input "100,$at/kinds.profdata"
    # No other compiler's fits either, once the crates have changed.
    find native/profile -name '*.profdata' ! -name "*-$crates.profdata" -delete
    mv "$profile.new" "$profile"
    echo "$profile is new"
}

case ${1:-} in
    file)
        look
        echo "$profile"
        ;;
    use)
        shift
        [ $# -gt 0 ] || help
        use "$@"
        ;;
    make) make_anew ;;
    *) help ;;
esac
