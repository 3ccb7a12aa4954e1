"""Durations, sizes and amounts of money."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config.units import parse_duration, parse_size, parse_usd, show_duration, show_size, show_usd


@pytest.mark.parametrize(
    ("text", "ms"), [("0", 0), ("100ms", 100), ("5s", 5_000), ("1.5s", 1_500), ("2m", 120_000), ("1h", 3_600_000)]
)
def test_a_duration_is_milliseconds(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    ("text", "size"), [("512", 512), ("10MB", 10_000_000), ("64MiB", 64 << 20), ("1.5KiB", 1536), ("1 GiB", 1 << 30)]
)
def test_a_size_is_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1e3s", "5 parsecs", "0.0001s", "1s 2s", "٣s", "5S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "MB", "-1", "1mb", "0.5", "1XB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "nanousd"),
    [("0", 0), ("10", 10_000_000_000), ("1.25", 1_250_000_000), ("0.1", 100_000_000), ("0.000000001", 1)],
)
def test_an_amount_of_money_is_nano_dollars(text: str, nanousd: int) -> None:
    assert parse_usd(text) == nanousd


@pytest.mark.parametrize("text", ["", "-1", "1e3", ".5", "1.", "1,5", "1.0000000001", "$1", "1 usd", "٣", "1_000"])
def test_what_is_no_amount_of_money_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected an amount of usd"):
        parse_usd(text)


@given(st.integers(0, 1 << 40))
def test_what_is_shown_reads_back_as_the_same(number: int) -> None:
    assert parse_duration(show_duration(number)) == number
    assert parse_size(show_size(number)) == number
    assert parse_usd(show_usd(number)) == number
