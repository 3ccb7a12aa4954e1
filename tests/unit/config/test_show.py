"""The merged configuration as people see it."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from penstock.config.model import Config
from penstock.config.show import show

TEXT = """
timeouts: {connect: 1500ms}
shared: {url: "redis://redis.lan", timeout: 20ms, nodes: 3}
providers: {openai: {}, claude: {kind: anthropic, timeouts: {total: 2m}}}
models: {fast: {targets: [{provider: openai, model: gpt-5}], max_output_tokens: 4096}}
limits:
  default: {requests: [600/min, 10000/day], tokens: 9/h, concurrent: 50, queue: 2s}
  global: {budget: 20 usd/day, reserve: cap, away: closed}
  models: {fast: {concurrent: 6}}
prices: {"gpt-5*": {input: 1.25, output: 10}}
"""


def test_what_is_shown_reads_back_as_the_same_configuration(read: Callable[..., Config]) -> None:
    config = read(TEXT)
    assert read(yaml.safe_dump(show(config))) == config


def test_units_are_shown_as_people_write_them(read: Callable[..., Config]) -> None:
    shown = show(read(TEXT))
    assert shown["timeouts"]["connect"] == "1500ms"
    assert shown["body"]["max_bytes"] == "64MiB"
    assert shown["providers"]["claude"]["timeouts"] == {"total": "2m"}
    assert shown["shared"]["timeout"] == "20ms"
    assert shown["prices"] == {"gpt-5*": {"input": "1.25", "output": "10"}}


def test_limits_are_shown_as_they_were_written_and_what_is_not_set_is_left_out(read: Callable[..., Config]) -> None:
    assert show(read(TEXT.replace("20 usd/day", "'${env:USD} usd/day'"), USD="20"))["limits"] == {
        "default": {"requests": ["600/min", "10000/day"], "tokens": "9/h", "concurrent": 50, "queue": "2s"},
        "global": {"budget": "${env:USD} usd/day", "reserve": "cap", "away": "closed"},
        "models": {"fast": {"concurrent": 6}},
        "providers": {},
        "unpriced": "refuse",
        "zone": "UTC",
    }
