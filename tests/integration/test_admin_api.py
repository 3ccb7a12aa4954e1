"""The admin API of a running gateway: what its OpenAPI document promises, and the commands that call it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import positive_data_acceptance
from schemathesis.core.result import Ok

from penstock.keys.takeover import MOST, MOST_SECRETS
from tests.support import raw
from tests.support.gateway import Gateway, run

PROVIDERS = {"local": {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "x"}}
MODELS = {"fast": {"targets": [{"provider": "local"}]}}

# What a model's name, a network or a time must be is more than a schema says: those may be refused.
LEFT_OUT = [positive_data_acceptance]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = {"auth": "keys", "providers": PROVIDERS, "models": MODELS}
    with Gateway(tmp_path_factory.mktemp("gateway"), config) as running:
        yield running


def hold_to_document(document: dict[str, Any], address: str, token: str, rounds: int) -> int:
    """Asks every path for what the document allows and for what it does not; how many paths there were."""
    promised = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in promised.get_all_operations() if isinstance(found, Ok)]
    bearer = {"Authorization": f"Bearer {token}"}
    for operation in operations:
        for mode in schemathesis.GenerationMode:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(max_examples=rounds, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            def hold(case: schemathesis.Case[Any]) -> None:
                # A parameter with an empty list for a value is not sent: nothing about that request is wrong.
                assume(all(value != [] for value in (case.query or {}).values()))
                response = case.call(f"http://{address}", headers=bearer)
                if response.status_code != 431:  # longer than any head may be: refused before the document is asked
                    case.validate_response(response, headers=bearer, excluded_checks=LEFT_OUT)

            try:
                hold()
            except Unsatisfiable:
                assert mode.is_negative  # nothing about it can be wrong
    return len(operations)


@pytest.mark.timeout(240)
def test_every_path_does_what_the_document_says(gateway: Gateway, rounds: int) -> None:
    document = gateway.ask("GET", "/admin/v1/openapi.json").json()
    assert hold_to_document(document, gateway.admin[0], gateway.token(), rounds) > 15


@pytest.mark.parametrize("shape", ["' OR 1=1 --", '"; DROP TABLE penstock_keys; --', "%00", "../../x", "${env:HOME}"])
def test_text_that_means_something_elsewhere_means_nothing_here(gateway: Gateway, shape: str) -> None:
    tags = {shape.replace("=", "<"): shape}  # no name of one has =
    wish = {"name": shape, "owner": shape, "tags": tags}
    made = send(gateway, "POST", "/admin/v1/keys", wish)
    assert made.status == 201, made
    key = send(gateway, "GET", f"/admin/v1/keys/{made.json()['id']}").json()
    assert (key["name"], key["owner"], key["tags"]) == (shape, shape, tags)


def test_a_body_over_the_bound_is_refused(gateway: Gateway) -> None:
    # No more than the gateway still takes while the refusal is on its way: beyond it closes.
    assert send(gateway, "POST", "/admin/v1/keys", {"name": "a" * (1 << 20)}).status == 413


def test_the_largest_import_is_answered_before_native_gives_up(gateway: Gateway) -> None:
    hashed = [{"name": "h", "sha256": hashlib.sha256(b"%d" % n).hexdigest()} for n in range(MOST)]
    clear = [{"name": "c", "secret": f"sk-elsewhere-{n:020}"} for n in range(MOST_SECRETS)]
    for keys in (hashed, clear):
        took, created = 503, 0
        while took == 503:  # a machine that is too busy to make them all says how far it came
            got = send(gateway, "POST", "/admin/v1/keys/import", {"keys": keys})
            took, before = got.status, created
            created += len(got.json()["created"])
            assert created > before
        assert (took, created) == (200, len(keys))
    assert models(gateway, clear[-1]["secret"]) == 200
    document = gateway.ask("GET", "/admin/v1/openapi.json").json()
    told = " ".join(document["components"]["schemas"]["Import"]["description"].split())
    assert f"At most {MOST:,} at once, and {MOST_SECRETS} of them by their secret" in told


def test_commands_administer_a_running_process_and_take_effect_at_once(gateway: Gateway, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(gateway.token())
    there = ("--admin", f"http://{gateway.admin[0]}", "--token-file", str(token))
    made = run("keys", "create", "--name", "app", "--model", "fast", "--json", *there)
    assert made.returncode == 0, made.stderr
    issued = json.loads(made.stdout)
    assert models(gateway, issued["key"]) == 200
    assert run("keys", "disable", issued["id"], *there).returncode == 0
    assert models(gateway, issued["key"]) == 401
    assert run("keys", "enable", issued["id"], *there).returncode == 0
    assert models(gateway, issued["key"]) == 200
    assert run("keys", "delete", issued["id"], *there).returncode == 0
    assert models(gateway, issued["key"]) == 401
    assert issued["key"] not in gateway.log()


def test_a_viewers_token_reads_and_changes_nothing(gateway: Gateway) -> None:
    token = send(gateway, "POST", "/admin/v1/tokens", {"name": "grafana", "role": "viewer"}).json()
    assert send(gateway, "GET", "/admin/v1/keys", token=token["token"]).status == 200
    assert send(gateway, "POST", "/admin/v1/keys", {"name": "a"}, token=token["token"]).status == 403
    assert send(gateway, "DELETE", f"/admin/v1/tokens/{token['id']}").status == 204
    assert send(gateway, "GET", "/admin/v1/keys", token=token["token"]).status == 401


def send(gateway: Gateway, method: str, path: str, body: Any = None, token: str | None = None) -> raw.Answer:
    headers = {"authorization": f"Bearer {token or gateway.token()}", "connection": "close"}
    content = b"" if body is None else json.dumps(body).encode()
    if content:
        headers["content-type"] = "application/json"
    return raw.exchange(gateway.admin[0], raw.request(method, path, content, headers=headers), method)


def models(gateway: Gateway, key: str) -> int:
    headers = {"authorization": f"Bearer {key}", "connection": "close"}
    return raw.exchange(gateway.address, raw.request("GET", "/v1/models", headers=headers), "GET").status
