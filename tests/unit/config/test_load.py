"""Where a configuration comes from: file, overriding variables, the vendors' variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.config.load import MAX_FILE_BYTES, find, host_url, load
from penstock.config.model import Config, EnvPart, Secret, TextPart
from penstock.config.problem import ConfigError, Problem

Read = Callable[..., Config]


def test_everything_but_providers_has_a_default(read: Read) -> None:
    config = read("providers: {openai: {}}")
    assert config == Config(providers=config.providers)
    assert (config.auth, config.listen, config.max_attempts) == ("keys", ("127.0.0.1:4000",), 4)


def test_one_value_stands_for_a_list_of_one(read: Read) -> None:
    assert read("providers: {openai: {}}\ntrusted_proxies: 10.0.0.0/8").trusted_proxies == ("10.0.0.0/8",)


def test_words_that_yaml_takes_for_other_types_stay_text(read: Read) -> None:
    config = read("providers: {openai: {}}\nmodels: {on: {targets: [{provider: openai, model: 4.10}]}}")
    assert config.models["on"].targets[0].model == "4.10"


def test_a_variable_lies_over_the_file(read: Read) -> None:
    text = "timeouts: {connect: 9s}\nproviders: {my-box: {dialect: openai, base_url: http://h}}"
    config = read(
        text,
        PENSTOCK_TIMEOUTS__CONNECT="2s",
        PENSTOCK_LISTEN="127.0.0.1:1,[::1]:1",
        PENSTOCK_PROVIDERS__MY_BOX__API_KEY="sk-secret",
        PENSTOCK_LOG__ACCESS="true",
        PENSTOCK_KEEPALIVE="",
    )
    assert config.timeouts.connect == 2_000
    assert config.listen == ("127.0.0.1:1", "[::1]:1")
    assert config.providers["my-box"].api_key == Secret((EnvPart("PENSTOCK_PROVIDERS__MY_BOX__API_KEY"),))
    assert config.log.access
    assert config.keepalive == 15_000


def test_a_variable_that_is_wrong_is_named(refused: Callable[..., list[Problem]]) -> None:
    problems = refused(
        "providers: {openai: {}}",
        PENSTOCK_TIMEOUTS__CONNECT="soon",
        PENSTOCK_TIMEOTS__CONNECT="1s",
        PENSTOCK_TIMEOUTS__CONECT="1s",
    )
    assert [str(found) for found in problems] == [
        "PENSTOCK_TIMEOTS__CONNECT: timeots.connect: names no field (did you mean 'timeouts'?)",
        "PENSTOCK_TIMEOUTS__CONECT: timeouts.conect: unknown field (did you mean 'connect'?)",
        "PENSTOCK_TIMEOUTS__CONNECT: timeouts.connect: expected a duration such as 100ms, 5s, 2m or 1h, not 'soon'",
    ]


def test_variables_that_a_container_platform_sets_for_a_service_are_not_ours(read: Read) -> None:
    assert read("providers: {openai: {}}", PENSTOCK_PORT="tcp://10.0.0.1:4000", PENSTOCK_SERVICE_HOST="10.0.0.1")


def test_without_a_file_providers_are_found_by_their_usual_variables() -> None:
    environ = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "y", "OLLAMA_HOST": "0.0.0.0:1234"}
    config = load(None, environ).config
    assert list(config.providers) == ["openai", "anthropic", "ollama"]
    assert config.providers["ollama"].base_url == "http://127.0.0.1:1234"


def test_without_a_file_and_without_variables_it_says_what_to_write() -> None:
    with pytest.raises(ConfigError) as error:
        load(None, {})
    text = str(error.value)
    assert text.startswith("no configuration file: providers: no provider is configured (set OPENAI_API_KEY, ANTHROPIC")
    assert 'providers: {openai: {api_key: "${env:OPENAI_API_KEY}"}}' in text


def test_without_a_file_variables_alone_can_configure() -> None:
    environ = {"PENSTOCK_PROVIDERS__BOX__DIALECT": "openai", "PENSTOCK_PROVIDERS__BOX__BASE_URL": "http://10.0.0.5/v1"}
    assert list(load(None, environ | {"OPENAI_API_KEY": "x"}).config.providers) == ["box"]


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("::1", "http://[::1]:11434"),
        ("box.lan:80/", "http://box.lan:80"),
        ("https://ollama.example", "https://ollama.example"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(value: str, url: str) -> None:
    assert host_url(value, "http://127.0.0.1:11434") == url


def test_the_file_is_the_one_named_then_the_variable_then_the_one_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find(None, {}) is None
    (tmp_path / "penstock.yaml").touch()
    assert find(None, {}) == "penstock.yaml"
    assert find(None, {"PENSTOCK_CONFIG": "b"}) == "b"
    assert find("a", {"PENSTOCK_CONFIG": "b"}) == "a"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    bad, long = tmp_path / "bad", tmp_path / "long"
    bad.write_bytes(b"a: 1\nb: \xff\n")
    long.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    for path, message in (
        (tmp_path / "none", f"{tmp_path}/none: cannot be read: No such file or directory"),
        (bad, f"{bad}:2:4: not UTF-8"),
        (long, f"{long}: is larger than 4 MiB"),
    ):
        with pytest.raises(ConfigError) as error:
            load(str(path), {})
        assert str(error.value) == message


def test_an_empty_variable_gives_way_to_its_default_in_a_secret_too(read: Read) -> None:
    config = read("providers: {openai: {api_key: '${env:EMPTY:-other}'}}", EMPTY="")
    assert config.providers["openai"].api_key == Secret((TextPart("other"),))


def test_a_secret_that_could_not_be_sent_is_refused_without_being_shown(refused: Callable[..., list[Problem]]) -> None:
    text = "".join(map(str, refused("providers: {openai: {api_key: '${env:BAD}'}}", BAD="sk-one\nsk-two")))
    assert "line break" in text
    assert "sk-" not in text
