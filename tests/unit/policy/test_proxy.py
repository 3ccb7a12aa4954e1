"""Which proxy leads to a provider."""

from __future__ import annotations

import pytest

from penstock.config.addresses import parse_url
from penstock.config.model import TextPart
from penstock.policy.proxy import ProxyError, excluded, proxy_for
from penstock.policy.snapshot import Proxy

HTTPS = parse_url("https://api.example.com/v1")
HTTP = parse_url("http://10.1.2.3:8000/v1")


def test_the_scheme_of_the_provider_chooses_the_variable() -> None:
    environ = {"HTTPS_PROXY": "http://a:1", "HTTP_PROXY": "b:2"}
    assert proxy_for(HTTPS, environ) == Proxy("http", "a", 1, None)
    assert proxy_for(HTTP, environ) == Proxy("http", "b", 2, None)


def test_all_proxy_is_for_what_has_none_of_its_own() -> None:
    environ = {"ALL_PROXY": "https://c/", "HTTPS_PROXY": "http://a:1"}
    assert proxy_for(HTTP, environ) == Proxy("https", "c", 443, None)
    assert proxy_for(HTTPS, environ) == Proxy("http", "a", 1, None)


def test_the_lower_case_spelling_wins() -> None:
    assert proxy_for(HTTPS, {"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:2"}) == Proxy("http", "b", 2, None)


def test_credentials_become_a_header() -> None:
    found = proxy_for(HTTPS, {"HTTPS_PROXY": "http://us%40er:p%3Ass@a:1"})
    assert found == Proxy("http", "a", 1, (TextPart("Basic dXNAZXI6cDpzcw=="),))


def test_nothing_set_is_the_direct_way() -> None:
    assert proxy_for(HTTPS, {}) is None
    assert proxy_for(HTTPS, {"HTTP_PROXY": "http://a:1"}) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1", "http://localhost:1"])
def test_this_machine_is_never_reached_through_a_proxy(url: str) -> None:
    assert proxy_for(parse_url(url), {"ALL_PROXY": "http://a:1"}) is None


def test_a_cgi_program_does_not_believe_http_proxy() -> None:
    assert proxy_for(HTTP, {"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "out"),
    [
        ("*", "api.example.com", 443, True),
        ("example.com", "api.example.com", 443, True),
        (".example.com", "api.example.com", 443, True),
        ("*.example.com", "api.example.com", 443, True),
        ("EXAMPLE.com", "example.com", 443, True),
        ("ample.com", "example.com", 443, False),
        ("example.com:443", "example.com", 443, True),
        ("example.com:80", "example.com", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("fd00::/8", "fd00::1", 80, True),
        ("[fd00::1]:80", "fd00::1", 80, True),
        ("fd00::1", "fd00::1", 443, True),
        ("a.com, b.com", "b.com", 80, True),
        ("a.com b.com", "b.com", 80, True),
        ("", "b.com", 80, False),
        (",.,*.", "b.com", 80, False),
    ],
)
def test_no_proxy_names_hosts_domains_networks_and_ports(no_proxy: str, host: str, port: int, out: bool) -> None:
    assert excluded(host, port, no_proxy) is out


@pytest.mark.parametrize("value", ["socks5://a:1", "http://:1", "http://a b:1"])
def test_a_variable_that_makes_no_sense_is_named_and_not_shown(value: str) -> None:
    with pytest.raises(ProxyError) as error:
        proxy_for(HTTPS, {"HTTPS_PROXY": value})
    assert error.value.variable == "HTTPS_PROXY"
    assert value not in str(error.value) + error.value.hint
