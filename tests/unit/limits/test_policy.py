"""Limits as people write them: every form, every error, and back to text."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.limits.policy import (
    LARGEST,
    LONGEST_US,
    SHORTEST_US,
    LimitError,
    Limits,
    Policy,
    Rate,
    Slots,
    parse_rate,
    policy_of,
    problems,
    show_rate,
)
from penstock.limits.policy import RATES as KINDS

S, MIN, H, D = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
USD = 10**9


@pytest.mark.parametrize(
    ("text", "amount", "window"),
    [
        *(("600/min", 600, MIN), ("600/m", 600, MIN), ("600/minute", 600, MIN), ("600/1min", 600, MIN)),
        *(("5/s", 5, S), ("5/sec", 5, S), ("5/second", 5, S), ("100/10s", 100, 10 * S), ("100/90s", 100, 90 * S)),
        *(("1/h", 1, H), ("1/hour", 1, H), ("1/24h", 1, D), ("1/d", 1, D), ("1/7d", 1, 7 * D), ("1/400d", 1, 400 * D)),
        *(("0/min", 0, MIN), (" 600 / 10 s ", 600, 10 * S), (f"{LARGEST}/s", LARGEST, S)),
    ],
)
def test_an_amount_over_a_length_of_time_is_a_sliding_window(text: str, amount: int, window: int) -> None:
    assert parse_rate("requests", text) == parse_rate("tokens", text) == Rate(amount, window_us=window)


@pytest.mark.parametrize("period", ["day", "month"])
def test_day_and_month_are_periods_of_the_calendar(period: Any) -> None:
    assert parse_rate("requests", f"5000/{period}") == Rate(5000, period=period)
    assert parse_rate("budget", f"20 usd/{period}") == Rate(20 * USD, period=period)


@pytest.mark.parametrize(
    ("text", "nanousd", "window"),
    [
        *(("20 usd/24h", 20 * USD, D), ("20usd/24h", 20 * USD, D), ("0.5 usd/h", USD // 2, H)),
        *(("0.000000001 usd/s", 1, S), ("1.25 usd / 30d", 1_250_000_000, 30 * D), ("0 usd/min", 0, MIN)),
        ("9007199.254740991 usd/h", LARGEST, H),
    ],
)
def test_money_is_exact_to_the_nano_dollar(text: str, nanousd: int, window: int) -> None:
    assert parse_rate("budget", text) == Rate(nanousd, window_us=window)


BAD = {
    "600/min, 100/10s or 5000/day": ["", "600", "600/", "/min", "-1/min", "1.5/min", "1e3/min", "1k/s", "٣/s"],
    "expected a limit such as 600/min": [
        "600 usd/min",
        "6/week",
        "6/fortnight",
        "6/Min",
        "6/min/s",
        "6/s 7/h",
        "none/s",
    ],
    "the calendar's period is one day: write day alone": ["5/1day", "5/2day"],
    "the calendar's period is one month: write month alone": ["5/3month"],
    "a window is from 1s to 400d long": ["1/0s", "1/401d", "1/999999999h"],
    "larger than any limit can be": [f"{LARGEST + 1}/s"],
}
BAD_BUDGETS = {
    "20 usd/day or 5 usd/24h": ["20/day", "20 eur/day", "$20/day", "usd/day", "-1 usd/h", "20 usd"],
    "expected a limit such as 20 usd/day": ["1. usd/h", ".5 usd/h", "0.0000000001 usd/h", "1,5 usd/h", "1 usd/week"],
    "write day alone, or a length such as 24h or 7d": ["5 usd/7day"],
    "m could be minute or month: write min or month": ["20 usd/m", "20 usd/5m"],
    "larger than any limit can be": ["9007199.254740992 usd/h"],
}


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (kind, text, message)
        for kind, bad in (("requests", BAD), ("tokens", BAD), ("budget", BAD_BUDGETS))
        for message, texts in bad.items()
        for text in texts
    ],
)
def test_what_is_no_limit_is_refused_with_an_example(kind: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_rate(kind, text)


def test_a_policy_has_what_is_set_and_nothing_else() -> None:
    limits = Limits(requests=("600/min", "10000/day"), budget="20 usd/day", concurrent=50, queue="1.5s")
    assert policy_of(msgspec.structs.replace(limits, reserve="cap", away="open")) == Policy(
        requests=(Rate(600, window_us=MIN), Rate(10_000, period="day")),
        budget=(Rate(20 * USD, period="day"),),
        concurrent=(Slots(50, 1_500_000),),
        reserve="cap",
        away="open",
    )
    assert policy_of(Limits()) == Policy()


def test_none_is_no_limit_and_not_set_is_another_thing() -> None:
    lifted = policy_of(Limits(requests="none", tokens=("none",), concurrent="none"))
    assert lifted == Policy(requests=(), tokens=(), concurrent=())
    assert msgspec.json.encode(lifted) == b'{"requests":[],"tokens":[],"concurrent":[]}'
    assert msgspec.json.encode(policy_of(Limits(concurrent=0))) == b'{"concurrent":[{"amount":0}]}'
    assert msgspec.json.encode(Policy()) == b"{}"


@pytest.mark.parametrize(
    ("limits", "field", "message"),
    [
        (Limits(requests="many"), "requests", "expected a limit such as 600/min"),
        (Limits(requests=("5/s", "many")), "requests.1", "expected a limit such as 600/min"),
        (Limits(tokens=("none", "5/s")), "tokens", "`none` stands alone"),
        (Limits(requests=("1/s", "2/2s", "3/3s", "4/4s", "5/5s")), "requests", "at most 4 limits of one kind"),
        (Limits(requests=("5/s", "6/1s")), "requests.1", "a second limit over the same time"),
        (Limits(budget=("5 usd/day", "6 usd/day")), "budget.1", "a second limit over the same time"),
        (Limits(concurrent=-1), "concurrent", "expected a number from 0 to 1000000, or none"),
        (Limits(concurrent=1_000_001), "concurrent", "expected a number from 0 to 1000000, or none"),
        (Limits(concurrent=5, queue="soon"), "queue", "expected a duration"),
        (Limits(concurrent=5, queue="61s"), "queue", "at most 60s"),
        (Limits(queue="2s"), "queue", "needs `concurrent` beside it"),
        (Limits(concurrent="none", queue="2s"), "queue", "there is nothing to wait for: set it to null as well"),
        (Limits(requests=()), "requests", "an empty list says nothing: write none to lift the default, null for"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_field(limits: Limits, field: str, message: str) -> None:
    (problem,) = problems(limits)
    assert problem.field == field
    assert message in str(problem)
    with pytest.raises(LimitError) as error:
        policy_of(limits)
    assert (error.value.field, str(error.value)) == (field, str(problem))


def test_nothing_but_a_key_has_something_to_lift() -> None:
    found = list(problems(Limits(requests="none", tokens=("none", "5/s"), concurrent="none"), lifts=False))
    assert [each.field for each in found] == ["requests", "tokens", "concurrent"]
    assert all("none lifts limits.default for a key" in str(each) for each in found)
    wrong = list(problems(Limits(requests="many", budget=(), concurrent=-1), lifts=False))
    assert [each.field for each in wrong] == ["requests", "budget", "concurrent"]
    assert not any("none" in str(each) for each in wrong)


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = problems(Limits(requests="a", tokens=("b", "5/s", "c"), budget="d", concurrent=-1, queue="e"))
    assert [each.field for each in found] == ["requests", "tokens.0", "tokens.2", "budget", "concurrent", "queue"]


@pytest.mark.parametrize(
    ("kind", "rate", "text"),
    [
        *(("requests", Rate(600, window_us=MIN), "600/min"), ("requests", Rate(1, window_us=S), "1/s")),
        *(("tokens", Rate(9, window_us=10 * S), "9/10s"), ("tokens", Rate(9, window_us=5 * MIN), "9/5min")),
        *(("tokens", Rate(9, window_us=H), "9/h"), ("tokens", Rate(9, window_us=D), "9/24h")),
        *(("tokens", Rate(9, window_us=7 * D), "9/7d"), ("tokens", Rate(9, window_us=36 * H), "9/36h")),
        *(("requests", Rate(0, period="month"), "0/month"), ("budget", Rate(20 * USD, period="day"), "20 usd/day")),
        *(("budget", Rate(USD // 2, window_us=D), "0.5 usd/24h"), ("budget", Rate(0, period="day"), "0 usd/day")),
        ("budget", Rate(1, window_us=H), "0.000000001 usd/h"),
    ],
)  # fmt: skip
def test_a_rate_is_shown_as_people_write_it(kind: str, rate: Rate, text: str) -> None:
    assert show_rate(kind, rate) == text


WINDOWS = st.integers(SHORTEST_US // S, LONGEST_US // S) | st.sampled_from([1, 60, 3600, 86_400, 7 * 86_400])
RATES = st.builds(Rate, st.integers(0, LARGEST), window_us=WINDOWS.map(lambda seconds: seconds * S)) | st.builds(
    Rate, st.integers(0, LARGEST), period=st.sampled_from(("day", "month"))
)


@given(st.sampled_from(KINDS), RATES)
def test_a_shown_limit_reads_back_as_the_same(kind: str, rate: Rate) -> None:
    assert parse_rate(kind, show_rate(kind, rate)) == rate


@given(st.sampled_from(KINDS), st.text(max_size=30))
def test_no_text_whatever_raises_anything_but_a_value_error(kind: str, text: str) -> None:
    try:
        rate = parse_rate(kind, text)
    except ValueError:
        return
    assert parse_rate(kind, show_rate(kind, rate)) == rate
