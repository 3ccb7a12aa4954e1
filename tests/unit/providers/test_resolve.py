"""What a configured provider becomes with its kind."""

from __future__ import annotations

import pytest

from penstock.config.addresses import Url
from penstock.config.model import Auth, EnvPart, GivenAuth, Provider, Secret, TextPart
from penstock.providers.catalogue import load_catalogue
from penstock.providers.resolve import Unresolved, Upstream, resolve

CATALOGUE = load_catalogue()
LOCAL = Url("http", "127.0.0.1", 11434, "")


def made(name: str, given: Provider, **environ: str) -> Upstream:
    return resolve(name, given, CATALOGUE, environ)


def test_a_known_name_needs_nothing_but_its_variable() -> None:
    found = made("openai", Provider(), OPENAI_API_KEY="x")
    assert found.bases == {"openai": Url("https", "api.openai.com", 443, "/v1")}
    assert found.api_key == Secret((EnvPart("OPENAI_API_KEY"),))
    assert found.kind == "openai"


def test_a_kind_that_speaks_several_dialects_has_a_base_for_each() -> None:
    found = made("local", Provider(kind="ollama", base_url="http://127.0.0.1:11434/"))
    assert found.bases == {"ollama": LOCAL, "openai": LOCAL._replace(path="/v1"), "anthropic": LOCAL}


def test_a_dialect_of_ones_own_is_at_base_url_itself() -> None:
    found = made("vllm-a", Provider(dialect="openai", base_url="http://10.0.0.5:8000/v1"))
    assert found.bases == {"openai": Url("http", "10.0.0.5", 8000, "/v1")}
    assert (found.kind, found.api_key, found.supports_stream_usage) == (None, None, False)


def test_one_dialect_of_a_kind_is_where_the_kind_has_it() -> None:
    assert made("o", Provider(kind="ollama", dialect="openai")).bases == {"openai": LOCAL._replace(path="/v1")}


def test_dialects_stand_below_base_url() -> None:
    given = Provider(base_url="http://h/p/", dialects={"openai": "/v1", "anthropic": "/"})
    assert {name: url.path for name, url in made("x", given).bases.items()} == {"openai": "/p/v1", "anthropic": "/p"}


def test_the_vendors_key_never_goes_to_another_address() -> None:
    assert made("openai", Provider(base_url="http://127.0.0.1:9/v1"), OPENAI_API_KEY="x").api_key is None


def test_a_kind_without_an_address_of_its_own_takes_its_usual_key() -> None:
    found = made("azure", Provider(base_url="https://r.openai.azure.com/openai/v1"), AZURE_OPENAI_API_KEY="x")
    assert found.api_key == Secret((EnvPart("AZURE_OPENAI_API_KEY"),))
    assert found.auth == Auth(header="api-key", prefix="")


def test_what_is_given_stands_over_the_catalogue() -> None:
    key = Secret((TextPart("k"),))
    given = Provider(api_key=key, auth=GivenAuth(header="x-k", prefix=""), patterns=(), lists_models=False)
    found = made("openai", given)
    assert (found.api_key, found.auth.header, found.patterns, found.lists_models) == (key, "x-k", (), False)


@pytest.mark.parametrize(
    ("name", "auth", "expected"),
    [
        ("anthropic", GivenAuth(header="x-k"), Auth(header="x-k", prefix="")),
        ("anthropic", GivenAuth(prefix="Key "), Auth(header="x-api-key", prefix="Key ")),
        ("openai", GivenAuth(header="x-k"), Auth(header="x-k", prefix="Bearer ")),
        ("openai", GivenAuth(prefix=""), Auth(header="authorization", prefix="")),
    ],
)
def test_what_is_not_given_of_auth_is_as_the_kind_has_it(name: str, auth: GivenAuth, expected: Auth) -> None:
    assert made(name, Provider(api_key=Secret((TextPart("k"),)), auth=auth)).auth == expected


@pytest.mark.parametrize(
    ("name", "header"), [("openai", "Authorization"), ("anthropic", "X-Api-Key"), ("azure", "Api-Key")]
)
def test_a_key_written_as_a_header_needs_no_variable_and_goes_before_it(name: str, header: str) -> None:
    base_url = "https://r.openai.azure.com/openai/v1" if name == "azure" else None
    given = Provider(base_url=base_url, headers={header: Secret((TextPart("k"),))})
    assert made(name, given).api_key is None
    assert made(name, given, OPENAI_API_KEY="x", ANTHROPIC_API_KEY="x", AZURE_OPENAI_API_KEY="x").api_key is None


def test_a_missing_key_names_the_variable() -> None:
    with pytest.raises(Unresolved, match="is missing") as error:
        made("mistral", Provider())
    assert error.value.hint == "set MISTRAL_API_KEY, or write api_key: ${env:NAME}"
