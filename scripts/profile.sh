#!/bin/sh
# profile.sh: what the compiler knows of how the extension runs under load (profile-guided optimization).
set -eu
unset CDPATH
cd "$(dirname "$0")/.."

help() {
    cat >&2 <<'END'
profile.sh file              the file of the profile that fits, whether it is there or not
profile.sh use COMMAND ARG…  runs maturin with that profile, or as it stands where there is none
profile.sh make              makes the profile anew with the maturin of .venv
END
    exit 2
}

compiler=$("${RUSTC:-rustc}" --version --verbose)

# fact NAME: what the compiler says of it.
fact() { echo "$compiler" | sed -n "s/^$1: //p"; }

llvm() { fact 'LLVM version' | cut -d . -f 1; }

# A profile calls functions by names that hold the release of rustc, the host, and the version of every crate.
file() {
    crates=$(cat Cargo.toml native/core/Cargo.toml native/binding/Cargo.toml Cargo.lock | cksum | cut -d ' ' -f 1)
    echo "native/profile/$(fact release)-llvm$(llvm)-$(fact host)-$crates.profdata"
}

target() {
    mkdir -p "${CARGO_TARGET_DIR:-target}"
    (cd "${CARGO_TARGET_DIR:-target}" && pwd)
}

# Flags of the environment replace those of any configuration.
has_flags() { [ -n "${RUSTFLAGS+set}${CARGO_ENCODED_RUSTFLAGS+set}" ]; }

use() {
    profile=$(file)
    if has_flags; then
        echo "note: RUSTFLAGS is set, so the extension is built without its profile (CONTRIBUTING.md)" >&2
        exec "$@"
    elif [ ! -f "$profile" ]; then
        echo "note: $profile is not there, so the extension is built without a profile (CONTRIBUTING.md)" >&2
        exec "$@"
    fi
    # Its path is part of what cargo knows a build by: one for all clones that share a target directory, and a new one
    # for new content.
    at=$(target)
    copy="$at/profile-$(cksum <"$profile" | tr ' ' '-').profdata"
    if [ ! -f "$copy" ]; then
        cp "$profile" "$copy.$$"
        mv "$copy.$$" "$copy"
    fi
    # Functions that changed since are compiled without it; which ones, only the next `make profile` needs to know.
    PENSTOCK_PROFILE=$(basename "$profile" .profdata) exec "$@" \
        --config "build.rustflags=['-Cprofile-use=$copy', '-Cllvm-args=-no-pgo-warn-mismatch']"
}

# The tool that reads counts, of the compiler's own LLVM: rustup's component, or Debian's package.
profdata() {
    own="$(rustc --print sysroot)/lib/rustlib/$(fact host)/bin/llvm-profdata"
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
    profile=$(file)
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
    # As many answers of each other kind as the loads have chat completions.
    "$tool" merge --sparse --output "$at/profile" "$at/loads.profdata" --weighted-input "100,$at/kinds.profdata"
    rm -f "native/profile/$(fact release)"-*"-$(fact host)"-*.profdata
    mkdir -p native/profile
    mv "$at/profile" "$profile"
    echo "$profile is new"
}

case ${1:-} in
    file) file ;;
    use)
        shift
        [ $# -gt 0 ] || help
        use "$@"
        ;;
    make) make_anew ;;
    *) help ;;
esac
