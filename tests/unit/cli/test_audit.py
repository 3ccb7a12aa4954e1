"""`penstock audit` and `penstock usage` over an admin API in memory, and on a data_dir alone."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from penstock.cli.audit import _Followed
from penstock.cli.audit_verify import _heads
from penstock.cli.record_source import PASSED_OVER
from penstock.store.interface import StoreError
from penstock.times import DAY_US
from tests.support.stored_rows import Chain, record, used
from tests.unit.cli.conftest import ApiTransport, Run

START = 20_000 * DAY_US
INSTANCE = "20260101T000000-0000000a"


def fill(transport: ApiTransport, count: int = 5) -> None:
    chain = Chain(INSTANCE)
    for number in range(count):
        fields: dict[str, Any] = {"key_id": "kA", "usage": used(10, 1), "cost_nanousd": 2_000, "tags": {"env": "prod"}}
        chain.add(record(number, START + number * 60_000_000, **fields), ("192.0.2.7", None))
    transport.api.records.ship(chain)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_records_are_shown_the_oldest_first(run: Run, transport: ApiTransport) -> None:
    fill(transport)
    done = run("audit", "query", "--json")
    assert done.exit_code == 0, done.output
    assert [each["number"] for each in lines(done.stdout)] == [0, 1, 2, 3, 4]
    assert [each["number"] for each in lines(run("audit", "query", "--json", "--limit", "2").stdout)] == [3, 4]
    table = run("audit", "query", "--limit", "2")
    assert [line.split()[-1] for line in table.stdout.splitlines()] == ["REQUEST", "req_3", "req_4"]
    assert table.stderr == "the latest 2; --limit 0 shows all\n"
    assert len(run("audit", "query", "--limit", "0").stdout.splitlines()) == 6
    assert run("audit", "query").stderr == ""


def test_every_condition_goes_along(run: Run, transport: ApiTransport) -> None:
    fill(transport)
    words: tuple[str, ...] = ("--since", "2024-10-04T00:01:00Z", "--until", "2024-10-05", "--key", "kA")
    words += ("--model", "fast", "--target", "up", "--status", "2xx", "--outcome", "complete", "--tag", "env=prod")
    assert [each["number"] for each in lines(run("audit", "query", "--json", *words).stdout)] == [1, 2, 3, 4]
    for words, count in (
        (("--tag", "env=dev"), 0),
        (("--team", "x"), 0),
        (("--request-id", "req_3"), 1),
        (("--status", "429"), 0),
    ):
        assert len(lines(run("audit", "query", "--json", *words).stdout)) == count
    for words in (
        ("--since", "soon"),
        ("--until", "999999999999999d"),
        ("--status", "999"),
        ("--tag", "env"),
    ):
        assert run("audit", "query", *words).exit_code == 2


def test_thousands_come_page_by_page(run: Run, transport: ApiTransport) -> None:
    fill(transport, 2_500)
    assert [each["number"] for each in lines(run("audit", "export").stdout)] == list(range(2_500))
    assert sum("records" in path for _, path, _ in transport.sent) == 10, "with texts less at a time"
    transport.sent.clear()
    assert len(run("audit", "export", "--format", "csv").stdout.splitlines()) == 2_501
    assert sum("records" in path for _, path, _ in transport.sent) == 3
    assert [each["number"] for each in lines(run("audit", "query", "--json", "--limit", "1500").stdout)] == list(
        range(1_000, 2_500)
    )


def test_export_writes_csv(run: Run, transport: ApiTransport) -> None:
    fill(transport, 2)
    done = run("audit", "export", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["request_id"], row["prompt_tokens"], row["tags"]) for row in rows] == [
        ("req_0", "10", "env=prod"),
        ("req_1", "10", "env=prod"),
    ]


def test_an_export_takes_the_place_of_the_one_before_once_all_of_it_has_come(
    run: Run, transport: ApiTransport, tmp_path: Path
) -> None:
    fill(transport, 2_500)
    file = tmp_path / "records.jsonl"
    assert run("audit", "export", "--output", str(file)).exit_code == 0
    assert (len(lines(file.read_text())), stat.S_IMODE(file.stat().st_mode)) == (2_500, 0o600)
    file.write_text("yesterday's")
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    call, asked = transport.call, list[str]()

    def once(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        transport.api.records.away = len(asked) > 0
        asked.append(path)
        return call(method, path, body)

    transport.call = once  # type: ignore[method-assign]
    done = run("audit", "export", "--output", str(link))
    assert (done.exit_code, len(asked)) == (1, 2), "some of it came"
    assert file.read_text() == "yesterday's"
    transport.call, transport.api.records.away = call, False  # type: ignore[method-assign]
    assert run("audit", "export", "--output", str(link)).exit_code == 0
    assert (len(lines(file.read_text())), stat.S_IMODE(file.stat().st_mode)) == (2_500, 0o640)
    assert {each.name for each in tmp_path.iterdir()} == {"link", "records.jsonl"}
    assert link.is_symlink()


def test_an_export_that_cannot_be_written_is_said(run: Run, transport: ApiTransport, tmp_path: Path) -> None:
    fill(transport)
    done = run("audit", "export", "--output", str(tmp_path / "none" / "records.jsonl"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"penstock audit: {tmp_path}/none/records.jsonl: No such file or directory\n"
    full = run("audit", "export", "--output", "/dev/full")
    assert (full.exit_code, full.stderr) == (1, "penstock audit: /dev/full: No space left on device\n")


def test_an_export_goes_into_a_fifo_as_it_comes(run: Run, transport: ApiTransport, tmp_path: Path) -> None:
    fill(transport)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(fifo.read_text)
        assert run("audit", "export", "--output", str(fifo)).exit_code == 0
        assert len(lines(read.result())) == 5
    assert fifo.is_fifo()


@pytest.fixture
def partly(transport: ApiTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with many records, of which the second page alone is said to be not all."""
    fill(transport, 2_500)
    call = transport.call

    def answer(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, answer = call(method, path, body)
        return status, answer | {"partial": "cursor" in path or "usage" in path}

    monkeypatch.setattr(transport, "call", answer)


@pytest.mark.usefixtures("partly")
def test_that_journals_were_passed_over_is_said_once(run: Run) -> None:
    for words in (("audit", "query", "--limit", "2400"), ("usage", "--since", "2024-10-01")):
        done = run(*words)
        assert done.exit_code == 0
        assert done.stderr.count("the journals hold more than was looked at") == 1


@pytest.mark.usefixtures("partly")
def test_who_wants_all_is_told_by_the_exit_code_that_journals_were_passed_over(run: Run) -> None:
    for words in (("query", "--json"), ("query", "--json", "--limit", "2400"), ("query", "--limit", "0"), ("export",)):
        done = run("audit", *words)
        assert (done.exit_code, len(done.stdout.splitlines()) >= 2_400) == (1, True), words
        assert done.stderr == f"penstock audit: {PASSED_OVER}\n"


@pytest.mark.usefixtures("partly")
def test_an_export_of_which_journals_were_passed_over_leaves_the_one_before(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text("yesterday's")
    for form in ("jsonl", "csv"):
        done = run("audit", "export", "--format", form, "--output", str(file))
        assert (done.exit_code, done.stderr) == (1, f"penstock audit: {PASSED_OVER}\n")
        assert (file.read_text(), os.listdir(tmp_path)) == ("yesterday's", ["records.jsonl"])


def test_a_data_dir_is_read_by_itself(run: Run, tmp_path: Path) -> None:
    done = run("audit", "query", "--json", "--data-dir", str(tmp_path / "none"))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    (tmp_path / "penstock.sqlite").write_bytes(b"no database, and long enough to be seen as one" * 100)
    done = run("audit", "query", "--data-dir", str(tmp_path))
    assert done.exit_code == 1
    assert "restore it from a backup" in done.stderr


def test_who_follows_is_held_up_by_no_journal_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"one": ["one 1"], "two": ["two 1"]}
    unread: set[str] = set()

    class Read:
        def __init__(self, path: str, _: int = 0) -> None:
            self.name, self.at = Path(path).name, 0

        def rows(self) -> Iterator[str]:
            while self.at < len(rows[self.name]):
                if self.name in unread:
                    raise PermissionError(13, "Permission denied")
                self.at += 1
                yield rows[self.name][self.at - 1]
            if self.name in unread:
                raise PermissionError(13, "Permission denied")

    def followed(newest: bool = False) -> list[Any]:
        return [*journals.rows(newest)]

    def told() -> list[str]:
        return capsys.readouterr().err.splitlines()

    monkeypatch.setattr("penstock.cli.audit.Journal", Read)
    for name in rows:
        (tmp_path / "journal" / name).mkdir(parents=True)
    unread.add("one")
    journals = _Followed(str(tmp_path))
    assert followed(newest=True) == []
    rows["two"].append("two 2")
    assert [*followed(), *followed()] == ["two 2"]
    assert told() == [
        f"penstock audit: {tmp_path}/journal/one cannot be read: Permission denied; the others are followed"
    ]
    unread.clear()
    assert followed() == [], "what it had before is not new"
    rows["one"].append("one 2")
    assert followed() == ["one 2"]
    unread.add("one")
    rows["one"].append("one 3")
    assert followed() == []
    assert len(told()) == 1
    unread.clear()
    assert followed() == ["one 3"], "it goes on from where it was"


def test_sums_are_a_table_and_json(run: Run, transport: ApiTransport) -> None:
    fill(transport)
    words = ("usage", "--by", "key,tag:env,team", "--per", "day", "--since", "2024-10-01", "--until", "2024-10-31")
    table = run(*words)
    assert table.exit_code == 0, table.output
    assert [line.split() for line in table.stdout.splitlines()] == [
        ["TIME", "KEY", "TAG:ENV", "TEAM", "REQUESTS", "PROMPT", "CACHED", "COMPLETION", "COST", "USD", "UNPRICED"],
        ["2024-10-04", "kA", "prod", "-", "5", "50", "0", "5", "0.00001", "0"],
    ]
    assert table.stderr == "from 2024-10-01T00:00:00Z to 2024-10-31T00:00:00Z\n"
    (item,) = json.loads(run(*words, "--json").stdout)["items"]
    assert (item["by"], item["cost_nanousd"]) == ({"key": "kA", "tag:env": "prod", "team": None}, 10_000)
    hours = run("usage", "--per", "hour", "--since", "2024-10-01")
    assert hours.stdout.splitlines()[1].startswith("2024-10-04 00:00")
    assert run("usage", "--by", "kye").exit_code == 2
    assert run("usage", "--since", "soon").exit_code == 2


def test_what_a_key_has_spent_is_shown_with_it(run: Run, transport: ApiTransport) -> None:
    id = json.loads(run("keys", "create", "--name", "app", "--json").stdout)["id"]
    assert "spent      today 0 requests, 0 tokens, 0 usd" in run("keys", "show", id).stdout
    assert json.loads(run("keys", "show", id, "--json").stdout)["spend"] == {
        name: {"requests": 0, "tokens": 0, "cost_usd": "0", "unpriced": 0} for name in ("today", "month")
    }
    transport.api.records.away = True
    assert "spent      not known: " in run("keys", "show", id).stdout
    assert json.loads(run("keys", "show", id, "--json").stdout)["spend"] is None


def test_it_is_forgotten_in_the_journals_first_or_they_would_bring_it_to_the_store_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, int]] = []

    def in_journal(directory: str, before_us: int, live: bool) -> tuple[int, int, int]:
        done.append((Path(directory).name, before_us))
        return 2, 0, 0

    async def in_store(config: str | None, data_dir: str | None, before_us: int) -> int:
        done.append(("store", before_us))
        return 3

    for instance in ("one", "two"):
        (tmp_path / "journal" / instance).mkdir(parents=True)
    monkeypatch.setattr("penstock.engine.forget_private", in_journal)
    monkeypatch.setattr("penstock.cli.audit_verify._forget_in_store", in_store)
    told = run("audit", "forget", "--before", "1970-01-01T00:00:01Z", "--data-dir", str(tmp_path))
    assert told.stdout == "forgotten: 4 in journals, 3 in the store\n"
    assert done == [(name, 1_000_000) for name in ("one", "two", "store")]
    assert run("audit", "forget", "--before", "0001-01-01", "--data-dir", str(tmp_path)).exit_code == 0
    assert done[-1] == ("store", 0)


