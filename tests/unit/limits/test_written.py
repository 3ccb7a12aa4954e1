"""Limits as rows have them: each piece is read by itself, and what cannot be read stays as it stands."""

from __future__ import annotations

import json

import pytest

from penstock.limits.policy import Limits
from penstock.limits.written import read_limits, unreadable, without, write_limits


@pytest.mark.parametrize(
    ("text", "limits", "rest"),
    [
        (None, None, None),
        ("{}", None, None),
        (
            '{"requests":["5/s","9/day"],"concurrent":"none"}',
            Limits(requests=("5/s", "9/day"), concurrent="none"),
            None,
        ),
        ('{"requests":"5/s","burst":{"a":[1.50]}}', Limits(requests="5/s"), '{"burst":{"a":[1.50]}}'),
        ('{"reserve":"p95","tokens":"5/s"}', Limits(tokens="5/s"), '{"reserve":"p95"}'),
        ('{"away":"elsewhere","requests":"5/s"}', Limits(requests="5/s"), '{"away":"elsewhere"}'),
        ('{"concurrent":1.5}', None, '{"concurrent":1.5}'),
        ("[]", None, "[]"),
        ("not JSON", None, "not JSON"),
    ],
)
def test_each_piece_is_read_by_itself(text: str | None, limits: Limits | None, rest: str | None) -> None:
    assert read_limits(text) == (limits, rest)
    written = write_limits(limits, rest)
    assert read_limits(written) == (limits, rest)
    if text not in (None, "{}", "not JSON"):
        assert json.loads(str(written)) == json.loads(str(text))


def test_what_is_said_anew_takes_the_place_of_what_could_not_be_read() -> None:
    assert json.loads(str(write_limits(Limits(reserve="cap"), '{"reserve":"p95","burst":3}'))) == {
        "reserve": "cap",
        "burst": 3,
    }
    assert without('{"reserve":"p95","burst":3}', ["reserve"]) == '{"burst":3}'
    assert without('{"reserve":"p95"}', ["reserve"]) is None
    assert without("not JSON", ["reserve"]) is None


def test_a_kind_of_a_later_release_is_passed_over_and_a_value_of_one_is_not() -> None:
    assert unreadable(None, None) is None
    assert unreadable(Limits(tokens="none"), '{"burst":3}') is None
    assert "reserve" in str(unreadable(None, '{"reserve":"p95"}'))
    assert "tokens: expected a limit" in str(unreadable(Limits(tokens="many"), None))
    assert "no JSON object" in str(unreadable(None, "not JSON"))
