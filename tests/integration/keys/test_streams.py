"""Streams of a key that is taken out of use: they finish, unless they are cut, and then in their own dialect."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from tests.support.audit import query
from tests.support.gateway import Gateway
from tests.support.kinds import ALL, Kind
from tests.support.office import Made, Office, verdict
from tests.support.raw import Client, request
from tests.support.script import LAST, Hold, Send, WaitFor, chunk, stream_head
from tests.support.upstream import Upstream, steps
from tests.support.wait import until

EVERY_KIND = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)


def begin(gateway: Gateway, key: Made, kind: Kind) -> Client:
    client = Client(gateway.address)
    headers = {**kind.headers, "authorization": f"Bearer {key.text}"}
    client.send(request("POST", kind.path, json.dumps(kind.request("m")).encode(), headers))
    return client


@EVERY_KIND
def test_a_cut_is_an_error_frame_of_the_dialect(
    gateway: Gateway, office: Office, upstream: Upstream, kind: Kind
) -> None:
    key = office.make()
    first = [Send(chunk(frame)) for frame in kind.frames[:2]]
    upstream.queue(steps(stream_head(kind.media), *first, Hold()))
    with begin(gateway, key, kind) as client:
        answer = client.read_head()
        pieces = client.pieces(answer)
        next(pieces)
        office.disable(key, cut=True)
        for _ in pieces:
            pass
    assert kind.outcome(answer.body) == "error"
    assert kind.rest(answer.body) == b""
    assert "key" in json.dumps(kind.values(answer.body)[-1])
    assert upstream.requests[0].departed.wait(5)


@pytest.mark.parametrize("what", ["disable", "delete", "rotate", "narrow", "team"])
def test_whatever_else_is_changed_lets_an_open_stream_finish(
    gateway: Gateway, office: Office, upstream: Upstream, what: str
) -> None:
    kind = ALL[0]
    team = office.call("POST", "/admin/v1/teams", {"name": f"streams-{what}"}, 201)["id"]
    key = office.make(team=team)
    changes: dict[str, tuple[Callable[[], object], str]] = {
        "disable": (lambda: office.disable(key), "key_disabled"),
        "delete": (lambda: office.delete(key), "invalid_api_key"),
        "rotate": (lambda: office.rotate(key, "0"), "invalid_api_key"),
        "narrow": (lambda: office.change(key, models=[], networks=[]), "network_not_allowed"),
        "team": (lambda: office.call("PATCH", f"/admin/v1/teams/{team}", {"state": "disabled"}), "key_disabled"),
    }
    gate = threading.Event()
    frames = [Send(chunk(frame)) for frame in kind.frames]
    upstream.queue(steps(stream_head(kind.media), *frames[:2], WaitFor(gate), *frames[2:], Send(LAST)))
    with begin(gateway, key, kind) as client:
        answer = client.read_head()
        pieces = client.pieces(answer)
        next(pieces)
        change, wanted = changes[what]
        change()
        assert verdict(gateway, key) == wanted
        gate.set()
        for _ in pieces:
            pass
    assert answer.body == b"".join(kind.frames)


def test_a_cut_ends_the_streams_of_that_key_alone(gateway: Gateway, office: Office, upstream: Upstream) -> None:
    kind = ALL[0]
    mine, others = office.make(), office.make()
    gate = threading.Event()
    frames = [Send(chunk(frame)) for frame in kind.frames]
    script = steps(stream_head(kind.media), *frames[:2], WaitFor(gate), *frames[2:], Send(LAST))
    upstream.queue(*[script] * 8)
    clients = [begin(gateway, key, kind) for key in [mine, others] * 4]
    answers = [client.read_head() for client in clients]
    office.disable(mine, cut=True)
    for client, answer in list(zip(clients, answers, strict=True))[::2]:
        for _ in client.pieces(answer):
            pass
        assert kind.outcome(answer.body) == "error"
    gate.set()
    for client, answer in list(zip(clients, answers, strict=True))[1::2]:
        for _ in client.pieces(answer):
            pass
        assert answer.body == b"".join(kind.frames)
    for client in clients:
        client.close()


def test_each_request_that_a_cut_ends_before_its_answer_is_recorded(
    gateway: Gateway, office: Office, upstream: Upstream
) -> None:
    key = office.make()
    upstream.queue(*[steps(Hold())] * 5)
    clients = [begin(gateway, key, ALL[0]) for _ in range(5)]
    until(lambda: len(upstream.requests) == 5, "all are asked")
    office.disable(key, cut=True)
    for client in clients:
        assert client.read().error_code == "key_disabled"
        client.close()
    rows = until(lambda: rows if len(rows := query(gateway.data_dir, "--key", key.id)) >= 5 else None, "the records")
    assert rows
    assert {row["model"] for row in rows} == {"m"}
    assert len({row["request_id"] for row in rows}) == 5
