"""The file of `keys import`: three formats, every problem at its line, and no secret in any of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from penstock.cli.key_file import FIRST, HEAVIEST, FileError, Row, pieces, read_file
from penstock.cli.key_file import SECRET as SECRET_WEIGHT
from penstock.keys.model import Key
from penstock.keys.takeover import FEWEST_SECRETS, MOST, MOST_SECRETS
from penstock.store.interface import StoreAwayError
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


def test_a_key_of_csv_may_have_opted_out_of_texts(tmp_path: Path) -> None:
    file = tmp_path / "keys.csv"
    file.write_text(f"name,sha256,content\na,{DIGEST},false\nb,{DIGEST},true\nc,{DIGEST},\n")
    assert [row.key.get("content") for row in read_file(str(file), "auto")] == [False, True, None]


def test_lists_tags_and_limits_of_a_cell_are_separated_by_blanks(tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    limits = "requests=600/min requests=9/day concurrent=5 budget=20usd/day"
    path.write_text(
        f'name,sha256,models,networks,tags,limits\n"a, b",{DIGEST},gpt-* fast,10.0.0.0/8,env=prod team=x,{limits}\n'
    )
    assert read_file(str(path), "csv")[0].key == {
        "name": "a, b",
        "sha256": DIGEST,
        "models": ["gpt-*", "fast"],
        "tags": {"env": "prod", "team": "x"},
        "networks": ["10.0.0.0/8"],
        "limits": {"requests": ["600/min", "9/day"], "concurrent": 5, "budget": "20usd/day"},
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
        (f"name,secret,content\na,{SECRET},no\n", ["2: content: expected true or false"]),
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


class Clock:
    """Goes on by `took_s` whenever a piece is sent."""

    def __init__(self, took_s: float) -> None:
        self.now, self.took_s = 0.0, took_s

    def sizes(self, rows: list[Row]) -> list[int]:
        found = []
        for piece in pieces(rows, lambda: self.now):
            found.append(len(piece))
            self.now += self.took_s
        return found


def test_pieces_are_as_large_as_the_time_they_take_allows() -> None:
    fast = [Row(line, {"name": "a", "sha256": DIGEST}) for line in range(1600)]
    slow = [Row(line, {"name": "a", "secret": SECRET}) for line in range(60)]
    long = [Row(line, {"name": "a" * 200_000, "sha256": DIGEST}) for line in range(5)]
    assert Clock(0.1).sizes(fast) == [100, 200, 400, 500, 400]
    assert Clock(0.1).sizes(slow) == [5, 10, 20, 25]
    assert Clock(2.0).sizes(slow) == [5] * 12
    assert Clock(4.0).sizes(slow) == [5, 2] + [1] * 53
    assert Clock(0.1).sizes(long) == [2, 2, 1]


def test_a_piece_is_never_more_than_one_call_may_carry() -> None:
    assert HEAVIEST <= MOST
    assert HEAVIEST // SECRET_WEIGHT <= MOST_SECRETS
    assert FIRST // SECRET_WEIGHT <= FEWEST_SECRETS


def test_an_import_says_how_many_and_repeats_without_harm(run: Run, transport: ApiTransport, tmp_path: Path) -> None:
    (tmp_path / "keys.jsonl").write_text(
        f'{{"name": "a", "secret": "{SECRET}"}}\n{{"name": "b", "sha256": "{DIGEST}"}}'
    )
    assert run("keys", "import", "keys.jsonl").stdout == "imported 2 keys; 0 were there already\n"
    ids = [key["id"] for key in json.loads(run("keys", "list", "--json").stdout)]
    again = json.loads(run("keys", "import", "-", "--json", stdin=(tmp_path / "keys.jsonl").read_text()).stdout)
    assert (again["created"], sorted(again["unchanged"])) == ([], ids)


def test_an_import_that_ends_early_counts_what_it_made(run: Run, transport: ApiTransport, tmp_path: Path) -> None:
    digests = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(103)]
    lines = [f'{{"name": "a", "sha256": "{digest}"}}' for digest in digests]
    (tmp_path / "keys.jsonl").write_text("\n".join(lines))
    saves = iter(range(200))

    def outage() -> None:
        if next(saves) == 102:
            raise StoreAwayError("away")

    transport.api.store.before_save = outage
    done = run("keys", "import", "keys.jsonl")
    assert done.exit_code == 1
    assert "with 2 of 3 keys there" in done.stderr
    assert done.stderr.splitlines()[-1] == "102 keys were imported before; import the file again"
    assert run("keys", "import", "keys.jsonl").stdout == "imported 1 keys; 102 were there already\n"


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
    monkeypatch.setattr("penstock.cli.key_file.FIRST", 20)
    (tmp_path / "k").write_text(f'{{"name": "a", "secret": "{SECRET}"}}\n{{"name": "c", "secret": "short"}}\n')
    done = run("keys", "import", "k")
    assert done.stderr.splitlines() == [
        "k:2: secret: has 5 characters; a secret has 20 to 512: make a new key instead",
        "1 keys were imported before; mend the file and import it again",
    ]


def test_everything_wrong_of_a_line_is_told(tmp_path: Path) -> None:
    file = tmp_path / "keys.csv"
    file.write_text(f"name,sha256,limits,tags\na,{DIGEST},request=5/s tokens=,prod\n")
    with pytest.raises(FileError) as error:
        read_file(str(file), "auto")
    assert [line.removeprefix(f"{file}:2: ").partition(":")[0] for line in error.value.lines] == [
        "limits",
        "limits",
        "tags",
    ]
