"""Configuration in, snapshot out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.config.load import load
from penstock.config.model import EnvPart, TextPart
from penstock.policy.compile import Facts, compile_snapshot, encode
from penstock.policy.snapshot import Snapshot

HERE = Path(__file__).parent
KEYS = {"OPENAI_API_KEY": "sk-of-openai", "ANTHROPIC_API_KEY": "sk-of-anthropic"}
Compile = Callable[..., Snapshot]


@pytest.fixture
def compiled(write: Callable[[str], str]) -> Compile:
    def make(text: str, **environ: str) -> Snapshot:
        loaded = load(write(text), KEYS | environ)
        return compile_snapshot(loaded.config, loaded.catalogue, Facts(KEYS | environ, 8 << 30, "json"), 7)

    return make


def test_the_example_compiles_to_the_golden_snapshot(compiled: Compile) -> None:
    made: dict[str, Any] = msgspec.json.decode(encode(compiled((HERE / "example.yaml").read_text())))
    made["prices"] = [price for price in made["prices"] if price["kind"] is None]  # the list has its own tests
    assert made == msgspec.json.decode((HERE / "example.snapshot.json").read_bytes())


def test_no_value_of_a_secret_is_in_the_snapshot(compiled: Compile) -> None:
    assert b"sk-of-" not in encode(compiled((HERE / "example.yaml").read_text()))


def test_without_models_the_catalogues_patterns_apply_the_more_exact_first(compiled: Compile) -> None:
    made = compiled(
        "providers: {a: {kind: openai, api_key: x}, openai: {}, local: {kind: ollama}, claude: {kind: anthropic}}"
    )
    patterns = {each.pattern: each.provider for each in made.patterns}
    assert patterns["gpt-*"] == "a"
    assert patterns["claude-*"] == "claude"
    assert (made.patterns[-1].pattern, made.patterns[-1].provider) == ("*", "local")


def test_with_models_no_pattern_applies(compiled: Compile) -> None:
    assert compiled("providers: {openai: {}}\nmodels: {m: {targets: [{provider: openai}]}}").patterns == ()


def test_limits_of_a_provider_lie_over_the_general_ones(compiled: Compile) -> None:
    made = compiled("timeouts: {connect: 1s}\nproviders: {openai: {timeouts: {total: 9s}}}").providers[0].timeouts
    assert (made.connect_ms, made.total_ms, made.first_token_ms) == (1_000, 9_000, 600_000)


def test_limits_of_a_model_are_only_those_that_it_sets(compiled: Compile) -> None:
    made = compiled(
        "providers: {openai: {timeouts: {total: 9s}}}\n"
        "models: {m: {targets: [{provider: openai}], timeouts: {connect: 2s}}, n: {targets: [{provider: openai}]}}"
    )
    assert msgspec.to_builtins(made.models[0].timeouts) == {
        "connect_ms": 2_000,
        "first_token_ms": None,
        "between_bytes_ms": None,
        "total_ms": None,
    }
    assert made.models[1].timeouts is None


def test_places_without_a_limit_do_not_cross(compiled: Compile) -> None:
    limits = compiled("providers: {openai: {}}\nlimits: {providers: {openai: {}}, models: {gpt-5: {}}}").limits
    assert (limits.default, limits.global_, limits.models, limits.providers) == (None, None, {}, {})


def test_what_is_set_crosses_and_what_is_not_set_does_not(compiled: Compile) -> None:
    text = "providers: {openai: {}}\nlimits: {default: {concurrent: 0}}"
    crossed = msgspec.json.decode(encode(compiled(text)))["limits"]
    assert crossed["default"] == {"concurrent": [{"amount": 0}]}
    assert set(crossed) == {"default", "global", "models", "providers", "unpriced", "zone"}


def test_a_limit_written_with_a_reference_crosses_as_what_it_stands_for(compiled: Compile) -> None:
    text = "providers: {openai: {}}\nlimits: {default: {requests: '${env:R}/min'}, zone: '${env:Z}'}"
    made = msgspec.json.decode(encode(compiled(text, R="7", Z="Asia/Tokyo")))["limits"]
    assert made["default"] == {"requests": [{"amount": 7, "window_us": 60_000_000}]}
    assert made["zone"] == "Asia/Tokyo"


def test_prices_cross_in_nano_dollars(compiled: Compile) -> None:
    made = compiled(
        "providers: {openai: {}}\nprices: {a: {input: 0.1, output: 0.000000001}, 'b*': {input: 0, output: 3}}"
    )
    configured = [each for each in made.prices if each.kind is None]
    assert [(each.pattern, each.rates.input, each.rates.output) for each in configured] == [
        ("a", 100_000_000, 1),
        ("b*", 0, 3_000_000_000),
    ]


def test_a_provider_is_free_if_its_kind_is_or_it_says_so(compiled: Compile) -> None:
    made = compiled(
        "providers: {openai: {}, gift: {kind: openai, free: true, api_key: x}, local: {kind: ollama},"
        " rented: {kind: vllm, free: false}, mine: {dialect: openai, base_url: http://h}}"
    )
    assert [provider.free for provider in made.providers] == [False, True, True, False, False]


def test_a_query_crosses_by_reference(compiled: Compile) -> None:
    made = compiled("providers: {openai: {query: 'v=1&key=${env:K}'}, groq: {api_key: x}}", K="hidden")
    assert made.providers[0].query == (TextPart("v=1&key="), EnvPart("K"))
    assert made.providers[1].query == ()


def test_text_written_with_references_crosses_as_what_it_stands_for(compiled: Compile) -> None:
    text = "providers: {a: {kind: openai, api_key: x}}\n"
    text += "models: {m: {targets: [{provider: '${env:P}', model: '${env:M}-1'}]}}"
    made = msgspec.json.decode(encode(compiled(text, P="a", M="gpt")))
    assert made["models"][0]["targets"] == [{"provider": "a", "model": "gpt-1", "weight": 1}]


@pytest.mark.parametrize(
    ("listen", "admin", "hosts"),
    [
        ("127.0.0.1:1", "unix:/a", ("localhost", "127.0.0.1", "::1")),
        ("127.0.0.2:1", "127.0.0.1:2", ("localhost", "127.0.0.1", "::1", "127.0.0.2")),
        ("unix:/b", "unix:/a", ()),
    ],
)
def test_the_names_of_this_machine_may_stand_in_host(
    compiled: Compile, listen: str, admin: str, hosts: tuple[str, ...]
) -> None:
    text = f"auth: open\nlisten: '{listen}'\nadmin: {{listen: '{admin}'}}\nproviders: {{openai: {{}}}}"
    assert compiled(text).allowed_hosts == hosts


def test_with_keys_any_name_may_stand_in_host(compiled: Compile) -> None:
    made = compiled("providers: {openai: {}}")
    assert (made.auth, made.allowed_hosts) == ("keys", ())


def test_with_the_callers_own_credential_no_key_of_ours_goes_along(compiled: Compile) -> None:
    made = compiled("providers: {claude: {kind: anthropic, credentials: client}, openai: {}}")
    claude, openai = made.providers
    assert claude.dialects["anthropic"].auth is None
    assert (claude.client_credentials, claude.lists_models) == (True, False)
    assert (openai.client_credentials, openai.lists_models) == (False, True)
    assert compiled("providers: {a: {kind: openai, credentials: client, lists_models: true}}").providers[0].lists_models


def test_the_proxy_on_the_way_is_decided_here(compiled: Compile) -> None:
    made = compiled(
        "providers: {openai: {}, ollama: {}}", HTTPS_PROXY="http://p:3128", HTTP_PROXY="http://p:3128", NO_PROXY="x"
    )
    assert [provider.proxy is not None for provider in made.providers] == [True, False]


def test_opened_paths_and_header_names_have_one_spelling(compiled: Compile) -> None:
    made = compiled(
        "providers: {openai: {passthrough: [/v1/files, /batches, /v1beta/x], headers: {OpenAI-Organization: o}}}"
    )
    assert made.providers[0].passthrough == ("/files", "/batches", "/v1beta/x")
    assert made.providers[0].headers[0][0] == "openai-organization"


def test_what_is_automatic_is_decided_from_the_machine(compiled: Compile) -> None:
    assert compiled("providers: {openai: {}}").body.max_inflight_bytes == 1 << 30
