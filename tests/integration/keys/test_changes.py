"""What is changed on a node takes effect there before the call returns: by the admin API and by commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tests.support.gateway import Gateway, run
from tests.support.kinds import CHAT
from tests.support.office import Made, Office, becomes, use, verdict
from tests.support.raw import Client, request
from tests.support.script import Hold
from tests.support.upstream import Upstream


def soon(**how: float) -> str:
    return (datetime.now(UTC) + timedelta(**how)).isoformat()


def test_a_new_key_works_when_the_call_returns(gateway: Gateway, office: Office) -> None:
    for number in range(5):
        assert verdict(gateway, office.make(f"app-{number}")) == "ok"


def test_models_and_paths_change_at_once(gateway: Gateway, office: Office) -> None:
    key = office.make()
    assert verdict(gateway, key) == "ok"
    for patch, wanted in (
        ({"models": ["m-*"]}, "model_not_allowed"),
        ({"models": ["m"]}, "ok"),
        ({"models": []}, "model_not_allowed"),
        ({"models": None}, "ok"),
        ({"paths": ["/embeddings"]}, "path_closed"),
        ({"paths": ["/chat/completions"]}, "ok"),
        ({"networks": ["10.0.0.0/8"]}, "network_not_allowed"),
        ({"networks": ["127.0.0.0/8"]}, "ok"),
    ):
        office.change(key, **patch)
        assert verdict(gateway, key) == wanted, patch


def test_an_expiry_ends_a_key_and_taking_it_away_brings_it_back(gateway: Gateway, office: Office) -> None:
    key = office.make(expires=soon(hours=1))
    assert verdict(gateway, key) == "ok"
    office.change(key, expires=soon(milliseconds=400))
    becomes(gateway, key, "key_expired", 2.0)
    office.change(key, expires=None)
    assert verdict(gateway, key) == "ok"


def test_disabling_enabling_and_deleting_take_effect_at_once(gateway: Gateway, office: Office) -> None:
    key = office.make()
    assert verdict(gateway, key) == "ok"
    for _ in range(3):
        office.disable(key)
        assert verdict(gateway, key) == "key_disabled"
        office.enable(key)
        assert verdict(gateway, key) == "ok"
    office.delete(key)
    assert verdict(gateway, key) == "invalid_api_key"
    assert gateway.ask("GET", f"/admin/v1/keys/{key.id}").status == 404


def test_both_secrets_are_good_for_the_overlap_and_then_one(gateway: Gateway, office: Office) -> None:
    first = office.make()
    assert verdict(gateway, first) == "ok"
    second = office.rotate(first, "400ms")
    assert second.text != first.text
    assert [verdict(gateway, key) for key in (first, second)] == ["ok", "ok"]
    becomes(gateway, first, "invalid_api_key", 2.0)
    assert verdict(gateway, second) == "ok"


def test_a_third_secret_ends_the_first_at_once(gateway: Gateway, office: Office) -> None:
    first = office.make()
    second = office.rotate(first, "1h")
    third = office.rotate(first, "1h")
    assert [verdict(gateway, key) for key in (third, second)] == ["ok", "ok"]
    assert verdict(gateway, first) == "invalid_api_key"


def test_an_old_secret_that_was_never_shown_works_within_the_overlap(gateway: Gateway, office: Office) -> None:
    first = office.make()
    second = office.rotate(first, "1h")
    assert verdict(gateway, first) == "ok"
    assert verdict(gateway, second) == "ok"
    third = office.rotate(first, "0")
    assert verdict(gateway, third) == "ok"
    assert verdict(gateway, second) == "invalid_api_key"


def test_a_change_of_a_team_counts_for_its_keys_at_once(gateway: Gateway, office: Office) -> None:
    team = office.call("POST", "/admin/v1/teams", {"name": "research", "models": ["m*"]}, 201)
    path = f"/admin/v1/teams/{team['id']}"
    narrow, wide = office.make(team="research", models=["m"]), office.make(team=team["id"])
    assert [verdict(gateway, key) for key in (narrow, wide)] == ["ok", "ok"]
    assert [verdict(gateway, key, model="m-1") for key in (narrow, wide)] == ["model_not_allowed", "ok"]
    office.call("PATCH", path, {"models": ["m-*"]})
    assert [verdict(gateway, key) for key in (narrow, wide)] == ["model_not_allowed"] * 2
    assert [verdict(gateway, key, model="m-1") for key in (narrow, wide)] == ["model_not_allowed", "ok"]
    office.call("PATCH", path, {"models": None, "state": "disabled"})
    assert [verdict(gateway, key) for key in (narrow, wide)] == ["key_disabled"] * 2
    office.call("PATCH", path, {"state": "active"})
    assert [verdict(gateway, key) for key in (narrow, wide)] == ["ok", "ok"]
    assert gateway.ask("DELETE", path).status == 409
    for key in (narrow, wide):
        office.delete(key)
    office.call("DELETE", path, status=204)


def test_commands_take_effect_when_they_end(gateway: Gateway, office: Office) -> None:
    made = office.command("keys", "create", "--name", "app", "--model", "m", "--json")
    assert made.returncode == 0, made.stderr
    issued = json.loads(made.stdout)
    key = Made(issued["id"], issued["key"])
    office.note(key.text)
    assert verdict(gateway, key) == "ok"
    steps = [
        (("update", key.id, "--model", "m-*"), "model_not_allowed"),
        (("update", key.id, "--all-models", "--network", "10.0.0.0/8"), "network_not_allowed"),
        (("update", key.id, "--network", "127.0.0.1"), "ok"),
        (("disable", key.id), "key_disabled"),
        (("enable", key.id), "ok"),
        (("delete", key.id), "invalid_api_key"),
    ]
    for arguments, wanted in steps:
        done = office.command("keys", *arguments)
        assert done.returncode == 0, done.stderr
        assert key.text not in done.stdout + done.stderr
        assert verdict(gateway, key) == wanted, arguments


def test_the_rotate_command_shows_the_new_key_once(gateway: Gateway, office: Office) -> None:
    first = office.make()
    done = office.command("keys", "rotate", first.id, "--overlap", "0")
    assert done.returncode == 0, done.stderr
    text = done.stdout.strip()
    office.note(text)
    assert verdict(gateway, text) == "ok"
    assert verdict(gateway, first) == "invalid_api_key"
    shown = office.command("keys", "show", first.id)
    assert first.id in shown.stdout
    assert text not in shown.stdout


@pytest.mark.parametrize("how", [{"overlap": "-1s"}, {"overlap": "400d"}, {"overlap": "soon"}, {"overlp": "1h"}])
def test_a_refused_rotation_leaves_the_key_as_it_was(gateway: Gateway, office: Office, how: dict[str, str]) -> None:
    key = office.make()
    refused = gateway.ask("POST", f"/admin/v1/keys/{key.id}/rotate", how)
    assert refused.status == 400, refused.body
    assert verdict(gateway, key) == "ok"
    assert len(office.show(key)["secrets"]) == 1


def test_every_problem_of_a_wish_is_told_at_once(gateway: Gateway, office: Office) -> None:
    wish = {
        "name": "",
        "models": ["no-such-model"],
        "networks": ["300.0.0.0/8"],
        "expires": "2020-01-01T00:00:00Z",
        "team": "nobody",
        "limits": {"requests": -1},
    }
    refused = gateway.ask("POST", "/admin/v1/keys", wish)
    assert refused.status == 400
    assert (refused.header("content-type") or "").startswith("application/problem+json")
    faults = {each["field"].split("[")[0].split(".")[0] for each in refused.json()["errors"]}
    assert faults == set(wish), refused.body
    assert use(gateway, None).status == 401


def test_a_key_that_another_command_made_on_the_store_itself_is_good_within_a_second(
    gateway: Gateway, office: Office
) -> None:
    """The command's configuration has another admin port, where nobody listens."""
    beside = gateway.directory / "beside.yaml"
    beside.write_text(yaml.safe_dump(gateway.config | {"admin": {"listen": "127.0.0.1:9"}}))
    done = run("keys", "create", "--name", "beside", "-c", str(beside))
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    office.note(key)
    becomes(gateway, key, "ok")


