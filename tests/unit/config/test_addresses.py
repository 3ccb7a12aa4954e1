"""Addresses taken apart."""

from __future__ import annotations

import pytest

from penstock.config.addresses import Listen, Url, parse_listen, parse_url


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:4000", Listen("127.0.0.1", 4000)),
        ("localhost:0", Listen("127.0.0.1", 0)),
        ("[::1]:4000", Listen("::1", 4000)),
        ("unix:/run/p.sock", Listen(path="/run/p.sock")),
    ],
)
def test_an_address_to_listen_on_is_read_and_shown_alike(text: str, address: Listen) -> None:
    assert parse_listen(text) == address
    assert str(address) == text.replace("localhost", "127.0.0.1")
    assert address.is_private


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"])
def test_what_others_can_reach_is_not_private(text: str) -> None:
    assert not parse_listen(text).is_private


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4000", "expected host:port"),
        ("127.0.0.1:65536", "expected host:port"),
        ("*:4000", "which host"),
        ("::1:4000", r"in brackets: \[::1\]:4000"),
        ("unix:", "absolute path"),
        ("unix:/" + "x" * 107, "at most 107 bytes"),
    ],
)
def test_an_address_that_cannot_be_listened_on_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.openai.com/v1/", Url("https", "api.openai.com", 443, "/v1")),
        ("http://10.0.0.5:8000", Url("http", "10.0.0.5", 8000, "")),
        ("http://[::1]:11434/", Url("http", "::1", 11434, "")),
        ("https://HOST.example/a/b", Url("https", "host.example", 443, "/a/b")),
    ],
)
def test_a_base_address_is_taken_apart(text: str, url: Url) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text", ["ftp://h/", "h:80", "http://", "http://h:0", "http://h:99999", "http://h /", "http://[::g]/"]
)
def test_what_is_no_base_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|IPv6|Only hex"):
        parse_url(text)
