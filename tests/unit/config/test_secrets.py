"""No secret shows: not in a repr, not in what is shown, not in an error, not in a log line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.config.load import load
from penstock.config.model import Config
from penstock.config.problem import ConfigError, Problem
from penstock.config.show import show
from penstock.observe.logs import Log
from penstock.policy.compile import Facts, compile_snapshot

SECRETS = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=16, max_size=40)


@given(
    secret=SECRETS, where=st.sampled_from(["api_key", "default", "header", "env", "file", "proxy", "variable", "query"])
)
@settings(deadline=None, max_examples=50)
def test_a_secret_shows_nowhere_wherever_it_stands(secret: str, where: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "secret").write_text(secret)
        provider: dict[str, object] = {"dialect": "openai", "base_url": "https://api.example.com/v1", "api_key": "x"}
        environ = {}
        match where:
            case "api_key":
                provider["api_key"] = secret
            case "default":
                provider["api_key"] = f"${{env:UNSET:-{secret}}}"
            case "header":
                provider["headers"] = {"x-gateway": f"token {secret}"}
            case "env":
                provider["api_key"], environ["KEY"] = "${env:KEY}", secret
            case "file":
                provider["api_key"] = f"${{file:{directory}/secret}}"
            case "query":
                provider["query"] = f"key={secret}"
            case "proxy":
                environ["HTTPS_PROXY"] = f"http://user:{secret}@proxy.example:3128"
            case "variable":
                environ["PENSTOCK_PROVIDERS__P__API_KEY"] = secret
        path = Path(directory) / "penstock.yaml"
        path.write_text(yaml.safe_dump({"providers": {"p": provider}}))
        loaded = load(str(path), environ)
        snapshot = compile_snapshot(loaded.config, loaded.catalogue, Facts(environ, 1 << 30, "json"), 1)
        lines: list[bytes] = []
        log = Log("debug", "json", lines.append)
        log.info(f"using {loaded.config}", config=loaded.config, snapshot=repr(snapshot))
        seen = [repr(loaded.config), repr(snapshot), repr(show(loaded.config)), *map(repr, lines)]
        for wrong in ({"max_attempts": 99}, {"providers": {"p": provider | {"api_kye": secret, "base_url": "x"}}}):
            path.write_text(yaml.safe_dump({"providers": {"p": provider}} | wrong))
            try:
                load(str(path), environ)
            except ConfigError as error:
                seen += [str(error), repr(error), msgspec.json.encode([p.plain() for p in error.problems]).decode()]
        assert not [text for text in seen if secret in text]


def test_what_is_shown_of_a_secret_is_where_it_comes_from() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "penstock.yaml"
        path.write_text("providers: {openai: {api_key: 'a-${env:KEY}', headers: {x-a: '${env:B:-c}'}}}")
        shown = show(load(str(path), {"KEY": "k"}).config)
        assert shown["providers"]["openai"] == {
            "api_key": "********${env:KEY}",
            "headers": {"x-a": "${env:B:-********}"},
            "credentials": "own",
            "max_connections": 1024,
        }


PLACES = {
    "listen": "listen: '${env:V}'\n",
    "listen with a port": "auth: open\nlisten: '0.0.0.0:${env:N}'\n",
    "store": "store: 'mysql://u:${env:V}@h/${env:V}'\n",
    "password_file": "store: {url: 'postgresql://u@h/d', password_file: '/not/${env:V}'}\n",
    "an admin token": "admin: {tokens: [{name: '${env:V} x', token: '${env:V}'}]}\n",
    "listen without a host": "listen: ':${env:N}'\n",
    "trusted_proxies": "trusted_proxies: ['${env:V}']\n",
    "ca_file": "tls: {ca_file: '/not/${env:V}'}\n",
    "a target": "models: {m: {targets: [{provider: '${env:V}', model: '${env:V}*'}]}}\n",
    "default_provider": "default_provider: '${env:V}'\n",
    "data_dir": "data_dir: '${env:V}'\nworkers: 0\n",
    "workers": "workers: '${env:V}'\n",
    "a word": "log: {level: '${env:V}'}\n",
    "a limit": "limits: {default: {requests: '5/7${env:V}', tokens: '5/${env:N}day', budget: ['1 usd/${env:N}day']}}\n",
    "a queue": "limits: {default: {concurrent: '${env:N}000', queue: '${env:N}s'}}\n",
    "a time zone": "limits: {zone: '${env:V}'}\n",
    "a price": "prices: {m: {input: '${env:V}', output: '${env:N}000'}}\n",
    "max_output_tokens": "models: {m: {targets: [{provider: openai}], max_output_tokens: '-${env:N}'}}\n",
    "time in all": "timeouts: {connect: '${env:N}s', total: 1s}\n",
}
INSIDE = {
    "kind": "kind: '${env:V}'",
    "base_url": "base_url: 'http://h/${env:V}?'",
    "base_url with a password": "base_url: 'http://u:${env:V}@h'",
    "a query": "query: '?${env:V}'",
    "a header": "headers: {a b: '${env:V}'}",
    "forward_headers": "forward_headers: ['${env:V} x']",
    "patterns": "patterns: ['*${env:V}*']",
    "passthrough": "passthrough: ['${env:V}']",
    "auth": "auth: {header: '${env:V} x'}",
}


@pytest.mark.parametrize("text", [*PLACES.values(), *INSIDE.values()], ids=[*PLACES, *INSIDE])
def test_what_a_variable_holds_is_in_no_message(text: str, refused: Callable[..., list[Problem]]) -> None:
    whole = "providers: {openai: {}}\n" + text if text.endswith("\n") else f"providers: {{openai: {{{text}}}}}\n"
    said = "".join(f"{each} {each.plain()}" for each in refused(whole, V="hunter22", N="61234"))
    assert "hunter22" not in said
    assert "61234" not in said


def test_a_base_url_and_a_query_are_shown_as_they_were_written(read: Callable[..., Config]) -> None:
    text = "providers: {openai: {base_url: 'https://h/${env:V}/v1', query: 'v=1&key=${env:V}', api_key: x}}"
    config = read(text, V="hunter22")
    assert config.providers["openai"].base_url == "https://h/hunter22/v1"
    shown = show(config)["providers"]["openai"]
    assert (shown["base_url"], shown["query"]) == ("https://h/${env:V}/v1", "********${env:V}")
    assert "hunter22" not in repr(config) + repr(shown)