def test_a_connection_that_is_kept_is_checked_with_every_request(gateway: Gateway, office: Office) -> None:
    key = office.make()
    ask = request("GET", "/v1/models", headers={"authorization": f"Bearer {key.text}"})
    with Client(gateway.address) as client:
        for change, status in ((None, 200), (office.disable, 401), (office.enable, 200), (office.delete, 401)):
            if change is not None:
                change(key)
            client.send(ask)
            assert client.read("GET").status == status


def test_the_cut_command_ends_a_request_that_waits_for_its_provider(
    gateway: Gateway, office: Office, upstream: Upstream
) -> None:
    key, other = office.make(), office.make()
    upstream.queue([Hold()], [Hold()])
    body = json.dumps(CHAT.request("m", False)).encode()
    clients = [Client(gateway.address) for _ in range(2)]
    for number, (client, each) in enumerate(zip(clients, (key, other), strict=True), 1):
        client.send(request("POST", CHAT.path, body, {"authorization": f"Bearer {each.text}"}))
        upstream.wait_request(number)
    done = office.command("keys", "disable", key.id, "--cut")
    assert done.returncode == 0, done.stderr
    got = clients[0].read()
    assert (got.status, got.error_code) == (401, "key_disabled")
    assert upstream.requests[0].departed.wait(5)
    assert not upstream.requests[1].departed.is_set()
    for client in clients:
        client.close()
