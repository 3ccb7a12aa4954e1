"""Tables that fit a terminal, and go whole where there is none."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.output import NARROWEST, cut, fit, print_table


@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.integers(1, 300))
def test_widths_fit_or_none_can_give_way(widths: list[int], room: int) -> None:
    made = fit(widths, room)
    assert all(now <= before for now, before in zip(made, widths, strict=True))
    assert all(now >= min(before, NARROWEST) for now, before in zip(made, widths, strict=True))
    total = sum(made) + 2 * (len(made) - 1)
    assert total <= room or max(made) <= NARROWEST
    if sum(widths) + 2 * (len(widths) - 1) <= room:
        assert made == widths


def test_what_is_cut_says_so() -> None:
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "ab…")


def test_foreign_text_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A",), [("b\x1b[31m\nc\u202e",)])
    assert capsys.readouterr().out == "A\nb\ufffd[31m\ufffdc\ufffd\n"


def test_a_terminal_is_not_overrun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("k1", "a" * 100, "x"), ("k2", "b", "y" * 60)]
    print_table(("ID", "NAME", "MODELS"), rows)
    assert "a" * 100 in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(("ID", "NAME", "MODELS"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[1].startswith("k1  aaa")
    assert "…" in lines[1]