def test_what_another_process_is_at_is_forgotten_once_it_has_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [3, 1, 0]

    def in_journal(directory: str, before_us: int, live: bool) -> tuple[int, int, int]:
        return 2, 10, left.pop(0) if left else 5

    (tmp_path / "journal" / "one").mkdir(parents=True)
    monkeypatch.setattr("penstock.engine.forget_private", in_journal)
    monkeypatch.setattr("penstock.cli.audit_verify.AGAIN_S", 0.001)
    told = run("audit", "forget", "--before", "1d", "--data-dir", str(tmp_path))
    assert told.stdout == "forgotten: 6 in journals, 30 bytes of damaged entries, 0 in the store\n"
    monkeypatch.setattr("penstock.cli.audit_verify.PATIENCE_S", 0.01)
    told = run("audit", "forget", "--before", "1d", "--data-dir", str(tmp_path))
    assert told.exit_code == 1
    assert f"{tmp_path}/journal/one: another process changes its files (5 are left): run it again" in told.stderr


def test_what_is_not_forgotten_is_said(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_journal(directory: str, before_us: int, live: bool) -> tuple[int, int, int]:
        if directory.endswith("one"):
            raise OSError("the disk refuses")
        return 2, 500, 0

    async def in_store(config: str | None, data_dir: str | None, before_us: int) -> int:
        raise StoreError("it is away")

    for instance in ("one", "two"):
        (tmp_path / "journal" / instance).mkdir(parents=True)
    monkeypatch.setattr("penstock.engine.forget_private", in_journal)
    monkeypatch.setattr("penstock.cli.audit_verify._forget_in_store", in_store)
    told = run("audit", "forget", "--before", "1d", "--data-dir", str(tmp_path))
    assert told.exit_code == 1
    assert told.stdout == "forgotten: 2 in journals, 500 bytes of damaged entries, 0 in the store\n"
    assert f"{tmp_path}/journal/one: the disk refuses; the store: it is away" in told.stderr


class Forgetting:
    """A store in which nothing is left."""

    def __init__(self, *place: object, **more: object) -> None:
        self.asked.append((place, more))

    asked: ClassVar[list[object]] = []

    async def forget(self, before_us: int) -> int:
        return 3

    async def close(self) -> None:
        pass


def test_it_is_forgotten_in_the_store_where_a_providers_key_is_not_known(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Forgetting, "asked", [])
    monkeypatch.setattr("penstock.store.open.make_forgetting", Forgetting)
    (tmp_path / "penstock.yaml").write_text(
        f"data_dir: {tmp_path}\nstore: postgresql://someone@there/penstock\n"
        "providers: {openai: {api_key: '${env:OPENAI_API_KEY}'}}\nlimits: {nothing: 1}\n"
    )
    told = run("audit", "forget", "--before", "1d")
    assert (told.exit_code, told.output) == (0, "forgotten: 0 in journals, 3 in the store\n")
    place = ("postgresql://someone@there/penstock", str(tmp_path))
    assert Forgetting.asked == [(place, {"password_file": None})]


def test_a_store_that_cannot_be_found_is_said_once_the_journals_have_forgotten(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "journal" / "one").mkdir(parents=True)
    monkeypatch.setattr("penstock.engine.forget_private", lambda *_: (2, 0, 0))
    file = tmp_path / "penstock.yaml"
    for store, problem in (
        ('"${env:STORE_URL}"', "store.url: the environment variable STORE_URL is not set"),
        ("postgresql://someone@there", "store.url: names no database"),
        (f"{{url: postgresql://a@there/b, password_file: {tmp_path}/none}}", "store.password_file: "),
    ):
        file.write_text(f"data_dir: {tmp_path}\nstore: {store}\n")
        told = run("audit", "forget", "--before", "1d")
        assert (told.exit_code, told.stdout) == (1, "forgotten: 2 in journals, 0 in the store\n")
        assert "not everything is forgotten: the store: " in told.stderr
        assert problem in told.stderr


def test_a_kept_head_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "heads.json"
    for digits, takes in (("0" * 64, True), ("0" * 62, False), ("x" * 64, False)):
        head = {"instance": "one", "sequence": 3, "hash": digits}
        file.write_text(json.dumps({"journals": [], "store": [{"head": head}]}))
        if takes:
            assert [each.hash for each in _heads(str(file))] == [digits]
            continue
        with pytest.raises(SystemExit):
            _heads(str(file))
        assert "is not what `penstock audit verify --json` prints" in capsys.readouterr().err
