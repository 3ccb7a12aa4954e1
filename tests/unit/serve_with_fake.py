"""`penstock` as a program, with the fake engine in place of the compiled one; at exit it prints what it had loaded."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import penstock
from tests.unit.fake_engine import FakeNative
from tests.unit.fake_rows import FakeJournals

native = types.ModuleType("penstock._native")
native.Engine = FakeNative  # type: ignore[attr-defined]
native.JournalReader = FakeJournals(Path()).open  # type: ignore[attr-defined]
sys.modules["penstock._native"] = native
penstock._native = native

if __name__ == "__main__":
    from penstock.cli import main

    try:
        main()
    finally:
        print("\n".join(sorted(sys.modules)))
