"""Where limits are shared: what is refused, and that no password shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.config.model import Config
from penstock.config.problem import Problem, dotted
from penstock.config.show import show

GOOD = "providers: {openai: {}}\n"


def test_nothing_is_shared_unless_it_is_asked_for(read: Callable[..., Config]) -> None:
    assert read(GOOD).shared is None
    assert read(GOOD + "shared: null\n").shared is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.lan",
        "rediss://penstock@redis.lan:6380/3",
        "redis://:hunter22@[::1]:6379/0",
        "unix:///r.sock?db=2",
    ],
)
def test_redis_may_be_one_word(read: Callable[..., Config], url: str) -> None:
    for config in (
        read(f"{GOOD}shared: '{url}'\n"),
        read(f"{GOOD}shared: {{url: '{url}'}}\n"),
        read(GOOD, PENSTOCK_SHARED=url),
        read(GOOD, PENSTOCK_SHARED__URL=url),
    ):
        assert config.shared is not None
        assert str(config.shared.url) == url
        assert (config.shared.timeout, config.shared.nodes, config.shared.prefix) == (50, None, "penstock")


# name: what stands behind `shared: `, field, part of the message, part of the hint
WRONG: dict[str, tuple[str, str, str, str]] = {
    "no address": ("{timeout: 20ms}", "shared.url", "is missing", "such as redis://"),
    "a word": ("redis", "shared.url", "expected redis://", "'redis'"),
    "a scheme with a slip": ("redi://h", "shared.url", "expected redis://", "did you mean 'redis'?"),
    "another server": ("memcached://h", "shared.url", "expected redis://", "known here"),
    "no host": ("redis:///0", "shared.url", "names no host", "such as"),
    "a port that is none": ("redis://h:x", "shared.url", "is no address", "such as"),
    "a database that is none": ("redis://h/main", "shared.url", "a database that is no number", "such as"),
    "two databases": ("redis://h/1?db=1", "shared.url", "names its database twice", "leave ?db= out"),
    "a host of a Unix socket": ("unix://run/redis.sock", "shared.url", "names no Unix socket", "such as"),
    "an unknown parameter": ("redis://h?tls=1", "shared.url", "unknown parameter", "ssl_ca_certs"),
    "a password behind the ?": ("redis://h?password=x", "shared.url", "does not belong", "password_file"),
    "files of TLS without it": ("redis://h?ssl_ca_certs=/x", "shared.url", "no meaning without TLS", "rediss://"),
    "a missing file of TLS": ("rediss://h?ssl_ca_certs=/not/there", "shared.url", "ssl_ca_certs cannot be read", ""),
    "no time": ("{url: 'redis://h', timeout: 0}", "shared.timeout", "expected 1ms to 2s", ""),
    "no nodes": ("{url: 'redis://h', nodes: 0}", "shared.nodes", "expected 1 to 65536", ""),
    "braces": ("{url: 'redis://h', prefix: '{a}'}", "shared.prefix", "without blanks and braces", ""),
    "no prefix": ("{url: 'redis://h', prefix: ''}", "shared.prefix", "expected 1 to 64", ""),
    "a missing file": ("{url: 'redis://h', password_file: /not/there}", "shared.password_file", "cannot be read", ""),
    "an unknown field": ("{urll: 'redis://h', url: 'redis://h'}", "shared.urll", "unknown field", "mean 'url'?"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_with_place_and_advice(name: str, refused: Callable[..., list[Problem]]) -> None:
    text, field, message, hint = WRONG[name]
    problems = refused(f"{GOOD}shared: {text if text.startswith('{') else repr(text)}\n")
    assert len(problems) == 1, [str(each) for each in problems]
    assert (problems[0].mark.line, dotted(problems[0].path)) == (2, field)
    assert message in problems[0].message
    assert hint in problems[0].hint


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter22@h",
        "redis://u:hunter22@h/x",
        "redis://u:hunter22@h:x/0",
        "redis://u:hunter22/a@h/0",
        "redis://u:hunter22#@h/0",
        "redis://h/0?password=hunter22",
        "redis://h/0?hunter22=1",
        "unix://u:hunter22@h/r",
        "u:hunter22@h",
    ],
)
def test_no_error_repeats_a_password(url: str, refused: Callable[..., list[Problem]]) -> None:
    assert "hunter22" not in "".join(f"{each} {each.plain()}" for each in refused(f"{GOOD}shared: '{url}'\n"))


def test_a_password_is_hidden_wherever_it_is_shown(read: Callable[..., Config]) -> None:
    for written, shown in (
        ("redis://u:hunter22@h/0", "redis://u:********@h/0"),
        ("redis://:hunter22@h/0", "redis://:********@h/0"),
        ("redis://:${env:V}@h/0", "redis://:${env:V}@h/0"),
        ("${env:URL:-redis://:hunter22@h}", "${env:URL:-********}"),
    ):
        config = read(f"{GOOD}shared: '{written}'\n", V="hunter22")
        assert show(config)["shared"]["url"] == shown
        assert "hunter22" not in repr(config) + repr(show(config))


def test_a_password_file_beside_a_password_is_refused(tmp_path: Path, refused: Callable[..., list[Problem]]) -> None:
    (tmp_path / "password").write_text("hunter22\n")
    text = f"{GOOD}shared: {{url: 'redis://u:p@h', password_file: {tmp_path}/password}}\n"
    assert [each.message for each in refused(text)] == ["stands beside a password in the URL"]
