"""Memory that only starting needed: which pages may go without anybody missing them."""

from __future__ import annotations

import mmap
import subprocess
import sys

import pytest

from penstock.memory import unchanged

AREA = "{range} {rights} 00000000 08:01 1234 {path}\nSize: 8 kB\nRss: 8 kB\nAnonymous: {own} kB\nVmFlags: rd\n"


def areas(*each: tuple[str, str, str, int]) -> list[str]:
    text = "".join(AREA.format(range=at, rights=rights, path=path, own=own) for at, rights, path, own in each)
    return text.splitlines(keepends=True)


def test_only_pages_that_are_still_the_file_s_own_go() -> None:
    found = unchanged(
        iter(
            areas(
                ("1000-3000", "r-xp", "/lib/code.so", 0),
                ("3000-4000", "r--p", "/lib/constants.so", 0),
                ("4000-5000", "r--p", "/lib/relocated.so", 4),
                ("5000-6000", "rw-p", "/lib/data.so", 0),
                ("6000-7000", "rw-s", "/data/penstock.sqlite-shm", 0),
                ("8000-9000", "r-xp", "[vdso]", 0),
                ("a000-b000", "---p", "/lib/hole.so", 0),
            )
        )
    )
    assert list(found) == [(0x1000, 0x3000), (0x3000, 0x4000)]


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="Linux has it")
def test_a_process_works_on_after_it_and_has_less() -> None:
    program = """
import re, ssl, sqlite3, json
from penstock import memory
def resident():
    with open("/proc/self/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Rss:"))
before = resident()
memory.settle()
assert resident() < before - 1000, (before, resident())
ssl.create_default_context()
assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
assert json.loads(json.dumps({"a": [1.5]})) == {"a": [1.5]}
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
