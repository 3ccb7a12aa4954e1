"""Text of all kinds, the same on every run: what people write, what machines write, and what is meant to hurt."""

from __future__ import annotations

import base64
import json
import pydoc_data.topics
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

NASTY = "aAbBzZ'sStTreVEllLLdDmM  \n\r\t/!.,0189éÉſK"
NASTY += "\u01c5\u02b0\u05d0你한\u0301\u0300\u20dd\u3000\u00a0\u0085\u2028’“#️⃣🙂\U000e0100"
"""Characters of every class, and those that the rules of splitting name."""

SCRIPTS = {
    "han": [(0x4E00, 0x9FFF)],
    "japanese": [(0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x5200), (0x3001, 0x3002)],
    "korean": [(0xAC00, 0xD7A3), (0x20, 0x20)],
    "emoji": [(0x1F300, 0x1F64F), (0x1F3FB, 0x1F3FF), (0x200D, 0x200D), (0xFE0F, 0xFE0F)],
    "combining": [(0x61, 0x7A), (0x300, 0x36F)],
    "cyrillic": [(0x410, 0x44F), (0x20, 0x20)],
    "arabic": [(0x621, 0x64A), (0x64B, 0x652), (0x20, 0x20)],
    "devanagari": [(0x900, 0x94F), (0x20, 0x20)],
    "thai": [(0xE01, 0xE3A), (0xE40, 0xE4E)],
    "below 0x3100": [(0, 0x30FF)],
    "any": [(0, 0xD7FF), (0xE000, 0x10FFFF)],
}


def library() -> Path:
    """Python's own library."""
    return Path(sysconfig.get_path("stdlib"))


def prose() -> str:
    """English of Python's language reference, 0.4 MB."""
    return "\n".join(pydoc_data.topics.topics.values())


def code(size: int) -> str:
    """So many characters of Python's library."""
    parts: list[str] = []
    for path in sorted(library().rglob("*.py")):
        if "site-packages" not in path.parts:
            parts.append(path.read_text(encoding="utf-8", errors="replace"))
            size -= len(parts[-1])
            if size <= 0:
                return "".join(parts)[: size or None]
    raise AssertionError("Python's library is smaller than that")


def written(name: str, size: int, seed: int = 0) -> str:
    """So many characters of a script, in words and sentences of no meaning."""
    chance = random.Random(f"{name} {seed}")
    ranges = SCRIPTS[name]
    common = [chr(chance.randint(*chance.choice(ranges))) for _ in range(300)]
    rare = [chr(chance.randint(*chance.choice(ranges))) for _ in range(size // 4)]
    marks = ["。", "，", ". ", "\n", "！", "1", "a"] if name in ("han", "japanese") else [" ", "\n", ", ", "7"]
    picked = chance.choices([common, rare, marks], weights=[70, 22, 8], k=size)
    return "".join(chance.choice(pool) for pool in picked)


def machine(size: int) -> str:
    """About so many characters of JSON, logs and numbers."""
    chance = random.Random("machine")
    lines: list[str] = []
    while size > 0:
        row = {
            "id": chance.getrandbits(64),
            "score": chance.random(),
            "tags": [f"{chance.getrandbits(24):x}"],
            "ok": True,
        }
        line = (
            json.dumps(row, indent=chance.choice([None, 2]))
            + f"\n2026-11-26T01:{len(lines) % 60:02}:09Z\tINFO\tÄ {row}\r\n"
        )
        lines.append(line)
        size -= len(line)
    return "".join(lines)


def encoded(size: int) -> str:
    """Base64 of noise."""
    return base64.b64encode(random.Random("base64").randbytes(size * 3 // 4)).decode()


def runs() -> Iterator[tuple[str, str]]:
    """What makes naive counting quadratic, 100 KB each."""
    chance = random.Random("runs")
    for one in (
        "a",
        "A",
        " ",
        "\n",
        "\t",
        "\r\n",
        " \n",
        "!",
        "/",
        "0",
        "é",
        "\u0301",
        "你",
        "ا",
        "🙂",
        "ab",
        "aA",
        "a\u0301",
        "' ",
    ):
        yield f"{one!r} repeated", (one * 100_000)[: 100_000 // max(1, len(one.encode()) // len(one))]
    yield "spaces before a letter", " " * 100_000 + "x"
    yield "one upper case before lower", "A" * 100_000 + "a"
    yield "marks before upper case", "\u0301" * 50_000 + "A" * 50_000
    yield "letters in no order", "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=100_000))
    yield "marks in no order", "".join(chr(chance.randint(0x300, 0x36F)) for _ in range(50_000))
    yield "ideographs in no order", "".join(chr(chance.randint(0x4E00, 0x9FFF)) for _ in range(33_000))
    yield "blanks in no order", "".join(chance.choices(" \t\n\r\u3000\u00a0", k=100_000))


def corpus() -> Iterator[tuple[str, str]]:
    """More than 10 MB, by kind."""
    yield "prose", prose()
    yield "code", code(4_000_000)
    for name in SCRIPTS:
        yield name, written(name, 200_000)
    yield "machine", machine(800_000)
    yield "base64", encoded(400_000)
    yield "nasty", "".join(random.Random("nasty").choices(NASTY, k=400_000))
    yield from runs()
