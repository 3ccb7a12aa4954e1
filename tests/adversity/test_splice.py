"""A forwarded body differs from what the client sent in the model's name and the asked usage, and in nothing else."""

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, RESPONSES
from tests.support.raw import post
from tests.support.scene import config_of, provider
from tests.support.script import answer, stream
from tests.support.upstream import Upstream

ASKED, SENT = "the-asked-model", 'the/target\'s "model" é'

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
KNOWN = {"model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "user", "metadata", "options"}
BODIES = st.dictionaries(st.text().filter(lambda name: name.casefold() not in KNOWN), VALUES, max_size=6)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")])

PROPERTY = hypothesis_settings(
    max_examples=max(20, int(os.environ.get("ROUNDS", "20")) * 2),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream) -> dict[str, Any]:
    return {
        "providers": {
            "up": provider(module_upstream.root, supports_stream_usage=True),
            "plain": provider(module_upstream.root, supports_stream_usage=False),
        },
        "models": {
            **config_of(module_upstream)["models"],
            ASKED: {"targets": [{"provider": "up", "model": SENT}]},
            "plain": {"targets": [{"provider": "plain"}]},
        },
    }


def with_model(body: dict[str, Any], place: int) -> dict[str, Any]:
    """The body with the model among its fields."""
    items = list(body.items())
    items.insert(place % (len(items) + 1), ("model", ASKED))
    return dict(items)


@PROPERTY
@given(body=BODIES, place=st.integers(0, 9), separators=SEPARATORS, ascii_only=st.booleans())
def test_only_the_model_changes(
    gateway: Gateway,
    upstream: Upstream,
    body: dict[str, Any],
    place: int,
    separators: tuple[str, str],
    ascii_only: bool,
) -> None:
    upstream.reset()
    upstream.always(answer(CHAT.whole))
    sent = json.dumps(with_model(body, place), separators=separators, ensure_ascii=ascii_only).encode()
    assert post(gateway.address, CHAT.path, sent).status == 200
    arrived = upstream.requests[0].body
    assert json.loads(arrived) == with_model(body, place) | {"model": SENT}
    before, _, after = sent.partition(json.dumps(ASKED).encode())
    assert arrived.startswith(before)
    assert arrived.endswith(after)


@PROPERTY
@given(
    body=BODIES,
    place=st.integers(0, 9),
    options=st.sampled_from(
        [
            "absent",
            None,
            {},
            {"include_usage": False},
            {"include_usage": None},
            {"include_usage": True},
            {"include_obfuscation": False},
            {"include_usage": False, "x": [1]},
        ]
    ),
)
def test_a_stream_asks_for_usage_and_changes_nothing_else(
    gateway: Gateway, upstream: Upstream, body: dict[str, Any], place: int, options: Any
) -> None:
    upstream.reset()
    upstream.always(stream(list(CHAT.frames)))
    given_ = with_model(body, place) | {"stream": True} | ({} if options == "absent" else {"stream_options": options})
    got = post(gateway.address, CHAT.path, given_)
    wanted = {} if options in ("absent", None) else options
    expected = given_ | {"model": SENT, "stream_options": wanted | {"include_usage": True}}
    assert json.loads(upstream.requests[0].body) == expected
    asked = bool(wanted.get("include_usage"))
    frames = CHAT.frames if asked else [frame for frame in CHAT.frames if b'"choices": []' not in frame]
    assert got.body == b"".join(frames)


@pytest.mark.parametrize("value", [{"stream": False}, {}, {"stream": None}])
def test_usage_is_not_asked_for_without_a_stream(gateway: Gateway, upstream: Upstream, value: dict[str, Any]) -> None:
    upstream.always(answer(CHAT.whole))
    sent = json.dumps({"model": "m", **value}).encode()
    assert post(gateway.address, CHAT.path, sent).status == 200
    assert upstream.requests[0].body == sent


def test_usage_is_not_asked_of_who_would_not_understand(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(stream(list(CHAT.frames)))
    sent = b'{"model":"plain","stream":true}'
    got = post(gateway.address, CHAT.path, sent)
    assert upstream.requests[0].body == sent
    assert got.body == b"".join(CHAT.frames)


def test_responses_are_never_asked_for_usage(gateway: Gateway, upstream: Upstream) -> None:
    upstream.always(stream(list(RESPONSES.frames)))
    sent = b'{"model":"m","stream":true,"input":"x"}'
    assert post(gateway.address, RESPONSES.path, sent).status == 200
    assert upstream.requests[0].body == sent
