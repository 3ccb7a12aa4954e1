"""Lines in files and pipes: whole, once, rotated by size."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.audit.sinks import jsonl
from penstock.audit.sinks.interface import LostError
from penstock.audit.sinks.jsonl import Lines, Stream, pieces
from penstock.audit.sinks.rotated import TAIL_BYTES, RotatedFile
from penstock.config.model import Sink


def objects(count: int, length: int = 10) -> list[dict[str, object]]:
    return [{"started": number, "text": "x" * length} for number in range(count)]


def numbers(data: bytes) -> list[int]:
    assert data == b"" or data.endswith(b"\n")
    return [msgspec.json.decode(line)["started"] for line in data.splitlines()]


def test_the_path_says_which_it_is(tmp_path: Path) -> None:
    assert isinstance(jsonl.make(Sink(path="-")), Stream)
    assert isinstance(jsonl.make(Sink(path=str(tmp_path / "x"))), Lines)


def test_lines_are_appended_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    for _ in range(2):
        sink = Lines(RotatedFile(str(file), 1 << 20, 2))
        sink.take(objects(3))
        sink.settle()
    assert numbers(file.read_bytes()) == [0, 1, 2, 0, 1, 2]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_full_file_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    line = len(msgspec.json.encode(objects(1)[0])) + 1
    sink = Lines(RotatedFile(str(file), 3 * line, 2))
    sink.take(objects(1))
    file.chmod(0o640)
    sink.take(objects(9))
    sink.take(objects(1))
    found = {each.name: numbers(each.read_bytes()) for each in tmp_path.iterdir()}
    assert found == {"x.jsonl": [8, 0], "x.jsonl.1": [5, 6, 7], "x.jsonl.2": [2, 3, 4]}
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o640}


def test_files_of_others_beside_it_stay_as_they_are(tmp_path: Path) -> None:
    names = ("x.jsonl.new", "x.jsonl.3", "x.jsonl.old")
    for name in names:
        (tmp_path / name).write_text("mine")
    sink = Lines(RotatedFile(str(tmp_path / "x.jsonl"), 1, 2))
    sink.take(objects(5))
    assert {(tmp_path / name).read_text() for name in names} == {"mine"}
    assert {each.name for each in tmp_path.iterdir()} == {"x.jsonl", "x.jsonl.1", "x.jsonl.2", *names}


class Killed(BaseException):
    """The process ends there."""


@pytest.mark.parametrize("keep", [0, 2])
def test_a_kill_while_a_file_is_put_aside_changes_neither_its_mode_nor_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: int
) -> None:
    steps = ("open", "fchmod", "replace", "unlink")
    done = {each: getattr(os, each) for each in steps}
    left = 0

    def step(name: str, *args: Any) -> Any:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        return done[name](*args)

    lives = 0
    while left == 0:
        (place := tmp_path / str(lives)).mkdir()
        file, lives = place / "x.jsonl", lives + 1
        RotatedFile(str(file), 1, keep).append([b"1\n"])
        file.chmod(0o644)
        left = lives
        with monkeypatch.context() as patched, contextlib.suppress(Killed):
            for name in steps:
                patched.setattr(os, name, functools.partial(step, name))
            RotatedFile(str(file), 1, keep).append([b"2\n"])
        RotatedFile(str(file), 1, keep).append([b"3\n"])
        assert file.stat().st_mode & 0o777 == 0o644, f"killed after {lives} steps"
        assert file.read_bytes() == b"3\n"
        if keep:
            assert b"1\n" in [each.read_bytes() for each in place.iterdir()]
    assert lives > 3


def test_none_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    sink = Lines(RotatedFile(str(tmp_path / "x.jsonl"), 1, 0))
    sink.take(objects(3))
    assert [numbers(each.read_bytes()) for each in tmp_path.iterdir()] == [[2]]


def test_a_file_that_others_move_away_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    sink = Lines(RotatedFile(str(file), 1 << 20, 2))
    sink.take(objects(1))
    file.rename(tmp_path / "elsewhere")
    sink.settle()
    sink.take(objects(2))
    assert numbers(file.read_bytes()) == [0, 1]


def test_what_others_move_away_is_brought_to_disk_nevertheless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.jsonl"
    brought: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: brought.append(os.fstat(fd).st_ino))
    sink = Lines(RotatedFile(str(file), 1 << 20, 2))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        sink.take(objects(1))
    moved = file.rename(tmp_path / "elsewhere")
    sink.take(objects(1))
    sink.settle()
    assert brought == [moved.stat().st_ino, file.stat().st_ino]
    sink.settle()
    assert len(brought) == 2
    assert len(os.listdir("/proc/self/fd")) == before


def test_that_a_disk_failed_is_told_whenever_it_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.jsonl"
    sink = Lines(RotatedFile(str(file), 1, 2))
    before = len(os.listdir("/proc/self/fd"))

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    sink.take(objects(1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(LostError, match="Input/output error"):
            sink.take(objects(1))
        assert [each.name for each in tmp_path.iterdir()] == ["x.jsonl"], "it is not put aside"
        sink.settle()
        with pytest.raises(LostError):
            sink.take(objects(1))
    sink.take(objects(1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(LostError):
            sink.settle()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_line_that_a_kill_has_torn_is_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    for torn in (b"{", b'{"started":', b'{"started":17,"te'):
        file.write_bytes(b'{"started":7}\n' + torn)
        Lines(RotatedFile(str(file), 1 << 20, 2)).take(objects(1))
        assert numbers(file.read_bytes()) == [7, 0]


def test_zeros_that_a_cut_of_power_has_left_are_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    for whole in (b"", b'{"started":7}\n', b'{"started":7}\n' * (TAIL_BYTES // 10)):
        for torn in (b"", b'{"star', b'{"started":17,"te'):
            file.write_bytes(whole + torn + bytes(4_096 - len(torn)))
            Lines(RotatedFile(str(file), 1 << 30, 2)).take(objects(1))
            assert numbers(file.read_bytes()) == [*numbers(whole), 0]


def test_zeros_are_taken_away_however_many_they_are(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    for whole in (b"", b'{"started":7}\n'):
        for torn in (b"", b'{"started":17,"te'):
            file.write_bytes(whole + torn + bytes(2 * TAIL_BYTES))
            Lines(RotatedFile(str(file), 1 << 30, 2)).take(objects(1))
            assert numbers(file.read_bytes()) == [*numbers(whole), 0]


def test_a_file_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    zeros = bytes(2 * TAIL_BYTES)
    for content in (b"root", b"root\0", b"{}\n\0root", b"tape\n\0", b"disk" + zeros, b"tape\n" + zeros, b"\n" + zeros):
        file.write_bytes(content)
        with pytest.raises(OSError, match="no sink wrote"):
            Lines(RotatedFile(str(file), 1 << 30, 2)).take(objects(1))
        assert file.read_bytes() == content


def test_what_cannot_be_written_whole_is_taken_away_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.jsonl"
    sink = Lines(RotatedFile(str(file), 1 << 20, 2))
    before = len(os.listdir("/proc/self/fd"))
    sink.take(objects(2))
    write = os.write

    def half(fd: int, data: bytes | memoryview) -> int:
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return write(fd, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            sink.take(objects(9))
    assert numbers(file.read_bytes()) == [0, 1]
    assert len(os.listdir("/proc/self/fd")) == before, "a file that is removed to make room makes room"
    sink.take(objects(3))
    assert numbers(file.read_bytes()) == [0, 1, 0, 1, 2]


def test_a_pipe_gets_whole_lines_in_pieces_that_it_takes_at_once() -> None:
    lines = [b"x" * length + b"\n" for length in (1_000, 3_000, 93, 5_000, 10)]
    assert [len(piece) for piece in pieces(lines)] == [4_096, 5_001, 11]
    assert b"".join(pieces(lines)) == b"".join(lines)


def test_a_reader_that_is_slow_gets_everything() -> None:
    reader, writer = os.pipe()
    sink = Stream(writer)
    thread = threading.Thread(target=sink.take, args=(objects(2_000, 200),))
    thread.start()
    with os.fdopen(reader, "rb") as pipe:
        found = b"".join(pipe.readline() for _ in range(2_000))
    thread.join()
    os.close(writer)
    assert numbers(found) == list(range(2_000))


def test_a_reader_that_stalls_is_given_up_when_the_sink_is_closed() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    sink = Stream(writer)
    errors: list[OSError] = []

    def take() -> None:
        try:
            sink.take(objects(2_000, 200))
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=take)
    thread.start()
    sink.close()
    thread.join(10)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        numbers(pipe.read())
    assert len(errors) == 1


def test_a_reader_that_left_is_an_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        Stream(writer).take(objects(1))
    os.close(writer)
