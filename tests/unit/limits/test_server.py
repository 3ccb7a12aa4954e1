"""Where Redis is, read from its URL."""

from __future__ import annotations

import pytest

from penstock.limits.server import Server, ServerError, parse_server


@pytest.mark.parametrize(
    ("url", "server", "shown"),
    [
        ("redis://redis.lan", Server(host="redis.lan"), "redis.lan:6379"),
        ("REDIS://h:1/", Server(host="h", port=1), "h:1"),
        ("redis://h/7", Server(host="h", database=7), "h:6379"),
        ("redis://h?db=7", Server(host="h", database=7), "h:6379"),
        ("redis://u:p%40%2F@[::1]:1/0", Server(host="::1", port=1, username="u", password="p@/"), "[::1]:1"),
        ("redis://:p@h", Server(host="h", password="p"), "h:6379"),
        ("redis://u@h", Server(host="h", username="u"), "h:6379"),
        (
            "rediss://h?ssl_ca_certs=/ca&ssl_keyfile=/k",
            Server(host="h", tls=True, files=(("ssl_ca_certs", "/ca"), ("ssl_keyfile", "/k"))),
            "h:6379",
        ),
        ("unix:///run/a%20b.sock?db=2", Server(socket="/run/a b.sock", database=2), "/run/a b.sock"),
        ("unix://u:p@/r.sock", Server(socket="/r.sock", username="u", password="p"), "/r.sock"),
    ],
)
def test_a_url_says_where_redis_is_and_is_shown_without_secrets(url: str, server: Server, shown: str) -> None:
    assert parse_server(url) == server
    assert str(server) == shown
    assert "password" not in repr(server)


@pytest.mark.parametrize(
    "url", ["", "redis", "redis://", "redis://h/-1", "redis://h/1e3", "redis://h/99999", "unix:///"]
)
def test_what_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ServerError):
        parse_server(url)
