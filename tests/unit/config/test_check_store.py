"""Where keys are kept, and who may administer them: what is refused, and that no password shows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.config.model import Config, ServerUrl, as_written
from penstock.config.problem import Problem, dotted
from penstock.config.show import show
from penstock.config.tokens import known_tokens

GOOD = "providers: {openai: {}}\n"
LONG = "tok-0123456789abcdefghij"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite",
        "postgresql://penstock@db.lan/penstock",
        "postgres://penstock@db.lan:5433/penstock?sslmode=verify-full&sslrootcert=/ca.pem",
        "postgresql://penstock:hunter22@[::1]:5432/penstock",
        "postgresql:///penstock?host=/run/postgresql",
    ],
)
def test_a_store_may_be_one_word(read: Callable[..., Config], url: str) -> None:
    assert str(read(f"{GOOD}store: '{url}'\n").store.url) == url
    assert str(read(f"{GOOD}store: {{url: '{url}', pool: 9}}\n").store.url) == url
    assert str(read(GOOD, PENSTOCK_STORE=url).store.url) == url


# name: what stands behind `store: `, field, part of the message, part of the hint
WRONG: dict[str, tuple[str, str, str, str]] = {
    "a word that almost is SQLite": ("sqlite3", "store.url", "expected sqlite or postgresql://", "write store: sqlite"),
    "a file of SQLite's": ("sqlite:///x.db", "store.url", "expected sqlite or", "its file is data_dir/penstock.sqlite"),
    "another database": ("mysql://h/d", "store.url", "expected sqlite or postgresql://", ""),
    "a scheme with a slip": ("postgresq://u@h/d", "store.url", "expected sqlite or", "did you mean 'postgresql'?"),
    "no scheme": ("postgres", "store.url", "expected sqlite or", "begins with postgresql://"),
    "no host": ("postgresql:///d", "store.url", "names no host", "?host=/run/postgresql"),
    "no database": ("postgresql://u@h", "store.url", "names no database", "such as"),
    "a port that is none": ("postgresql://u@h:x/d", "store.url", "is no address", "such as"),
    "a mode that is none": ("postgresql://u@h/d?sslmode=on", "store.url", "sslmode is none", "verify-full"),
    "an unknown parameter": ("postgresql://u@h/d?sslmod=require", "store.url", "unknown parameter", "'sslmode'?"),
    "a password behind the ?": ("postgresql://u@h/d?password=x", "store.url", "does not belong", "password_file"),
    "no connections": ("{url: sqlite, pool: 0}", "store.pool", "expected 1 to 64", ""),
    "a missing file": (
        "{url: 'postgresql://u@h/d', password_file: /not/there}",
        "store.password_file",
        "cannot be",
        "",
    ),
    "an empty file": ("{url: 'postgresql://u@h/d', password_file: /dev/null}", "store.password_file", "holds no", ""),
    "a password for SQLite": ("{password_file: /x}", "store.password_file", "no meaning for SQLite", "leave it out"),
    "an unknown field": ("{urll: sqlite}", "store.urll", "unknown field", "did you mean 'url'?"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_store_is_refused_with_place_and_advice(name: str, refused: Callable[..., list[Problem]]) -> None:
    text, field, message, hint = WRONG[name]
    problems = refused(f"{GOOD}store: {text if text.startswith('{') else repr(text)}\n")
    assert len(problems) == 1, [str(each) for each in problems]
    assert (problems[0].mark.line, dotted(problems[0].path)) == (2, field)
    assert message in problems[0].message
    assert hint in problems[0].hint


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter22@h/d",
        "postgresql://u:hunter22@h",
        "postgresql://u:hunter22@h:x/d",
        "postgresql://u:hunter22/a@h/d",
        "postgresql://u:hunter22#@h/d",
        "postgresql://u@h/d?password=hunter22",
        "postgresql://u@h/d?hunter22=1",
        "u:hunter22@h/d",
    ],
)
def test_no_error_repeats_a_password(url: str, refused: Callable[..., list[Problem]]) -> None:
    assert "hunter22" not in "".join(f"{each} {each.plain()}" for each in refused(f"{GOOD}store: '{url}'\n"))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://u:hunter22@h/d", "postgresql://u:********@h/d"),
        ("postgresql://u:hunt@er22@h/d", "postgresql://u:********@h/d"),
        ("postgresql://u:${env:V}@h/d", "postgresql://u:${env:V}@h/d"),
        ("postgresql://u:${env:V:-hunter22}@h/d", "postgresql://u:********@h/d"),
        ("${env:URL:-postgresql://u:hunter22@h/d}", "${env:URL:-********}"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("sqlite", "sqlite"),
    ],
)
def test_a_password_in_a_url_is_hidden_wherever_it_is_shown(
    written: str, shown: str, read: Callable[..., Config]
) -> None:
    config = read(f"{GOOD}store: '{written}'\n", V="hunter22")
    assert show(config)["store"]["url"] == shown
    assert "hunter22" not in repr(config) + repr(show(config))
    assert as_written(ServerUrl("postgresql://u:x@h/d")) == "postgresql://u:********@h/d"


def test_a_password_file_beside_a_password_is_refused(tmp_path: Path, refused: Callable[..., list[Problem]]) -> None:
    (tmp_path / "password").write_text("hunter22\n")
    text = f"{GOOD}store: {{url: 'postgresql://u:p@h/d', password_file: {tmp_path}/password}}\n"
    assert [each.message for each in refused(text)] == ["stands beside a password in the URL"]


def test_the_cost_of_a_hash_has_a_floor(refused: Callable[..., list[Problem]], read: Callable[..., Config]) -> None:
    text = GOOD + "keys: {hash: {memory: 18MiB, iterations: 1, parallelism: 0}}\n"
    assert [each.message for each in refused(text)] == [
        "expected 19MiB to 1GiB, not '18MiB'",
        "expected 2 to 64, not '1'",
        "expected 1 to 16, not '0'",
    ]
    assert read(GOOD + "keys: {hash: {memory: 64MiB}}\n").keys.hash.memory == 64 << 20


def test_an_admin_token_is_known_only_by_its_digest(read: Callable[..., Config]) -> None:
    config = read(GOOD + "admin: {tokens: [{name: ops, token: '${env:OPS}'}]}\n", OPS=LONG)
    assert known_tokens(config.admin.tokens, {"OPS": LONG}) == (
        ("ops", "viewer", hashlib.sha256(LONG.encode()).hexdigest()),
    )
    assert LONG not in repr(config) + repr(show(config))


def test_everything_wrong_with_admin_tokens_is_told_at_once(refused: Callable[..., list[Problem]]) -> None:
    text = GOOD + (
        "admin:\n  tokens:\n"
        f"    - {{name: ops, token: {LONG}}}\n"
        f"    - {{name: ops, token: {LONG}, role: root}}\n"
        "    - {name: 'a b', token: short}\n"
        "    - {}\n"
    )
    assert [(each.mark.line, dotted(each.path), each.message) for each in refused(text)] == [
        (5, "admin.tokens[1].name", "stands twice"),
        (5, "admin.tokens[1].token", "is the token of another name too"),
        (5, "admin.tokens[1].role", "expected one of admin, viewer, not 'root'"),
        (6, "admin.tokens[2].name", "a token's name is made of letters, digits, `-`, `_` and `.`"),
        (6, "admin.tokens[2].token", "expected 20 to 512 printable ASCII characters without blanks"),
        (7, "admin.tokens[3].name", "is missing"),
        (7, "admin.tokens[3].token", "is missing"),
    ]
