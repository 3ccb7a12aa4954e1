"""What is shown of keys, teams, tokens and changes."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.admin.shown import issued_key, issued_token, shown_key, shown_team, shown_token
from penstock.keys.model import AdminToken, Key, Secret, Team
from penstock.keys.public import rfc3339

AT_US = 1_800_000_000_000_000
TEAM = Team(id="t1", name="science", models=("fast", "slow"), created_us=AT_US)
KEY = Key(
    id="k1", name="one", team="t1", models=("fast",), paths=(), created_us=AT_US,
    secrets=(Secret(generation=1, hash="$argon2id$1", until_us=AT_US + 1), Secret(generation=2, hash="$argon2id$2")),
)  # fmt: skip


def plain(shape: msgspec.Struct) -> Any:
    """As it is read by whoever asked."""
    return msgspec.json.decode(msgspec.json.encode(shape))


def test_a_key_names_where_each_list_comes_from_and_shows_no_hash() -> None:
    shown = plain(shown_key(KEY, TEAM))
    assert shown["team"] == {"id": "t1", "name": "science"}
    assert shown["allowed"] == {
        "models": [{"from": "key", "list": ["fast"]}, {"from": "team", "list": ["fast", "slow"]}],
        "paths": [{"from": "key", "list": []}],
        "networks": [],
    }
    assert shown["secrets"] == [
        {"generation": 1, "until": "2027-01-15T08:00:00.000001Z"},
        {"generation": 2, "until": None},
    ]
    assert (shown["created"], shown["last_used"], shown["models"], shown["networks"]) == (
        *("2027-01-15T08:00:00Z", None),
        *(["fast"], None),
    )
    assert "argon2" not in str(shown)
    assert plain(issued_key(KEY, TEAM, "sk-pen-x")) == shown | {"key": "sk-pen-x"}
    assert plain(shown_key(KEY, None))["allowed"]["models"] == [{"from": "key", "list": ["fast"]}]


def test_a_team_and_a_token_show_what_they_are() -> None:
    assert plain(shown_team(TEAM)) == {
        "id": "t1", "name": "science", "models": ["fast", "slow"], "paths": None, "networks": None, "limits": None,
        "state": "active",
        "tags": {}, "content": True, "created": "2027-01-15T08:00:00Z", "version": 0,
    }  # fmt: skip
    token = AdminToken(id="a1", name="ops", role="viewer", digest="d" * 64, created_us=AT_US)
    shown = plain(shown_token(token))
    assert shown == {"id": "a1", "name": "ops", "role": "viewer", "created": "2027-01-15T08:00:00Z", "version": 0}
    assert plain(issued_token(token, "pen-admin-x")) == shown | {"token": "pen-admin-x"}


def test_a_time_that_nobody_can_write_is_the_last_that_can() -> None:
    assert rfc3339(None) is None
    assert rfc3339(1 << 62) == "9999-12-31T23:59:59.999999Z"
