"""The compiler's profile: used where it fits, never in the way where it does not."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.machine import ROOT

PROFILES = sorted(path.stem for path in (ROOT / "native" / "profile").glob("*.profdata"))
NAME = re.compile(r"(?P<release>[0-9.]+)-llvm(?P<llvm>\d+)-(?P<host>.+)-\d+")
FLAGS = re.compile(r"--config build\.rustflags=\['-Cprofile-use=(.+)', '-Cllvm-args=-no-pgo-warn-mismatch'\]")
STRANGE = {"release": "9.9.9", "llvm": "99", "host": "m68k-unknown-none"}


class Tree:
    """A copy of what the script looks at, under a compiler that says what it is told to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        manifests = [
            "Cargo.toml",
            "Cargo.lock",
            ".cargo/config.toml",
            "native/core/Cargo.toml",
            "native/binding/Cargo.toml",
        ]
        for name in ["scripts/profile.sh", *manifests]:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        shutil.copytree(ROOT / "native" / "profile", root / "native" / "profile")
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if "RUSTFLAGS" not in name and name not in ("RUSTC", "PENSTOCK_PROFILE")
        }
        self.environment |= {"PATH": f"{root}/bin:{os.environ['PATH']}", "CARGO_TARGET_DIR": "out"}

    def compiler(self, release: str, llvm: str, host: str) -> None:
        path = self.root / "bin" / "rustc"
        path.parent.mkdir(exist_ok=True)
        said = f"rustc {release}\\nhost: {host}\\nrelease: {release}\\nLLVM version: {llvm}.1.2\\n"
        path.write_text(f"#!/bin/sh\nprintf '{said}'\n")
        path.chmod(0o755)

    def profile(self, *words: str) -> subprocess.CompletedProcess[str]:
        script = self.root / "scripts" / "profile.sh"
        return subprocess.run([script, *words], env=self.environment, capture_output=True, text=True, check=False)

    def fitting(self) -> Path:
        """Where the profile of the compiler would be."""
        return self.root / self.profile("file").stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "a tree"
    root.mkdir()
    return Tree(root)


def test_the_profile_fits_its_compiler_and_the_crates(tree: Tree) -> None:
    assert PROFILES
    for name in PROFILES:
        found = NAME.fullmatch(name)
        assert found, name
        tree.compiler(**found.groupdict())
        told = tree.profile("file").stdout
        assert told == f"native/profile/{name}.profdata\n", "a crate or its version changed: `make profile`"


def test_the_image_is_built_by_a_compiler_that_has_one() -> None:
    found = re.search(r"^FROM rust:(\S+?)-slim", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    of = re.compile(rf"{re.escape(found[1])}-llvm\d+-x86_64-unknown-linux-gnu-\d+")
    assert any(of.fullmatch(name) for name in PROFILES), f"no profile for rustc {found[1]}: `make profile` with it"


def test_a_build_has_the_profile_that_fits(tree: Tree) -> None:
    tree.compiler(**STRANGE)
    profile = tree.fitting()
    copies = []
    for content in ("counts", "others"):
        profile.write_text(content)
        done = tree.profile("use", "sh", "-c", 'echo "$PENSTOCK_PROFILE $*"', "sh", "build")
        name, _, rest = done.stdout.strip().partition(" build ")
        used = FLAGS.fullmatch(rest)
        assert used, done
        assert (name, done.stderr) == (profile.stem, "")
        assert Path(used[1]).read_text() == content
        assert Path(used[1]).parent == tree.root / "out", "one for all clones that build there"
        copies.append(used[1])
    assert copies[0] != copies[1], "cargo builds anew"


def test_a_compiler_without_a_profile_builds_as_it_stands(tree: Tree) -> None:
    tree.compiler(**STRANGE)
    done = tree.profile("use", "sh", "-c", 'echo "${PENSTOCK_PROFILE-none} $*"', "sh", "build")
    assert (done.returncode, done.stdout) == (0, "none build\n")
    assert re.search(r"native/profile/9\.9\.9-llvm99-m68k-unknown-none-\d+\.profdata is not there", done.stderr)


@pytest.mark.parametrize(
    "name", ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS"]
)
def test_flags_of_the_environment_go_without(tree: Tree, name: str) -> None:
    tree.compiler(**STRANGE)
    tree.fitting().write_text("counts")
    tree.environment[name] = "-Ctarget-cpu=native"
    done = tree.profile("use", "echo", "build")
    assert (done.returncode, done.stdout) == (0, "build\n")
    assert "RUSTFLAGS is set" in done.stderr
    made = tree.profile("make")
    assert (made.returncode, "nothing is counted" in made.stderr) == (1, True)


def test_a_path_that_cannot_be_told_goes_without(tree: Tree) -> None:
    tree.compiler(**STRANGE)
    tree.fitting().write_text("counts")
    tree.environment["CARGO_TARGET_DIR"] = "o'brien"
    done = tree.profile("use", "echo", "build")
    assert (done.returncode, done.stdout) == (0, "build\n")
    assert "o'brien" in done.stderr


def test_what_fails_has_failed(tree: Tree) -> None:
    tree.compiler(**STRANGE)
    assert tree.profile("use", "false").returncode == 1
    assert [tree.profile(*words).returncode for words in ([], ["uses"], ["use"])] == [2, 2, 2]
    (tree.root / "bin" / "rustc").write_text("#!/bin/sh\nexit 3\n")
    assert tree.profile("use", "echo", "build").returncode == 3
