"""What is changed on one node takes effect on another within a second, whatever store they share."""

from __future__ import annotations

import json
import statistics
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.office import Made, Office, becomes
from tests.support.raw import Client, request
from tests.support.script import LAST, Hold, Send, WaitFor, chunk, stream_head
from tests.support.upstream import Upstream, steps

from .conftest import BEHIND_SERVER, Pair


def test_every_change_reaches_the_other_node_within_a_second(pair: Pair) -> None:
    key = pair.office.make()
    becomes(pair.other, key, "ok")
    for patch, wanted in (
        ({"models": ["m-*"]}, "model_not_allowed"),
        ({"models": None, "paths": ["/embeddings"]}, "path_closed"),
        ({"paths": None, "networks": ["10.0.0.0/8"]}, "network_not_allowed"),
    ):
        pair.office.change(key, **patch)
        becomes(pair.other, key, wanted)
    pair.office.change(key, networks=None, expires=(datetime.now(UTC) + timedelta(milliseconds=300)).isoformat())
    becomes(pair.other, key, "key_expired")
    pair.office.change(key, expires=None)
    pair.office.disable(key)
    becomes(pair.other, key, "key_disabled")
    pair.office.enable(key)
    becomes(pair.other, key, "ok")
    pair.office.delete(key)
    becomes(pair.other, key, "invalid_api_key")


@pytest.mark.parametrize("pair", [BEHIND_SERVER[0]], indirect=True)
def test_where_the_store_can_wake_nodes_changes_come_sooner_than_by_polling(pair: Pair) -> None:
    key = pair.office.make()
    becomes(pair.other, key, "ok")
    took = []
    for _ in range(4):
        for change, wanted in ((pair.office.disable, "key_disabled"), (pair.office.enable, "ok")):
            change(key)
            began = time.monotonic()
            becomes(pair.other, key, wanted)
            took.append(time.monotonic() - began)
    assert statistics.median(took) < 0.2, took


def test_a_rotation_reaches_the_other_node(pair: Pair) -> None:
    first = pair.office.make()
    becomes(pair.other, first, "ok")
    second = pair.office.rotate(first, "800ms")
    becomes(pair.other, second, "ok")
    becomes(pair.other, first, "invalid_api_key", 2.0)
    third = pair.office.rotate(first, "0")
    becomes(pair.other, second, "invalid_api_key")
    becomes(pair.other, third, "ok", 2.0)  # the one before was shown from here, and wrong by then: that is a second


def test_an_admin_token_of_the_store_is_good_on_the_other_node(pair: Pair) -> None:
    made = pair.office.call("POST", "/admin/v1/tokens", {"name": "ops", "role": "viewer"}, 201)
    pair.office.note(made["token"])

    def becomes_status(wanted: int) -> None:
        deadline = time.monotonic() + 1.0
        while (got := pair.other.ask("GET", "/admin/v1/keys", token=made["token"]).status) != wanted:
            assert time.monotonic() < deadline, got

    becomes_status(200)
    pair.office.call("DELETE", f"/admin/v1/tokens/{made['id']}", status=204)
    becomes_status(401)


def test_changes_from_both_nodes_at_once_are_all_kept(pair: Pair) -> None:
    offices = [pair.office, Office(pair.other, pair.one)]
    made: list[Made] = []

    def work(office: Office) -> None:
        for number in range(6):
            made.append(office.make(f"both-{number}"))

    threads = [threading.Thread(target=work, args=(each,)) for each in offices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({key.id for key in made}) == 12
    for key in made:
        for node in (pair.one, pair.other):
            becomes(node, key, "ok")


@pytest.mark.parametrize("node", ["one", "other"])
@pytest.mark.parametrize("cut", [False, True], ids=["disabled", "cut"])
def test_an_open_stream_finishes_unless_it_is_cut(pair: Pair, upstream: Upstream, node: str, cut: bool) -> None:
    serving: Gateway = getattr(pair, node)
    key = pair.office.make()
    becomes(serving, key, "ok")
    gate = threading.Event()
    frames = [Send(chunk(frame)) for frame in CHAT.frames]
    rest = [Hold()] if cut else [*frames[2:], Send(LAST)]
    upstream.queue(steps(stream_head(), *frames[:2], WaitFor(gate), *rest))
    with open_stream(serving, key) as client:
        answer = client.read_head()
        pieces = client.pieces(answer)
        next(pieces)
        pair.office.disable(key, cut=cut)
        becomes(serving, key, "key_disabled")
        if not cut:
            gate.set()
        for _ in pieces:
            pass
    gate.set()
    assert answer.status == 200
    if not cut:
        assert answer.body == b"".join(CHAT.frames)
        return
    assert CHAT.outcome(answer.body) == "error"
    assert CHAT.values(answer.body)[-1]["error"]["code"] == "invalid_api_key"
    # The provider is not left working for nobody.
    assert all(each.departed.wait(5) for each in upstream.requests if each.json().get("stream"))


def test_a_key_that_is_enabled_after_a_cut_streams_again(pair: Pair, upstream: Upstream) -> None:
    key = pair.office.make()
    becomes(pair.other, key, "ok")
    pair.office.disable(key, cut=True)
    becomes(pair.other, key, "key_disabled")
    pair.office.enable(key)
    becomes(pair.other, key, "ok")
    upstream.queue(steps(stream_head(), *(Send(chunk(frame)) for frame in CHAT.frames), Send(LAST)))
    with open_stream(pair.other, key) as client:
        assert client.read().body == b"".join(CHAT.frames)


def open_stream(gateway: Gateway, key: Made) -> Client:
    client = Client(gateway.address)
    body = json.dumps(CHAT.request("m")).encode()
    client.send(request("POST", CHAT.path, body, {"authorization": f"Bearer {key.text}"}))
    return client
