"""The file of `keys import`: three formats, every problem at its line, and no secret in any of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.cli.key_file import FileError, Row, batches, read_file
from penstock.keys.model import Key
from tests.unit.cli.conftest import ApiTransport, Run

SECRET = "sk-0123456789abcdefghij"
DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f'{{"name": "a", "sha256": "{DIGEST}"}}\n\n{{"name": "b", "secret": "{SECRET}"}}\n', [1, 3]),
        (f'[\n {{"name": "a", "sha256": "{DIGEST}"}},\n {{"name": "b",\n "secret": "{SECRET}"}}\n]', [2, 3]),
        (f"name,sha256,secret\na,{DIGEST},\nb,,{SECRET}\n", [2, 3]),
        (f"\ufeffName, SHA256 ,secret\r\na,{DIGEST},\r\nb,,{SECRET}\r\n", [2, 3]),
    ],
)
def test_each_format_says_the_same(tmp_path: Path, text: str, lines: list[int]) -> None:
    path = tmp_path / "keys"
    path.write_text(text, newline="")
    rows = read_file(str(path), "auto")
    assert [row.key for row in rows] == [{"name": "a", "sha256": DIGEST}, {"name": "b", "secret": SECRET}]
    assert [row.line for row in rows] == lines


def test_lists_and_tags_of_a_cell_are_separated_by_blanks(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    path.write_text(f'name,sha256,models,networks,tags\n"a, b",{DIGEST},gpt-* fast,10.0.0.0/8,env=prod team=x\n')
    assert read_file(str(path), "csv")[0].key == {
        "name": "a, b",
        "sha256": DIGEST,
        "models": ["gpt-*", "fast"],
        "tags": {"env": "prod", "team": "x"},
        "networks": ["10.0.0.0/8"],
    }


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (f'{{"secret": "{SECRET}"\n{{"a": 1}}\n7\n', ["1: is not a JSON object", "3: is not a JSON object"]),
        (f'[{{"secret": "{SECRET}"}}', [" is not a JSON list of objects"]),
        (f'[7,\n"{SECRET}"]', ["1: is not a JSON object", "2: is not a JSON object"]),
        (f"{SECRET},a\n{SECRET}1,b\n", ["1: column 1 has an unknown name; the first", "1: column 2 has an unknown"]),
        (f"name,secret\na\nb,{SECRET},c\n", ["2: has 1 cells instead of 2", "3: has 3 cells instead of 2"]),
        (f"name,secret,tags\na,{SECRET},prod\n", ["2: tags: expected name=value"]),
        (f'name,secret\na,"{SECRET}\n', ["2: is not CSV"]),
        ("", [" holds no keys"]),
        ("[]", [" holds no keys"]),
        ("[" * 100_000, [" is not a JSON list"]),
    ],
)
def test_every_problem_has_its_line_and_repeats_no_secret(tmp_path: Path, text: str, problems: list[str]) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(FileError) as error:
        read_file(str(path), "auto")
    assert len(error.value.lines) == len(problems), error.value.lines
    for said, expected in zip(error.value.lines, problems, strict=True):
        assert said.startswith(f"{path}:{expected}")
    assert SECRET not in str(error.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot be read: No such file"):
        read_file(str(tmp_path / "none"), "auto")
    (tmp_path / "bad").write_bytes(b"name\n\xff\n")
    with pytest.raises(FileError, match=r"bad:2: not UTF-8"):
        read_file(str(tmp_path / "bad"), "auto")


def test_what_is_slow_to_take_goes_in_small_pieces() -> None:
    fast = [Row(line, {"name": "a", "sha256": DIGEST}) for line in range(1200)]
    slow = [Row(line, {"name": "a", "secret": SECRET}) for line in range(60)]
    long = [Row(line, {"name": "a" * 200_000, "sha256": DIGEST}) for line in range(5)]
    assert [len(batch) for batch in batches(fast)] == [500, 500, 200]
    assert [len(batch) for batch in batches(slow)] == [25, 25, 10]
    assert [len(batch) for batch in batches(long)] == [2, 2, 1]


def test_an_import_says_how_many_and_repeats_without_harm(run: Run, transport: ApiTransport, tmp_path: Path) -> None:
    (tmp_path / "keys.jsonl").write_text(
        f'{{"name": "a", "secret": "{SECRET}"}}\n{{"name": "b", "sha256": "{DIGEST}"}}'
    )
    assert run("keys", "import", "keys.jsonl").stdout == "imported 2 keys; 0 were there already\n"
    ids = [key["id"] for key in json.loads(run("keys", "list", "--json").stdout)]
    again = json.loads(run("keys", "import", "-", "--json", stdin=(tmp_path / "keys.jsonl").read_text()).stdout)
    assert (again["created"], sorted(again["unchanged"])) == ([], ids)


def test_what_is_wrong_with_a_key_is_told_at_its_line(run: Run, transport: ApiTransport, tmp_path: Path) -> None:
    (tmp_path / "k").write_text(
        f'\n{{"name": "a", "secret": "{SECRET}"}}\n{{"nam": "b", "secret": 7}}\n{{"name": "c", "secret": "short"}}\n'
    )
    done = run("keys", "import", "k")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "k:3: nam: there is no such field (did you mean 'name'?)",
        "k:3: name: is missing",
        "k:3: secret: expected text or null, got a whole number",
        "k:4: secret: has 5 characters; a secret has 20 to 512: make a new key instead",
    ]
    assert SECRET not in done.output
    (tmp_path / "k").write_text(f'{{"name": "a", "secret": "{SECRET}"}}\n\n{{"name": "c", "secret": "short"}}\n')
    assert run("keys", "import", "k").stderr.startswith("k:3: secret: has 5 characters")
    assert not transport.api.store.rows(Key)


def test_what_was_taken_before_a_wrong_piece_is_said(
    run: Run, transport: ApiTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.key_file.WEIGHT", 20)
    (tmp_path / "k").write_text(f'{{"name": "a", "secret": "{SECRET}"}}\n{{"name": "c", "secret": "short"}}\n')
    done = run("keys", "import", "k")
    assert done.stderr.splitlines() == [
        "k:2: secret: has 5 characters; a secret has 20 to 512: make a new key instead",
        "1 keys were imported before; mend the file and import it again",
    ]
