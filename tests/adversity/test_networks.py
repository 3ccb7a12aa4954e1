"""The way to an upstream: TLS and its failures, names that do not resolve, proxies, wires that break."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.loop import LoopThread
from tests.support.proxy import CuttingProxy
from tests.support.scene import ask, config_of, provider
from tests.support.script import Send, answer, stream
from tests.support.upstream import Upstream


@dataclass(frozen=True)
class Secure:
    """An upstream with a certificate of our own authority, one with a foreign one, one for another name."""

    good: Upstream
    foreign: Upstream
    misnamed: Upstream
    ca_file: Path


def _context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def secure(loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    ours, theirs = trustme.CA(), trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ours.cert_pem.write_to_path(str(file))
    made = Secure(
        Upstream(loop, tls=_context(ours, "127.0.0.1")),
        Upstream(loop, tls=_context(theirs, "127.0.0.1")),
        Upstream(loop, tls=_context(ours, "example.com")),
        file,
    )
    yield made
    for each in (made.good, made.foreign, made.misnamed):
        each.stop()


@pytest.fixture(scope="module")
def settings(module_upstream: Upstream, secure: Secure) -> dict[str, object]:
    plain = config_of(module_upstream)
    return {
        "tls": {"ca_file": str(secure.ca_file)},
        "timeouts": {"connect": "1s"},
        "providers": {
            **plain["providers"],
            "good": provider(secure.good.root),
            "foreign": provider(secure.foreign.root),
            "misnamed": provider(secure.misnamed.root),
            "plain-behind-tls": provider(f"https://127.0.0.1:{module_upstream.port}"),
            "nowhere": provider("http://no-such-host.invalid"),
            "black-hole": provider("http://192.0.2.1:9"),
        },
    }


def test_a_tls_upstream_of_our_authority_is_trusted(gateway: Gateway, secure: Secure) -> None:
    secure.good.always(stream(list(CHAT.frames)))
    for _ in range(10):
        assert ask(gateway, CHAT, model="good/m").body == b"".join(CHAT.frames)
    assert len(secure.good.connections) <= 4


@pytest.mark.parametrize("name", ["foreign", "misnamed"])
def test_a_tls_upstream_that_cannot_be_trusted_is_a_502(gateway: Gateway, name: str) -> None:
    got = ask(gateway, CHAT, model=f"{name}/m")
    assert (got.status, got.error_code) == (502, "upstream_tls")
    assert CHAT.error_message(got)


def test_an_upstream_that_speaks_no_tls_is_a_502(gateway: Gateway, upstream: Upstream) -> None:
    upstream.on_connect = [Send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")]
    got = ask(gateway, CHAT, model="plain-behind-tls/m")
    assert (got.status, got.error_code) == (502, "upstream_tls")


def test_a_name_that_does_not_resolve_is_a_502(gateway: Gateway) -> None:
    got = ask(gateway, CHAT, model="nowhere/m")
    assert (got.status, got.error_code) == (502, "upstream_dns")


def test_an_address_that_does_not_answer_is_a_502_within_the_connect_limit(gateway: Gateway) -> None:
    got = ask(gateway, CHAT, model="black-hole/m")
    assert (got.status, got.error_code) == (502, "upstream_connect")


def test_a_wire_that_breaks_and_heals_is_survived(loop: LoopThread, upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(stream(list(CHAT.frames)))
    with CuttingProxy(loop, "127.0.0.1", upstream.port) as wire:
        config = config_of(upstream, providers={"up": provider(f"http://127.0.0.1:{wire.port}")})
        with Gateway(tmp_path, config) as gateway:
            assert ask(gateway, CHAT).body == b"".join(CHAT.frames)
            wire.cut()
            assert ask(gateway, CHAT).body == b"".join(CHAT.frames)
            wire.refuse = True
            wire.cut()
            assert ask(gateway, CHAT).status == 502
            wire.refuse = False
            assert ask(gateway, CHAT).body == b"".join(CHAT.frames)


def test_a_proxy_of_the_environment_is_used_unless_the_host_is_excepted(
    loop: LoopThread, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.always(answer(CHAT.whole))
    with Upstream(loop, lambda seen: answer(CHAT.whole)) as proxy:
        config = config_of(upstream, providers={"up": provider("http://upstream.invalid:81")})
        environment = {"HTTP_PROXY": f"http://user:pass@127.0.0.1:{proxy.port}", "NO_PROXY": "127.0.0.1"}
        with Gateway(tmp_path, config, environment) as gateway:
            assert ask(gateway, CHAT, stream=False).status == 200
        seen = proxy.requests[0]
        assert seen.target == "http://upstream.invalid:81/v1/chat/completions"
        assert seen.header("host") == "upstream.invalid:81"
        assert seen.header("proxy-authorization") == "Basic dXNlcjpwYXNz"
        assert not upstream.heads
        excepted = tmp_path / "excepted"
        excepted.mkdir()
        with Gateway(excepted, config_of(upstream), environment) as gateway:
            assert ask(gateway, CHAT, stream=False).status == 200
        assert len(proxy.requests) == 1
        assert upstream.heads


def test_a_tunnel_through_a_proxy_is_asked_for(loop: LoopThread, upstream: Upstream, tmp_path: Path) -> None:
    with Upstream(loop, lambda seen: answer({}, 407)) as proxy:
        config = config_of(upstream, providers={"up": provider("https://upstream.invalid")})
        environment = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": ""}
        with Gateway(tmp_path, config, environment) as gateway:
            assert ask(gateway, CHAT, stream=False).status == 502
        assert proxy.requests[0].method == "CONNECT"
        assert proxy.requests[0].target == "upstream.invalid:443"
