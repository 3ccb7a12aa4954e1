"""What the fields of keys may be, and what is said of those that may not."""

from __future__ import annotations

import pytest

from penstock.keys import checks
from penstock.keys.problem import Findings
from tests.unit.keys.scene import NOW_US, AnyModel

ODD = [
    "'; DROP TABLE keys; --",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "$(reboot)",
    "名前",
    "a\u0301",
    "%s%n",
    "../../etc",
]


@pytest.mark.parametrize("name", ["x", "x" * 128, *ODD])
def test_names_are_free_text(name: str) -> None:
    found = Findings()
    assert checks.name(found, name) == name
    assert checks.owner(found, name) == name
    assert checks.tags(found, {name[:64]: name}) == {name[:64]: name}
    assert not found.problems


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "has 0 characters; 1 to 128"),
        ("x" * 129, "has 129 characters"),
        ("line\nbreak", "cannot be shown"),
        ("nul\0", "cannot be shown"),
        ("right-to-left \u202e override", "cannot be shown"),
        ("half a pair \ud800", "cannot be shown"),
        (" lead", "begins or ends with a blank"),
        ("trail ", "begins or ends with a blank"),
    ],
)
def test_names_that_cannot_be_shown_or_told_apart_are_refused(name: str, problem: str) -> None:
    found = Findings()
    checks.name(found, name)
    assert found.problems[0].field == "name"
    assert problem in found.problems[0].message


def test_tags_are_bounded_in_number_and_length() -> None:
    found = Findings()
    checks.tags(found, {str(n): "x" for n in range(33)})
    assert "has 33 tags" in found.problems[0].message
    found = Findings()
    checks.tags(found, {"": "x", "n" * 65: "x", "long": "x" * 257, "break": "a\nb", "empty": ""})
    assert [problem.field for problem in found.problems] == ["tags.", "tags." + "n" * 65, "tags.long", "tags.break"]


@pytest.mark.parametrize("name", ["a=b", "=", "a,b", "env,"])
def test_names_of_tags_that_nothing_could_ask_for_are_refused_where_they_are_new(name: str) -> None:
    found = Findings()
    checks.tags(found, {name: "a=b,c"})
    (problem,) = found.problems
    assert (problem.field, "has = or a comma in it" in problem.message) == (f"tags.{name}", True)
    found = Findings()
    checks.tags(found, {name: "x", "new": "a=b,c"}, {name: "y"})
    assert not found.problems


def test_models_are_patterns_that_the_configuration_knows() -> None:
    found = Findings()
    assert checks.models(found, ("fast", "gpt-*", "*", "openai/gpt-5", "fast"), AnyModel()) == (
        "fast", "gpt-*", "*", "openai/gpt-5",
    )  # fmt: skip
    assert checks.models(found, None, AnyModel()) is None
    assert checks.models(found, (), AnyModel()) == ()
    assert not found.problems
    checks.models(found, ("nothing", "", "with blank", "fast", "x" * 257), AnyModel())
    assert [problem.field for problem in found.problems] == ["models[0]", "models[1]", "models[2]", "models[4]"]
    assert "no model is named so" in found.problems[0].message
    found = Findings()
    checks.models(found, tuple(str(n) for n in range(501)), AnyModel())
    assert "use patterns" in found.problems[0].message


@pytest.mark.parametrize("path", ["/chat/completions", "/*", "*", "/audio/*", "*/completions", "/v10"])
def test_paths_are_patterns(path: str) -> None:
    found = Findings()
    assert checks.paths(found, (path,)) == (path,)
    assert not found.problems


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("chat/completions", "did you mean '/chat/completions'?"),
        ("/v1/chat/completions", "did you mean '/chat/completions'?"),
        ("/v1", "did you mean '/*'?"),
        ("/v1/", "did you mean '/'?"),
        ("/chat?x", "is no plain path"),
        ("/chat/../files", "is no plain path"),
        ("//chat", "is no plain path"),
        ("/ch%61t", "is no plain path"),
        ("/a b", "holds blanks"),
    ],
)
def test_paths_that_would_match_nothing_are_refused_with_a_hint(path: str, problem: str) -> None:
    found = Findings()
    checks.paths(found, ("/ok", path))
    assert found.problems[0].field == "paths[1]"
    assert problem in found.problems[0].message


def test_networks_are_written_one_way() -> None:
    found = Findings()
    given = ("10.0.0.0/8", "192.0.2.1", "2001:DB8::/32", "10.0.0.0/255.0.0.0")
    assert checks.networks(found, given) == ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32")
    assert not found.problems


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        ("10.0.0.1/8", "did you mean '10.0.0.0/8'?"),
        ("10.0.0.0/33", "write one such as"),
        ("example.org", "write one such as"),
        ("", "write one such as"),
        ("fe80::%eth0/64", "has a zone"),
        ("::ffff:10.0.0.0/104", "did you mean '10.0.0.0/8'?"),
    ],
)
def test_networks_that_are_none_are_refused_with_a_hint(network: str, problem: str) -> None:
    found = Findings()
    checks.networks(found, (network,))
    assert found.problems[0].field == "networks[0]"
    assert problem in found.problems[0].message


def test_expiry_is_a_moment_to_come() -> None:
    found = Findings()
    assert checks.expires(found, "2100-01-01T00:00:00Z", NOW_US) == 4_102_444_800_000_000
    assert checks.expires(found, "2100-01-01T02:00:00.5+02:00", NOW_US) == 4_102_444_800_500_000
    assert checks.expires(found, None, NOW_US) is None
    assert not found.problems
    checks.expires(found, "2020-01-01T00:00:00Z", NOW_US)
    assert "lies in the past (2020-01-01T00:00:00Z)" in found.problems[0].message


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2100-01-01", "2100-01-01T00:00:00", "2100-13-01T00:00:00Z", "9" * 400]
)
def test_expiry_that_is_no_moment_is_refused(text: str) -> None:
    found = Findings()
    checks.expires(found, text, NOW_US)
    assert "such as 2030-01-31T12:00:00Z" in found.problems[0].message


def test_a_sha256_is_64_hex_digits() -> None:
    found = Findings()
    assert checks.sha256(found, "AB" * 32) == "ab" * 32
    assert not found.problems
    for wrong in ("", "ab" * 31, "g" * 64, "ab" * 32 + "\n"):
        checks.sha256(found, wrong)
    assert len(found.problems) == 4
