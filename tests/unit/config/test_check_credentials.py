"""A provider that takes the caller's own credential has none of ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.config.model import Config
from penstock.config.problem import Problem, dotted

# name: text, line, column, field, part of the message, part of the hint
CASES: dict[str, tuple[str, int, int, str, str, str]] = {
    "another word": (
        "providers: {claude: {kind: anthropic, credentials: clients}}\n",
        *(1, 52, "providers.claude.credentials", "expected one of own, client", "did you mean 'client'?"),
    ),
    "a key of ours beside the caller's": (
        "providers: {claude: {kind: anthropic, credentials: client, api_key: x}}\n",
        *(1, 69, "providers.claude.api_key", "stands beside credentials: client", "leave out api_key"),
    ),
    "a way to send a key beside the caller's": (
        "providers: {claude: {kind: anthropic, credentials: client, auth: {header: x-mine}}}\n",
        *(1, 66, "providers.claude.auth", "has no meaning with credentials: client", "as it came"),
    ),
    "a header of ours where the caller's key may come": (
        "providers: {claude: {kind: anthropic, credentials: client, headers: {X-Api-Key: y}}}\n",
        *(1, 70, "providers.claude.headers.X-Api-Key", "where the caller's own credential may come", ""),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_ours_beside_the_callers_credential_is_refused(
    name: str, refused: Callable[..., list[Problem]]
) -> None:
    text, line, column, field, message, hint = CASES[name]
    problems = refused(text)
    assert len(problems) == 1, [str(each) for each in problems]
    found = problems[0]
    assert (found.mark.line, found.mark.column, dotted(found.path)) == (line, column, field)
    assert message in found.message
    assert hint in found.hint


def two(host: str, targets: str, fallback: str) -> str:
    """Two providers with the caller's credential and one without, and a model that they serve."""
    return f"""\
providers:
  one: {{dialect: openai, base_url: "https://one.test/v1", credentials: client}}
  two: {{dialect: openai, base_url: "https://{host}/v1", credentials: client}}
  ours: {{dialect: openai, base_url: "https://two.test/v1", api_key: x}}
models:
  fast:
    targets: [{targets}]
    fallback: [{fallback}]
"""


@pytest.mark.parametrize(
    ("targets", "fallback", "line", "field"),
    [
        ("{provider: one}", "{provider: ours}, {provider: two}", 8, "models.fast.fallback[1]"),
        ("{provider: one}, {provider: two}", "{provider: ours}", 7, "models.fast.targets[1]"),
    ],
)
def test_a_model_of_two_providers_that_both_want_the_callers_credential_is_refused(
    targets: str, fallback: str, line: int, field: str, refused: Callable[..., list[Problem]]
) -> None:
    problems = refused(two("two.test", targets, fallback))
    assert len(problems) == 1, [str(each) for each in problems]
    found = problems[0]
    assert (found.mark.line, dotted(found.path)) == (line, field)
    assert "two has another address than one, and both have credentials: client" in found.message
    assert "a model of its own" in found.hint


@pytest.mark.parametrize(
    ("host", "targets", "fallback"),
    [
        ("one.test", "{provider: one}", "{provider: two}"),
        ("two.test", "{provider: one}", "{provider: one, model: x}"),
        ("two.test", "{provider: two}", "{provider: ours}"),
    ],
)
def test_at_one_address_or_beside_others_the_callers_credential_may_go(
    host: str, targets: str, fallback: str, read: Callable[..., Config]
) -> None:
    assert len(read(two(host, targets, fallback)).models["fast"].fallback) == 1


def test_a_key_in_the_usual_variable_is_not_needed(read: Callable[..., Config]) -> None:
    config = read("providers: {groq: {credentials: client}, openai: {credentials: client, headers: {x-a: b}}}")
    assert [provider.credentials for provider in config.providers.values()] == ["client", "client"]
