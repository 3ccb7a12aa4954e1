"""Turns: in order for one, in rotation for all."""

from __future__ import annotations

import pytest

from penstock.keys.turns import Turns


def test_everybody_has_a_turn_however_many_entries_another_has() -> None:
    turns = Turns[str]()
    for n in range(4):
        turns.put("a", f"a{n}")
    turns.put("b", "b0")
    turns.put("b", "b1")
    turns.put("c", "c0")
    assert len(turns) == 7
    assert [turns.take() for _ in range(7)] == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]
    assert len(turns) == 0
    with pytest.raises(KeyError):
        turns.take()


def test_what_was_dropped_takes_no_room_and_no_turn() -> None:
    turns = Turns[str]()
    tickets = [turns.put("a", f"a{n}") for n in range(3)]
    turns.put("b", "b0")
    turns.drop("a", tickets[0])
    turns.drop("a", tickets[0])
    turns.drop("nobody", 1)
    assert len(turns) == 3
    assert [turns.take() for _ in range(3)] == ["a1", "b0", "a2"]
    turns.drop("a", tickets[2])
    assert len(turns) == 0
    turns.drop("c", turns.put("c", "c0"))
    assert not turns._of
