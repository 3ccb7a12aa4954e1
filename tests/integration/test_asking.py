"""Records and sums of a running gateway: from its journal at once, from its store, and by every command."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.machine import free_port
from penstock.store.sqlite import SqliteDatabase
from tests.support import raw
from tests.support.audit import audit
from tests.support.gateway import Gateway, run
from tests.support.kinds import CHAT
from tests.support.office import Made, Office, use
from tests.support.scene import ask, config_of
from tests.support.script import answer
from tests.support.stored_rows import Chain, record, ship, used
from tests.support.upstream import Upstream
from tests.support.wait import until

OTHER = "20200101T000000-0000000a"
"""An instance of another machine."""


@pytest.fixture
def gateway(upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    upstream.always(answer(CHAT.whole))
    config = config_of(upstream) | {"auth": "keys", "prices": {"m": {"input": 1, "output": 10}}}
    with Gateway(tmp_path, config) as running:
        yield running


@pytest.fixture
def key(gateway: Gateway) -> Made:
    return Office(gateway).make()


def shipped(gateway: Gateway, *chains: Chain, ended: bool = True) -> None:
    """What other machines have put into the store."""

    async def put() -> None:
        database = SqliteDatabase(str(gateway.data_dir / "penstock.sqlite"))
        await database.open()
        for chain in chains:
            await ship(database, chain, ended=ended)
        await database.close()

    asyncio.run(put())


def elsewhere(key: str, count: int = 3, hours_ago: int = 2) -> Chain:
    chain = Chain(OTHER)
    started = time.time_ns() // 1_000 - hours_ago * 3_600_000_000
    for number in range(count):
        fields: dict[str, Any] = {"key_id": key, "usage": used(100, 10), "cost_nanousd": 5, "model": "far"}
        chain.add(record(number, started + number, **fields), ("10.0.0.1", "x"))
    return chain


def asked(gateway: Gateway, path: str) -> Any:
    got = gateway.ask("GET", f"/admin/v1/{path}")
    assert got.status == 200, got.body
    return got.json()


def test_a_record_is_seen_at_once_and_those_of_other_machines_with_it(gateway: Gateway, key: Made) -> None:
    shipped(gateway, elsewhere(key.id))
    for _ in range(2):
        assert use(gateway, key).status == 200
    until(lambda: len(asked(gateway, "records")["items"]) == 5, "five records")
    items = asked(gateway, "records")["items"]
    assert [(each["model"], each["key_id"]) for each in items] == [("m", key.id)] * 2 + [("far", key.id)] * 3
    assert items[0]["client"] == "127.0.0.1"
    assert asked(gateway, f"records/{items[0]['request_id']}")["items"] == items[:1]
    assert len(asked(gateway, f"records?key={key.id}&model=far&limit=2&order=oldest")["items"]) == 2
    lines = run("audit", "query", "-c", str(gateway.config_file), "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == items[::-1]
    assert [json.loads(line) for line in audit(gateway.data_dir, "query", "--json").stdout.splitlines()] == items[::-1]
    gateway.stop()
    lines = run("audit", "export", "-c", str(gateway.config_file)).stdout.splitlines()
    assert [json.loads(line) for line in lines] == items[::-1], "where no process runs, the store and the journals"


def test_sums_count_both(gateway: Gateway, key: Made) -> None:
    shipped(gateway, elsewhere(key.id))
    assert use(gateway, key).status == 200
    until(lambda: len(asked(gateway, "records")["items"]) == 4, "four records")
    usage = CHAT.whole["usage"]
    cost = 1_000 * usage["prompt_tokens"] + 10_000 * usage["completion_tokens"]
    (total,) = asked(gateway, f"usage?key={key.id}&since=1d")["items"]
    assert (total["requests"], total["cost_nanousd"]) == (4, 15 + cost)
    done = run("usage", "--by", "model", "--since", "1d", "--json", "-c", str(gateway.config_file))
    items = json.loads(done.stdout)["items"]
    assert [(each["by"]["model"], each["requests"], each["prompt_tokens"]) for each in items] == [
        ("far", 3, 300),
        ("m", 1, usage["prompt_tokens"]),
    ]


def test_a_key_is_told_what_it_has_spent(gateway: Gateway, key: Made) -> None:
    shipped(gateway, elsewhere(key.id, hours_ago=0))
    headers = {"authorization": f"Bearer {key.text}"}
    told = raw.get(gateway.address, "/v1/key", headers).json()["spend"]
    expected = {"requests": 3, "tokens": 330, "cost_usd": "0.000000015", "unpriced": 0}
    assert told == {"today": expected, "month": expected}
    assert gateway.metrics().value("penstock_questions_total", kind="spend", result="answered") == 1
    shown = run("keys", "show", key.id, "-c", str(gateway.config_file)).stdout
    assert "today 4 requests, 330 tokens, 0.000000015 usd" in shown, "the question itself is one by now"


def test_without_a_journal_nobody_is_asked_what_was_spent(upstream: Upstream, tmp_path: Path) -> None:
    config = config_of(upstream) | {"auth": "keys", "journal": {"durability": "none"}}
    with Gateway(tmp_path, config) as gateway:
        key = Office(gateway).make()
        got = raw.get(gateway.address, "/v1/key", {"authorization": f"Bearer {key.text}"})
        assert got.json()["spend"] is None


def change(gateway: Gateway, *statements: str) -> None:
    with closing(sqlite3.connect(gateway.data_dir / "penstock.sqlite")) as file, file:
        for statement in statements:
            file.execute(statement)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE penstock_records SET cost_nanousd = 0 WHERE sequence = 2", "entry 2 was changed: its columns"),
        ("UPDATE penstock_records SET public = x'90' WHERE sequence = 2", "entry 2 was changed"),
        ("DELETE FROM penstock_records WHERE sequence = 2", "entry 2 is missing"),
        ("DELETE FROM penstock_records WHERE sequence = 3", "entries 3 to 3 are missing: the store has had them"),
        ("INSERT INTO penstock_records SELECT * FROM penstock_records WHERE sequence = 2", "entry 2 stands twice"),
        ("UPDATE penstock_records SET private = x'00' WHERE sequence = 2", "entry 2 was changed: its private part"),
    ],
)
def test_verify_looks_at_the_store_too(gateway: Gateway, key: Made, statement: str, said: str, tmp_path: Path) -> None:
    shipped(gateway, elsewhere(key.id))
    for words in (("-c", str(gateway.config_file)), ("--data-dir", str(gateway.data_dir))):
        done = run("audit", "verify", *words, "--json")
        assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["store"][0]
    assert (report["instance"], report["records"], report["ended"]) == (OTHER, 3, True)
    (tmp_path / "heads.json").write_text(done.stdout)
    assert audit(gateway.data_dir, "verify", "--heads", str(tmp_path / "heads.json")).returncode == 0
    change(gateway, statement)
    done = audit(gateway.data_dir, "verify")
    assert (done.returncode, f"store: {OTHER}: {said}" in done.stderr) == (1, True), done.stderr


def test_rows_that_retention_took_are_said_and_no_fault(gateway: Gateway, key: Made) -> None:
    shipped(gateway, elsewhere(key.id))
    change(gateway, "DELETE FROM penstock_records WHERE sequence < 3")
    done = audit(gateway.data_dir, "verify")
    assert done.returncode == 0, done.stderr
    assert "GONE: entries at the beginning" in done.stdout


def test_tail_begins_with_what_the_store_has(gateway: Gateway, key: Made) -> None:
    import subprocess

    from tests.support.gateway import clean_environment, command

    shipped(gateway, elsewhere(key.id))
    words = [*command(), "audit", "tail", "--json", "-c", str(gateway.config_file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=clean_environment(), text=True) as process:
        assert process.stdout
        try:
            assert [json.loads(process.stdout.readline())["model"] for _ in range(3)] == ["far"] * 3
            assert use(gateway, key).status == 200
            assert json.loads(process.stdout.readline())["model"] == "m"
        finally:
            process.terminate()


def test_a_journal_that_cannot_be_read_holds_up_no_answer(gateway: Gateway, key: Made) -> None:
    import subprocess

    from tests.support.gateway import clean_environment, command

    assert use(gateway, key).status == 200
    unseen = gateway.data_dir / "journal" / "20200102T000000-0000000b"
    unseen.symlink_to(unseen.name)
    told = f"{unseen} cannot be read: Too many levels of symbolic links"
    until(lambda: asked(gateway, "records")["items"], "it is recorded")
    found = asked(gateway, "records")
    assert found["partial"]
    assert asked(gateway, f"records/{found['items'][0]['request_id']}")["items"] == found["items"]
    summed = asked(gateway, "usage")
    assert (summed["items"][0]["requests"], summed["partial"]) == (1, True)
    assert [each["error"] for each in gateway.log_records() if each["message"].startswith("answers lack")] == [told]
    for words, lines in (
        (("query", "--json"), 1),
        (("query",), 2),
        (("export",), 1),
        (("export", "--format", "csv"), 2),
    ):
        done = audit(gateway.data_dir, *words)
        assert (done.returncode, len(done.stdout.splitlines())) == (1, lines)
        assert done.stderr == f"penstock audit: not everything is shown: {told}\n"
    done = run("audit", "export", "-c", str(gateway.config_file))
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
    assert "or export with --data-dir on that node" in done.stderr
    tail = [*command(), "audit", "tail", "--json", "--data-dir", str(gateway.data_dir)]
    with subprocess.Popen(
        tail, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(), text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        try:
            assert process.stderr.readline() == f"penstock audit: {told}; the others are followed\n"
            assert json.loads(process.stdout.readline())["model"] == "m"
            assert use(gateway, key).status == 200
            assert json.loads(process.stdout.readline())["model"] == "m"
        finally:
            process.terminate()
        assert process.stderr.read() == ""


def test_while_the_store_is_away_journals_are_verified_and_shown(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    config = config_of(upstream, store=away)
    with Gateway(tmp_path, config) as gateway:
        assert ask(gateway, CHAT, False).status == 200
        until(lambda: len(audit(gateway.data_dir, "query", "--json").stdout.splitlines()) == 1, "it is recorded")
        done = run("audit", "verify", "-c", str(gateway.config_file))
        assert (done.returncode, "store: not verified: PostgreSQL" in done.stderr) == (1, True)
        assert "open" in done.stdout, "the journal is"
        done = run("audit", "query", "-c", str(gateway.config_file))
        assert (done.returncode, "PostgreSQL" in done.stderr) == (1, True)
        for path in ("records", "usage"):
            refused = gateway.ask("GET", f"/admin/v1/{path}")
            assert (refused.status, refused.error_code) == (503, "store_unavailable")
