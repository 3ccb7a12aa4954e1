"""Which migrations are missing, and on which schemas we do not run."""

from __future__ import annotations

import pytest

from penstock.store.interface import StoreRefusedError
from penstock.store.migrate import Applied, Migration, missing

OURS = [Migration(name, "expand", f"sum of {name}", "") for name in ("0001_a", "0002_b", "0003_c")]


def applied(*names: str, kind: str = "expand") -> list[Applied]:
    return [Applied(name, kind, f"sum of {name}") for name in names]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_what_was_not_made_is_missing_in_its_order(count: int) -> None:
    there = applied(*(each.name for each in OURS[:count]))
    assert missing(OURS, there[::-1], "here") == OURS[count:]


def test_one_further_expansion_is_no_matter() -> None:
    assert missing(OURS, applied("0001_a", "0002_b", "0003_c", "0004_d"), "here") == []


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (applied("0001_a", "0002_b", "0003_c", "0004_d", "0005_e"), "newer than this release can run on"),
        (applied("0001_a", "0002_b", "0003_c") + applied("0004_d", kind="contract"), "newer than this release"),
        (applied("0001_a", "0003_c"), "out of order"),
        (applied("0001_a", "0002_b", "0004_d"), "out of order"),
        (applied("0001_a", "0002_x"), "out of order"),
        ([Applied("0001_a", "expand", "another")], "0001_a is not the one that made this schema"),
    ],
)
def test_a_schema_that_is_not_ours_is_refused(there: list[Applied], words: str) -> None:
    with pytest.raises(StoreRefusedError, match=f"here: .*{words}"):
        missing(OURS, there, "here")
