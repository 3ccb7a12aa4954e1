"""Every entry of the catalogue is sound."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from penstock.config.addresses import parse_url
from penstock.config.check_providers import NEVER_FORWARDED
from penstock.config.model import Provider
from penstock.providers.catalogue import FILE, Catalogue, Kind, load_catalogue
from penstock.providers.resolve import resolve

CATALOGUE = load_catalogue()
EXPECTED = (
    "openai anthropic ollama gemini mistral groq together fireworks deepseek xai openrouter cohere perplexity cerebras"
    " moonshot zai minimax dashscope azure azure-anthropic bedrock vllm sglang llamacpp lmstudio"
)


def test_the_known_kinds_are_there_once_each() -> None:
    assert set(CATALOGUE) == set(EXPECTED.split())
    names = [line.partition(":")[0] for line in FILE.read_text().splitlines() if line and line[0] not in " #"]
    assert names == list(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_can_be_used_with_no_more_than_a_key(name: str) -> None:
    kind = CATALOGUE[name]
    given = Provider(base_url=None if kind.base_url else "https://resource.example/v9")
    found = resolve(name, given, CATALOGUE, {kind.env: "key"} if kind.env else {})
    assert set(found.bases) == set(kind.dialects)
    assert (found.api_key is not None) == (kind.env is not None)


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_is_consistent(name: str) -> None:
    kind = CATALOGUE[name]
    assert name == name.lower()
    assert kind.dialects
    assert all(path.startswith("/") for path in kind.dialects.values())
    if kind.base_url:
        url = parse_url(kind.base_url)
        assert url.scheme == "https" or url.host == "127.0.0.1"
    assert (kind.key == "optional") == (kind.env is None)
    assert all(pattern.count("*") <= 1 for pattern in kind.patterns)
    assert not {header.lower() for header in kind.forward_headers} & NEVER_FORWARDED
    assert kind.auth.header == kind.auth.header.lower()


def test_what_runs_on_ones_own_machine_is_free_and_nothing_else_is() -> None:
    free = {name for name, kind in CATALOGUE.items() if kind.free}
    assert free == {name for name, kind in CATALOGUE.items() if kind.base_url and "127.0.0.1" in kind.base_url}
    assert free == {"ollama", "vllm", "sglang", "llamacpp", "lmstudio"}


def test_no_two_kinds_claim_the_same_names_but_the_catch_all() -> None:
    claimed = [pattern for kind in CATALOGUE.values() for pattern in kind.patterns if pattern != "*"]
    assert len(claimed) == len(set(claimed))


def test_an_unknown_field_is_refused() -> None:
    text = yaml.safe_load("a: {dialects: {openai: /}, colour: red}")
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.convert(text, Catalogue)


def test_anthropic_wants_its_own_header() -> None:
    assert (CATALOGUE["anthropic"].auth.header, CATALOGUE["anthropic"].auth.prefix) == ("x-api-key", "")
    assert Kind(dialects={"openai": "/"}).auth.prefix == "Bearer "
