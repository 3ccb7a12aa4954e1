"""Reading wishes: every wrong field is named, in words for people."""

from __future__ import annotations

import pytest

from penstock.keys.problem import FieldProblem, Findings, Invalid
from penstock.keys.wishes import Disable, ForeignKey, KeyPatch, NewKey, NewTeam, NewToken, decode, read


def test_a_whole_wish_is_read() -> None:
    wish = decode(NewKey, b'{"name": "one", "models": ["fast"], "paths": null, "tags": {"env": "dev"}}')
    assert wish == NewKey(name="one", models=("fast",), tags={"env": "dev"})


def test_every_wrong_field_is_found_and_the_right_ones_are_kept() -> None:
    body = b"""{"nmae": 1, "models": ["a", 7, "b", null], "networks": "10.0.0.0/8", "tags": {"a": 1, "b": "x", "c": []},
        "team": 5, "owner": "me", "secret": false}"""
    wish, problems = read(NewKey, body)
    assert set(problems) == {
        FieldProblem("nmae", "there is no such field (did you mean 'name'?)"),
        FieldProblem("name", "is missing"),
        FieldProblem("models[1]", "expected text, got a whole number"),
        FieldProblem("models[3]", "expected text, got null"),
        FieldProblem("networks", "expected a list or null, got text"),
        FieldProblem("tags.a", "expected text, got a whole number"),
        FieldProblem("tags.c", "expected text, got a list"),
        FieldProblem("team", "expected text or null, got a whole number"),
        FieldProblem("secret", "expected text or null, got true or false"),
    }
    assert wish == NewKey(name="", owner="me")


def test_absent_and_null_are_told_apart_in_a_patch() -> None:
    patch = decode(KeyPatch, b'{"owner": null, "tags": {"a": null, "b": "x"}}')
    assert patch == KeyPatch(owner=None, tags={"a": None, "b": "x"})
    assert decode(KeyPatch, b"{}") == KeyPatch()


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        (NewToken, {"name": "ops", "role": "root"}, "role: invalid enum value 'root'; expected 'admin' or 'viewer'"),
        (Disable, {"cut": "yes"}, "cut: expected true or false, got text"),
        (NewTeam, {"name": None}, "name: expected text, got null"),
        (ForeignKey, {"name": ["x"]}, "name: expected text, got a list"),
    ],
)
def test_each_kind_of_wish_is_refused_by_its_field(kind: type[NewToken], body: object, problem: str) -> None:
    with pytest.raises(Invalid) as error:
        decode(kind, body)
    assert str(error.value) == problem


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'"x"', b"null", b"\xff", b'{"name": "\xff"}'])
def test_what_is_no_object_is_refused_whole(body: bytes) -> None:
    with pytest.raises(Invalid) as error:
        read(NewKey, body)
    assert error.value.problems[0].field == ""


def test_secrets_are_not_shown() -> None:
    wish = decode(NewKey, b'{"name": "one", "secret": "sk-secret-0123456789"}')
    foreign = ForeignKey(name="one", secret="sk-secret-0123456789", sha256="ab")
    assert "sk-secret" not in repr(wish) + repr(foreign)
    _, problems = read(NewKey, b'{"name": "one", "secret": ["sk-secret-0123456789"]}')
    assert "sk-secret" not in str(problems)


def test_a_field_that_could_not_be_read_is_not_judged_again() -> None:
    findings = Findings([FieldProblem("models[1]", "expected text, got null")])
    findings.add("models", "has too many")
    findings.add("models[0]", "is unknown")
    findings.add("name", "is empty")
    assert [problem.field for problem in findings.problems] == ["models[1]", "name"]
