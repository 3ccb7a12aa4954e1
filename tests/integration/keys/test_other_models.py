"""Models that a provider may turn to instead of the one that is asked for: a key's list holds for them too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import raw
from tests.support.gateway import Gateway
from tests.support.kinds import CHAT, MESSAGES, Kind
from tests.support.office import Made, Office
from tests.support.upstream import Upstream


def asks(gateway: Gateway, key: Made, kind: Kind, **more: Any) -> raw.Answer:
    body = kind.request("m", False) | more
    return raw.post(gateway.address, kind.path, body, {**kind.headers, "authorization": f"Bearer {key.text}"})


@pytest.mark.parametrize("kind", [CHAT, MESSAGES], ids=["chat", "messages"])
@pytest.mark.parametrize("field", ["fallbacks", "models"])
@pytest.mark.parametrize(
    ("others", "is_allowed"),
    [
        ([{"model": "m-2"}], True),
        (["m", "m-2"], True),
        ([], True),
        (None, True),
        ([{"model": "dear"}], False),
        (["m", "dear"], False),
        ([{"model": "m"}, {"model": "dear", "max_tokens": 5}], False),
        ({"model": "m"}, False),
        ("m", False),
        ([["m"]], False),
        ([{"name": "m"}], False),
        (["m"] * 5_000, True),
    ],
)
def test_what_a_provider_may_turn_to_must_be_allowed_too(
    gateway: Gateway, office: Office, upstream: Upstream, kind: Kind, field: str, others: Any, is_allowed: bool
) -> None:
    answer = asks(gateway, office.make(models=["m", "m-*"]), kind, **{field: others})
    if is_allowed:
        assert answer.status == 200, answer.body
        assert json.loads(upstream.requests[-1].body).get(field) == others
        return
    assert answer.status == 403
    assert not upstream.requests
    error = answer.json()["error"]
    assert field in error["message"]
    assert kind is MESSAGES or (error["code"], error["param"]) == ("model_not_allowed", field)


@pytest.mark.parametrize(
    ("tools", "is_allowed"),
    [
        ([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], True),
        ([{"name": "f", "input_schema": {"properties": {"model": {"enum": ["dear"]}}}}], True),
        ([{"type": "advisor_20260301", "name": "advisor", "model": "m-2"}], True),
        ([], True),
        ([{"type": "advisor_20260301", "name": "advisor", "model": "dear"}], False),
        ([{"type": "image_generation", "model": "dear"}], False),
        ([{"type": "x:advisor", "parameters": {"model": "dear"}}], False),
        ([{"type": "x:fusion", "parameters": {"model": "m", "analysis_models": ["m", "dear"]}}], False),
        ([{"type": "x:fusion", "parameters": {"analysis_models": ["m"], "model": None}}], True),
        ([{"id": "fusion", "analysis_models": ["dear"]}], False),
        ([{"type": "function", "name": "f", "parameters": {"model": {"type": "string"}, "models": {}}}], True),
        ({"web": {}}, True),
        ({"fusion": {"analysis_models": ["dear"]}}, False),
        ([{"type": "x", "models": "dear"}], False),
        ([{"type": "x", "model": ["dear"]}], False),
        ([{"type": "x", "model": {"name": "dear"}}], False),
        ([{"type": "x", "models": [["dear"]]}], False),
        ([{"name": "f"}, {"type": "advisor", "model": "m"}, {"type": "advisor", "model": "dear"}], False),
    ],
)
@pytest.mark.parametrize("field", ["tools", "plugins"])
def test_a_tool_that_asks_a_model_asks_one_that_is_allowed(
    gateway: Gateway, office: Office, upstream: Upstream, field: str, tools: Any, is_allowed: bool
) -> None:
    key = office.make(models=["m", "m-*"])
    answer = asks(gateway, key, MESSAGES, **{field: tools})
    assert answer.status == (200 if is_allowed else 403), answer.body
    assert is_allowed or (field in answer.json()["error"]["message"] and not upstream.requests)


def test_a_key_for_all_models_may_name_any(gateway: Gateway, office: Office) -> None:
    assert asks(gateway, office.make(), MESSAGES, fallbacks=[{"model": "dear"}]).status == 200


def test_a_name_of_the_provider_is_allowed_by_the_name_with_its_prefix(gateway: Gateway, office: Office) -> None:
    key = office.make(models=["up/a", "up/b"])
    assert asks(gateway, key, MESSAGES, model="up/a", fallbacks=[{"model": "b"}]).status == 200
    assert asks(gateway, key, MESSAGES, model="up/a", fallbacks=[{"model": "c"}]).status == 403
