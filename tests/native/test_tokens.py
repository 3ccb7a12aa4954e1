"""Counts of tokens are tiktoken's, for every kind of text; tables that cannot be trusted are refused."""

from __future__ import annotations

import random
import shutil
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import texts, tiktoken_oracle
from tests.support.tiktoken_oracle import TABLES

if TYPE_CHECKING:
    from penstock import _native as native
else:
    native = pytest.importorskip("penstock._native", reason="the native library is not built")

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]
NAMES = ["o200k_base", "cl100k_base"]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def encoding(name: str) -> native.Encoding:
    return native.Encoding(str(TABLES), name)


def test_ten_megabytes_of_mixed_text_count_as_tiktoken_counts_them(name: str, encoding: native.Encoding) -> None:
    oracle, size = tiktoken_oracle.encoding(name), 0
    for kind, text in texts.corpus():
        data = text.encode()
        size += len(data)
        assert encoding.count(data) == len(oracle.encode_ordinary(text)), kind
    assert size >= 10_000_000


def test_every_character_counts_as_tiktoken_counts_it(name: str, encoding: native.Encoding) -> None:
    """Alone, between blanks, letters of both cases, punctuation: a wrong class shows in one of them."""
    oracle = tiktoken_oracle.encoding(name)
    characters = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    for between in ("", " ", "a", "A", "!", "\n", "'", "1"):
        text = between.join(characters)
        assert encoding.count(text.encode()) == len(oracle.encode_ordinary(text)), between


def test_random_bytes_count_as_what_they_decode_to(name: str, encoding: native.Encoding) -> None:
    oracle, chance = tiktoken_oracle.encoding(name), random.Random("bytes")
    for size in [*range(64), *chance.choices(range(64, 5000), k=300), 300_000]:
        data = chance.randbytes(size)
        assert encoding.count(data) == len(oracle.encode_ordinary(data.decode("utf-8", "replace"))), data
    text = "héllo wörld 你好 🙂".encode()
    for at in range(len(text)):
        data = text[:at] + b"\xff" + text[at + 1 :]
        assert encoding.count(data) == len(oracle.encode_ordinary(data.decode("utf-8", "replace"))), data


def test_short_nasty_texts_count_as_tiktoken_counts_them(name: str, encoding: native.Encoding) -> None:
    oracle, chance = tiktoken_oracle.encoding(name), random.Random("short")
    for _ in range(30_000):
        text = "".join(chance.choices(texts.NASTY, k=chance.randint(0, 12)))
        assert encoding.count(text.encode()) == len(oracle.encode_ordinary(text)), text


def test_special_tokens_in_a_text_are_text(name: str, encoding: native.Encoding) -> None:
    text = "<|endoftext|><|im_start|>system<|fim_prefix|>"
    assert encoding.count(text.encode()) == len(tiktoken_oracle.encoding(name).encode_ordinary(text)) > 3


def test_time_is_linear_in_hostile_text(encoding: native.Encoding) -> None:
    """Eight times the text takes about eight times as long, and not 64 times: of the best of a few rounds."""

    def best(data: bytes) -> float:
        taken = []
        for _ in range(5):
            start = time.thread_time()
            encoding.count(data)
            taken.append(time.thread_time() - start)
        return min(taken)

    for kind, text in texts.runs():
        data = text.encode()
        assert best(data * 8) < 32 * best(data) + 0.005, kind


def test_other_threads_run_while_it_counts(encoding: native.Encoding) -> None:
    data, turns, done = texts.prose().encode() * 40, 0, threading.Event()

    def work() -> None:
        encoding.count(data)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        turns += 1
    thread.join()
    assert turns > 1000


def test_a_table_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        native.Encoding(str(tmp_path), "o200k_base")


def test_an_unknown_encoding_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"p50k_base.*o200k_base and cl100k_base"):
        native.Encoding(str(TABLES), "p50k_base")


def test_a_table_of_another_encoding_is_refused(tmp_path: Path) -> None:
    shutil.copy(TABLES / "cl100k_base.table", tmp_path / "o200k_base.table")
    with pytest.raises(ValueError, match="the table of cl100k_base, not of o200k_base"):
        native.Encoding(str(tmp_path), "o200k_base")


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    whole = (TABLES / "cl100k_base.table").read_bytes()
    path, chance = tmp_path / "cl100k_base.table", random.Random("damage")
    for at in [30, 41, 50, 64, len(whole) - 1, *(chance.randrange(64, len(whole)) for _ in range(5))]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="it is damaged"):
            native.Encoding(str(tmp_path), "cl100k_base")


@pytest.mark.parametrize("keep", [0, 10, 63, 64, 100_000])
def test_a_table_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    (tmp_path / "cl100k_base.table").write_bytes((TABLES / "cl100k_base.table").read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"no table of tokens|damaged"):
        native.Encoding(str(tmp_path), "cl100k_base")


@pytest.mark.parametrize("fields", [(300_000, 10, 0, 5), (1, 1, 0, 1), (5, 10, 7, 5), (0, 2**32 - 1, 0, 5)])
def test_a_table_whose_header_does_not_fit_its_size_is_refused(tmp_path: Path, fields: tuple[int, ...]) -> None:
    head = struct.pack("<8s16s4I", b"penstok1", b"cl100k_base", *fields)
    rest = bytes(20 + 4 * 65536 + 16 * 10)
    made = head + struct.pack("<I", zlib.crc32(rest, zlib.crc32(head))) + rest
    (tmp_path / "cl100k_base.table").write_bytes(made)
    with pytest.raises(ValueError, match="no table of tokens"):
        native.Encoding(str(tmp_path), "cl100k_base")


def test_a_process_shares_the_table_and_loads_only_what_it_uses(encoding: native.Encoding) -> None:
    """Its pages are the file's, clean and not anonymous."""
    encoding.count(b"hello")
    maps = Path("/proc/self/smaps").read_text().split("Name:")[0]
    found = [part for part in maps.split("VmFlags:") if ".table" in part]
    assert found
    for part in found:
        fields = dict(line.split(":", 1) for line in part.splitlines() if ": " in line and "kB" in line)
        assert fields["Anonymous"].split()[0] == fields["Private_Dirty"].split()[0] == "0"
