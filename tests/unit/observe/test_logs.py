"""Log lines."""

from __future__ import annotations

import fcntl
import logging
import os

import msgspec
import pytest

from penstock.observe.logs import Format, Forward, Log, hide_secrets, to_stderr


def log(level: str = "info", form: Format = "json") -> tuple[Log, list[bytes]]:
    lines: list[bytes] = []
    return Log(level, form, lines.append, lambda: 1_700_000_000.25), lines


def test_a_json_line_has_the_fields_that_natives_lines_have() -> None:
    made, lines = log()
    made.info("serving", listen=["127.0.0.1:1"], workers=2, path=None)
    assert lines == [
        b'{"ts":"2023-11-14T22:13:20.250000Z","level":"info","message":"serving","component":"python",'
        b'"listen":["127.0.0.1:1"],"workers":2,"path":null}\n'
    ]


def test_a_line_for_people_is_one_line() -> None:
    made, lines = log(form="text")
    made.warning("two\nlines", a="b", c="d e", n=1)
    assert lines == [b'2023-11-14T22:13:20.250000Z warning python: two\\nlines a=b c="d e" n=1\n']


def test_a_line_below_the_level_is_not_written_until_a_reload_asks_for_it() -> None:
    made, lines = log("warn")
    made.info("one")
    made.set("debug", "json")
    made.debug("two")
    assert [msgspec.json.decode(line)["message"] for line in lines] == ["two"]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key sk-proj-abcdef1234567890", "abcdef1234567890"),
        ("Authorization: Bearer abcdef1234567890", "abcdef1234567890"),
        ("x-api-key: abcdef", "abcdef"),
        ('{"api_key": "abcdef"}', "abcdef"),
        ("http://user:hunter22@proxy:3128", "hunter22"),
    ],
)
def test_what_looks_like_a_credential_is_cut_out(text: str, secret: str) -> None:
    assert secret not in hide_secrets(text)
    made, lines = log()
    made.info(text, field=text, several=[text])
    assert secret.encode() not in lines[0]


def test_ordinary_text_stays() -> None:
    text = "the task-force asked for the basic api at http://127.0.0.1:4000/v1"
    assert hide_secrets(text) == text


def test_what_libraries_log_becomes_a_line_of_ours() -> None:
    made, lines = log()
    handler = Forward(made)
    try:
        raise RuntimeError("gone")
    except RuntimeError:
        record = logging.LogRecord("asyncio", logging.ERROR, "f", 1, "Task %s\nmore", ("t",), None)
        import sys

        record.exc_info = sys.exc_info()
    handler.handle(record)
    line = msgspec.json.decode(lines[0])
    assert (line["level"], line["message"], line["logger"]) == ("error", "Task t", "asyncio")
    assert line["error"] == "RuntimeError('gone')"
    assert "test_logs.py:" in line["at"]


def test_a_line_that_was_cut_does_not_spoil_the_next() -> None:
    written = bytearray()

    def write(line: bytes) -> int:
        room = 10 if b"long" in line else len(line)
        written.extend(line[:room])
        return min(room, len(line))

    made = Log("info", "json", write)
    made.info("long")
    made.info("short")
    lines = bytes(written).splitlines()
    assert [msgspec.json.decode(line)["message"] for line in lines[1:]] == ["short"]


@pytest.mark.parametrize(("size", "count"), [(100, 1_000), (20_000, 20)])
def test_a_reader_that_stalls_costs_lines_and_no_time(size: int, count: int) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 65_536)
    before = os.dup(2)
    try:
        os.dup2(writer, 2)
        made = Log("info", "json")
        for _ in range(count):
            made.info("x" * size)
        assert to_stderr(b"one more\n") == 0
        os.read(reader, 1 << 20)
        made.info("again")
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(writer)
    last = os.read(reader, 1 << 20).splitlines()[-1]
    os.close(reader)
    assert msgspec.json.decode(last)["message"] == "again"
    assert msgspec.json.decode(last)["lines_dropped"] > 10
