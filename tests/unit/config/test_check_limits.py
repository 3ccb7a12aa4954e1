"""Limits and prices in the configuration: how they are read, what is refused, where it points."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.config.model import Config, Price, Rates
from penstock.config.problem import Problem, dotted
from penstock.limits.policy import Limits

GOOD = "providers: {openai: {}, local: {kind: ollama}}\n"
MODELS = GOOD + "models: {fast: {targets: [{provider: openai}]}, 'gpt-*': {targets: [{provider: openai}]}}\n"


def test_a_kind_has_one_limit_or_a_list_of_them(read: Callable[..., Config]) -> None:
    limits = read(
        GOOD + "limits: {default: {requests: [600/min, 10000/day], tokens: 9/s, budget: 20 usd/day, concurrent: 5}}\n"
    ).limits
    assert limits.default == Limits(requests=("600/min", "10000/day"), tokens="9/s", budget="20 usd/day", concurrent=5)
    assert limits.global_ == Limits()


def test_every_place_of_a_limit_is_read(read: Callable[..., Config]) -> None:
    limits = read(
        MODELS
        + "limits:\n  global: {requests: 5/s}\n  models: {fast: {concurrent: 6}}\n"
        + "  providers: {openai: {reserve: cap, concurrent: 7, queue: 2s}}\n  unpriced: allow\n  zone: Europe/Berlin\n"
    ).limits
    assert limits.global_ == Limits(requests="5/s")
    assert limits.models == {"fast": Limits(concurrent=6)}
    assert limits.providers == {"openai": Limits(reserve="cap", concurrent=7, queue="2s")}
    assert (limits.unpriced, limits.zone) == ("allow", "Europe/Berlin")


def test_without_anything_nothing_is_limited(read: Callable[..., Config]) -> None:
    assert read(GOOD + "limits: {default: null, models: {}}\n").limits == Config().limits
    assert (Config().limits.unpriced, Config().limits.zone, Config().prices) == ("refuse", "UTC", {})


def test_a_variable_may_hold_several_limits(read: Callable[..., Config]) -> None:
    limits = read(
        GOOD,
        PENSTOCK_LIMITS__DEFAULT__REQUESTS="600/min, 10000/day",
        PENSTOCK_LIMITS__GLOBAL__CONCURRENT="9",
        PENSTOCK_LIMITS__PROVIDERS__OPENAI__CONCURRENT="8",
    ).limits
    assert limits.default.requests == ("600/min", "10000/day")
    assert (limits.global_.concurrent, limits.providers["openai"].concurrent) == (9, 8)


@pytest.mark.parametrize("name", ["fast", "gpt-*", "gpt-5", "openai/gpt-5", "local/qwen3:8b"])
def test_a_model_with_a_limit_is_one_that_can_be_asked_for(read: Callable[..., Config], name: str) -> None:
    assert name in read(MODELS + f"limits: {{models: {{'{name}': {{requests: 5/s}}}}}}\n").limits.models


def test_without_models_the_catalogues_patterns_say_what_can_be_asked_for(
    read: Callable[..., Config], refused: Callable[..., list[Problem]]
) -> None:
    only = "providers: {openai: {}}\nlimits: {models: {MODEL: {requests: 5/s}}}\n"
    assert read(only.replace("MODEL", "gpt-5")).limits.models
    assert "leads to no model" in refused(only.replace("MODEL", "claude-5"))[0].message


def test_a_price_is_exact(read: Callable[..., Config]) -> None:
    prices = read(GOOD + "prices: {'gpt-5*': {input: 1.25, output: 10}, m: {input: 0.1, output: 0.000000001}}\n").prices
    assert prices == {
        "gpt-5*": Price(input=1_250_000_000, output=10_000_000_000),
        "m": Price(input=100_000_000, output=1),
    }
    text = "{input: 1, output: 2, cached_input: 0, above: {200000: {input: 2.5}}, priority: 1.75}"
    assert read(GOOD + f"prices: {{m: {text}}}\n").prices["m"] == Price(
        input=1_000_000_000,
        output=2_000_000_000,
        cached_input=0,
        above={"200000": Rates(input=2_500_000_000)},
        priority=1_750_000_000,
    )


# name: text, line, column, field, part of the message, part of the hint
CASES: dict[str, tuple[str, int, int, str, str, str]] = {
    "a limit that is none": (
        GOOD + "limits: {default: {requests: 600/mn}}\n",
        *(2, 30, "limits.default.requests", "such as 600/min, 100/10s or 5000/day, not '600/mn'", ""),
    ),
    "one of several": (
        GOOD + "limits:\n  default:\n    requests:\n      - 600/min\n      - 5 per day\n",
        *(6, 9, "limits.default.requests[1]", "such as 600/min", ""),
    ),
    "money without a currency": (
        GOOD + "limits: {global: {budget: 20/day}}\n",
        *(2, 27, "limits.global.budget", "such as 20 usd/day or 5 usd/24h, not '20/day'", ""),
    ),
    "days that are no period": (
        GOOD + "limits: {default: {tokens: 5/7day}}\n",
        *(
            2,
            28,
            "limits.default.tokens",
            "one day: write day alone, or a length such as 24h",
            "",
        ),
    ),
    "a second limit over the same time": (
        GOOD + "limits: {default: {requests: [5/min, 6/60s]}}\n",
        *(2, 38, "limits.default.requests[1]", "a second limit over the same time", ""),
    ),
    "something lifted where nothing is": (
        GOOD + "limits: {default: {requests: [5/min, none]}}\n",
        *(2, 30, "limits.default.requests", "none lifts limits.default for a key", ""),
    ),
    "too many of one kind": (
        GOOD + "limits: {default: {requests: [1/s, 2/2s, 3/3s, 4/4s, 5/5s]}}\n",
        *(2, 30, "limits.default.requests", "at most 4 limits", ""),
    ),
    "an unknown kind": (
        GOOD + "limits: {default: {request: 5/min}}\n",
        *(2, 20, "limits.default.request", "unknown field", "did you mean 'requests'?"),
    ),
    "an unknown place": (
        GOOD + "limits: {defaults: {requests: 5/min}}\n",
        *(2, 10, "limits.defaults", "unknown field", "did you mean 'default'?"),
    ),
    "the name that a place has in Python": (
        GOOD + "limits: {global_: {requests: 5/min}}\n",
        *(2, 10, "limits.global_", "unknown field", "did you mean 'global'?"),
    ),
    "limits that are one word": (
        GOOD + "limits: {default: 600/min}\n",
        *(2, 19, "limits.default", "expected fields and their values", ""),
    ),
    "a negative number at once": (
        GOOD + "limits: {default: {concurrent: -1}}\n",
        *(2, 32, "limits.default.concurrent", "from 0 to 1000000", ""),
    ),
    "a word at once": (
        GOOD + "limits: {default: {concurrent: many, queue: 2s}}\n",
        *(2, 32, "limits.default.concurrent", "expected a whole number, not 'many'", ""),
    ),
    "a queue for nothing": (
        GOOD + "limits: {default: {queue: 2s}}\n",
        *(2, 27, "limits.default.queue", "needs `concurrent` beside it", ""),
    ),
    "a queue for too long": (
        GOOD + "limits: {default: {concurrent: 1, queue: 2m}}\n",
        *(2, 42, "limits.default.queue", "at most 60s", ""),
    ),
    "another way to reserve": (
        GOOD + "limits: {default: {reserve: most}}\n",
        *(2, 29, "limits.default.reserve", "expected one of expected, cap, not 'most'", "known here"),
    ),
    "another way to go on without Redis": (
        GOOD + "limits: {default: {away: shut}}\n",
        *(2, 26, "limits.default.away", "expected one of fair_share, closed, open, not 'shut'", "known here"),
    ),
    "a model that nothing leads to": (
        MODELS + "limits: {models: {fst: {requests: 5/s}}}\n",
        *(3, 19, "limits.models.fst", "'fst' leads to no model", "did you mean 'fast'?"),
    ),
    "a model of an unknown provider": (
        MODELS + "limits: {models: {opnai/gpt-5: {requests: 5/s}}}\n",
        *(3, 19, "limits.models.opnai/gpt-5", "leads to no model", "did you mean 'openai/…'?"),
    ),
    "a provider's name in place of a model's": (
        MODELS + "limits: {models: {openai: {requests: 5/s}}}\n",
        *(3, 19, "limits.models.openai", "leads to no model", "did you mean 'openai/…'?"),
    ),
    "a wildcard that is not configured": (
        MODELS + "limits: {models: {'gpt-5*': {requests: 5/s}}}\n",
        *(3, 19, "limits.models.gpt-5*", "is not among the models", "did you mean 'gpt-*'?"),
    ),
    "an unknown provider": (
        GOOD + "limits: {providers: {opnai: {requests: 5/s}}}\n",
        *(2, 22, "limits.providers.opnai", "'opnai' is not among the providers", "did you mean 'openai'?"),
    ),
    "an unknown time zone": (
        GOOD + "limits: {zone: Europe/Berln}\n",
        *(2, 16, "limits.zone", "'Europe/Berln' is no time zone", "did you mean 'Europe/Berlin'?"),
    ),
    "a directory of time zones": (
        GOOD + "limits: {zone: ../zoneinfo}\n",
        *(2, 16, "limits.zone", "is no time zone", ""),
    ),
    "another word for unpriced": (
        GOOD + "limits: {unpriced: free}\n",
        *(2, 20, "limits.unpriced", "expected one of refuse, allow", ""),
    ),
    "a price without its other half": (
        GOOD + "prices: {m: {input: 1}}\n",
        *(2, 10, "prices.m.output", "is missing", "0 if there are none"),
    ),
    "a price that is no number": (
        GOOD + "prices: {m: {input: 1e3, output: 1}}\n",
        *(2, 21, "prices.m.input", "expected an amount of usd such as 10 or 1.25", ""),
    ),
    "a price with too many digits": (
        GOOD + "prices: {m: {input: 0.0000000001, output: 1}}\n",
        *(2, 21, "prices.m.input", "at most 9 digits behind the point", ""),
    ),
    "a price beyond all others": (
        GOOD + "prices: {m: {input: 1000001, output: 1}}\n",
        *(2, 21, "prices.m.input", "expected 0 to 1000000", ""),
    ),
    "a price for two stars": (
        GOOD + "prices: {'*m*': {input: 1, output: 1}}\n",
        *(2, 10, "prices.*m*", "at most one *", ""),
    ),
    "no number of tokens to be above of": (
        GOOD + "prices: {m: {input: 1, output: 1, above: {200k: {input: 2}}}}\n",
        *(2, 43, "prices.m.above.200k", "expected a number of tokens such as 200000", ""),
    ),
    "a factor that is none": (
        GOOD + "prices: {m: {input: 1, output: 1, flex: half}}\n",
        *(2, 41, "prices.m.flex", "expected a factor such as 0.5 or 2", ""),
    ),
    "no tokens out": (
        GOOD + "models: {m: {targets: [{provider: openai}], max_output_tokens: 0}}\n",
        *(2, 64, "models.m.max_output_tokens", "expected 1 to 100000000", ""),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_refused_with_place_and_advice(name: str, refused: Callable[..., list[Problem]]) -> None:
    text, line, column, field, message, hint = CASES[name]
    problems = refused(text)
    assert len(problems) == 1, [str(each) for each in problems]
    found = problems[0]
    assert (found.mark.line, found.mark.column, dotted(found.path)) == (line, column, field)
    assert message in found.message
    assert hint in found.hint


def test_a_reference_is_shown_as_it_is_written_and_the_advice_stays(refused: Callable[..., list[Problem]]) -> None:
    text = GOOD + "limits: {default: {requests: ['${env:A}', '${env:B}'], concurrent: 1, queue: '${env:C}'}}\n"
    wrong = refused(text, A="sk-secret", B="5/7day", C="2m")
    assert [each.message for each in wrong] == [
        "expected a limit such as 600/min, 100/10s or 5000/day, not '${env:A}'",
        "the calendar's period is one day: write day alone, or a length such as 24h or 7d",
        "at most 60s: whoever waits longer has given up",
    ]


def test_names_of_models_are_not_judged_while_a_provider_is_wrong(refused: Callable[..., list[Problem]]) -> None:
    problems = refused("providers: {opnai: {}}\nlimits: {models: {gpt-5: {requests: 5/s}}}\n")
    assert [dotted(each.path) for each in problems] == ["providers.opnai"]


def test_every_problem_comes_at_once(refused: Callable[..., list[Problem]]) -> None:
    text = (
        GOOD + "limits:\n  default: {requests: x, tokens: [y, z]}\n  global: {budget: w}\n  models: {n: {queue: v}}\n"
    )
    assert [dotted(each.path) for each in refused(text + "prices: {p: {}}\n")] == [
        "limits.default.requests",
        "limits.default.tokens[0]",
        "limits.default.tokens[1]",
        "limits.global.budget",
        "limits.models.n.queue",
        "prices.p.input",
        "prices.p.output",
    ]
