"""YAML as a tree with places."""

from __future__ import annotations

import pytest

from penstock.config import tree
from penstock.config.problem import ConfigError
from penstock.config.tree import Mapping, Scalar


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        tree.parse(text, "f.yaml")
    return [str(found) for found in error.value.problems]


def test_every_node_knows_its_line_and_column() -> None:
    root = tree.parse("a: 1\nb:\n  - x\n  - {c: y}\n", "f.yaml")
    key, node = root.entries["b"]
    assert str(key) == "f.yaml:2:1"
    assert isinstance(node, tree.Sequence)
    assert [str(item.mark) for item in node.items] == ["f.yaml:3:5", "f.yaml:4:5"]


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert tree.parse("# nothing yet\n", "f.yaml").entries == {}


def test_values_stay_as_they_were_written() -> None:
    root = tree.parse("a: on\nb: 1.10\nc: 010\nd: ~\n", "f.yaml")
    nodes = [node for _, node in root.entries.values()]
    assert [node.text for node in nodes if isinstance(node, Scalar)] == ["on", "1.10", "010", "~"]
    assert [node.null for node in nodes if isinstance(node, Scalar)] == [False, False, False, True]


def test_anchors_and_merges_work_and_own_fields_win() -> None:
    root = tree.parse("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nagain: *b\n", "f.yaml")
    use, again = root.entries["use"][1], root.entries["again"][1]
    assert isinstance(use, Mapping)
    assert isinstance(again, Mapping)
    texts = {name: node.text for name, (_, node) in use.entries.items() if isinstance(node, Scalar)}
    assert texts == {"x": "1", "y": "3"}
    assert list(again.entries) == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1: 'a' stands twice (first on line 1)"),
        ("- a\n", "f.yaml:1:1: expected fields and their values (start with `providers:`)"),
        ("a: [1\n", "f.yaml:2:1: did not find expected ',' or ']'"),
        (
            "a: !!python/name:os.system x\n",
            "f.yaml:1:4: the tag tag:yaml.org,2002:python/name:os.system means nothing here",
        ),
        ("? [a]\n: b\n", "f.yaml:1:3: a field's name is a word, not a list or a mapping"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: but found another document"),
        ("a: *nowhere\n", "f.yaml:1:4: found undefined alias"),
        ("a: 1\nb: 'x\x00y'\n", r"f.yaml:2:6: the character '\x00' cannot stand here"),
        ("a: {<<: 7}\n", "f.yaml:1:9: `<<` takes a mapping, or a list of them"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_nesting_and_aliases_are_bounded() -> None:
    assert "nested too deep" in problems("[" * 40 + "]" * 40)[0]
    for opening in ("[", "{a: ", "? ", "- "):
        assert "nested too deep" in problems("a:\n " + opening * 50_000)[0]
    assert "too often" in problems("a: [" + "x," * 400_000 + "]")[0]
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for n in range(1, 9):
        laughs += f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n"
    assert "repeated too often by aliases" in problems(laughs)[0]
    assert "nested too deep" in problems("a: &a {b: *a}\n")[0]
