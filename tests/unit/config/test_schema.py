"""The JSON Schema has what the reader reads."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import fields

from penstock.config.model import Config, Provider
from penstock.config.schema import schema


def test_every_field_stands_in_the_schema_and_nothing_else_is_allowed() -> None:
    made = schema()
    assert set(made["properties"]) == {info.name for info in fields(Config)}
    assert made["additionalProperties"] is False
    provider = made["properties"]["providers"]["additionalProperties"]
    assert set(provider["properties"]) == {info.name for info in fields(Provider)}


def test_bounds_words_and_defaults_are_in_the_schema() -> None:
    properties: dict[str, Any] = schema()["properties"]
    assert properties["auth"] == {"enum": ["keys", "open"], "default": "keys"}
    assert properties["max_attempts"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 16}
    assert properties["max_attempts"]["default"] == 4
    short, whole = properties["store"]["anyOf"]
    assert (short, whole["properties"]["url"]["default"]) == ({"type": "string"}, "sqlite")
    (short, whole), nothing = properties["shared"]["anyOf"][0]["anyOf"], properties["shared"]["anyOf"][1]
    assert (short, nothing) == ({"type": "string"}, {"type": "null"})
    assert set(whole["properties"]) == {"url", "timeout", "nodes", "prefix", "password_file"}


def test_limits_and_prices_stand_in_the_schema_under_the_names_that_are_written() -> None:
    properties: dict[str, Any] = schema()["properties"]
    limits = properties["limits"]["properties"]
    assert set(limits) == {"default", "global", "models", "providers", "unpriced", "zone"}
    assert limits["unpriced"] == {"enum": ["refuse", "allow"], "default": "refuse"}
    default = limits["default"]["properties"]
    assert set(default) == {"requests", "tokens", "budget", "concurrent", "queue", "reserve", "away"}
    assert {"enum": ["none"]} in default["concurrent"]["anyOf"]
    assert {"type": "integer", "minimum": 0} in default["concurrent"]["anyOf"][0]["anyOf"]
    price = properties["prices"]["additionalProperties"]["properties"]
    assert {"input", "output", "cached_input", "above", "flex"} < set(price)
    assert set(price["above"]["additionalProperties"]["properties"]) < set(price)


def test_the_schema_is_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(schema()))["title"] == "penstock.yaml"
