"""The audit trail end to end: what is recorded of every kind of request, and the commands that show it."""

import csv
import io
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import raw
from tests.support.audit import audit, query, verified
from tests.support.gateway import Gateway, clean_environment, command, run
from tests.support.kinds import CHAT, MESSAGES
from tests.support.office import Office, use
from tests.support.scene import ask, config_of, open_request
from tests.support.script import Cut, Hold, Pause, Send, answer, chunk, head, stream, stream_head
from tests.support.upstream import Upstream
from tests.support.wait import until


@pytest.fixture(params=["group", "flush", "os"])
def durability(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gateway(upstream: Upstream, tmp_path: Path, durability: str) -> Iterator[Gateway]:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, config_of(upstream, journal={"durability": durability})) as running:
        yield running


def recorded(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """The records once there are so many."""
    return until(lambda: rows if len(rows := query(gateway.data_dir)) >= count else None, f"{count} records") or []


@pytest.mark.parametrize("durability", ["flush"], indirect=True)
def test_an_answer_that_ends_with_its_connection_ends_once_it_is_recorded(gateway: Gateway, upstream: Upstream) -> None:
    text = json.dumps({"text": "x" * 200_000}).encode()
    fields = {"content-type": "application/json", "transfer-encoding": "chunked"}
    first, second = (Send(chunk(piece)) for piece in (text[:90_000], text[90_000:]))
    upstream.always([Send(head(200, fields)), first, Pause(0.2), second, Pause(0.5), Send(b"0\r\n\r\n")])
    body = json.dumps(CHAT.request("m", False)).encode()
    with socket.create_connection(("127.0.0.1", int(gateway.address.rpartition(":")[2]))) as client:
        lines = f"POST {CHAT.path} HTTP/1.0\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(lines.encode() + body)
        got = b""
        while not got.endswith(text[-40:-1]):
            got += client.recv(1 << 20)
        assert not query(gateway.data_dir), "its end is not known yet"
        assert client.recv(1) == text[-1:]
        assert len(query(gateway.data_dir)) == 1
        assert client.recv(1) == b""
    assert got.split(b"\r\n\r\n", 1)[1] == text[:-1]


def test_every_request_that_reached_authentication_is_one_record(gateway: Gateway, upstream: Upstream) -> None:
    assert raw.get(gateway.address, "/health/live").status == 200
    assert ask(gateway, CHAT, False, user="somebody").status == 200
    upstream.always(stream(CHAT.frames))
    assert CHAT.outcome(ask(gateway, CHAT).body) == "complete"
    recorded(gateway, 2)
    upstream.always([stream_head(), Send(chunk(CHAT.frames[0])), Cut()])
    ask(gateway, CHAT)
    recorded(gateway, 3)
    upstream.always([Hold()])
    left = open_request(gateway, CHAT, False)
    until(lambda: gateway.status()["native"]["in_flight"] == 1, "the request is in")
    left.close()
    assert raw.get(gateway.address, "/v1/nothing").status == 404
    assert raw.get(gateway.address, "/v1/models", {"x-request-id": "mine"}).status == 200
    rows = recorded(gateway, 6)
    assert [(row["status"], row["outcome"]) for row in rows if row["outcome"] != "client_gone"] == [
        (200, "complete"),
        (200, "complete"),
        (200, "upstream_cut"),
        (404, "complete"),
        (200, "complete"),
    ]
    first, second = rows[0], rows[1]
    assert (first["model"], first["target"], first["client"], first["end_user"]) == (
        "m",
        "up/m",
        "127.0.0.1",
        "somebody",
    )
    assert first["usage_source"] == second["usage_source"] == "provider"
    assert first["attempts"] == [
        {"provider": "up", "model": "m", "status": 200, "skipped": 0, "us": first["attempts"][0]["us"]}
    ]
    assert first["cost_nanousd"] is None, "the model has no price"
    assert second["stream"]["frames"] > 1
    assert [row["path"] for row in rows if row["request_id"] == "mine"] == ["/v1/models"]
    (gone,) = [row for row in rows if row["outcome"] == "client_gone"]
    assert gone["status"] is None
    assert len({row["number"] for row in rows}) == 6
    (report,) = verified(gateway.data_dir)
    assert (report["records"], report["lost"], report["is_live"]) == (6, 0, True)


def test_answers_are_what_they_were_and_connections_go_on(gateway: Gateway, upstream: Upstream) -> None:
    with raw.Client(gateway.address) as client:
        for _ in range(3):
            client.send(raw.request("POST", CHAT.path, json.dumps(CHAT.request("m", False)).encode()))
            assert client.read().json() == CHAT.whole
            client.send(raw.request("HEAD", "/v1/models"))
            assert client.read("HEAD").status == 200
            client.send(raw.request("GET", "/v1/nothing"))
            assert client.read("GET").error_code == "path_not_found"
        upstream.always(stream(MESSAGES.frames))
        client.send(raw.request("POST", MESSAGES.path, json.dumps(MESSAGES.request("m")).encode(), MESSAGES.headers))
        assert client.read().body == b"".join(MESSAGES.frames)
    assert len(recorded(gateway, 10)) == 10


def test_the_cost_is_that_of_the_price_and_of_a_free_provider_nothing(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    usage = CHAT.whole["usage"]
    with Gateway(tmp_path, config_of(upstream) | {"prices": {"m": {"input": 1, "output": 10}}}) as gateway:
        assert ask(gateway, CHAT, False).status == 200
        (row,) = recorded(gateway, 1)
        assert row["cost_nanousd"] == 1_000 * usage["prompt_tokens"] + 10_000 * usage["completion_tokens"]


def test_a_stream_whose_process_was_killed_leaves_a_trace(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always([stream_head(), Send(chunk(CHAT.frames[0])), Hold()])
    gateway = Gateway(tmp_path, config_of(upstream))
    gateway.start()
    with open_request(gateway, CHAT) as client:
        assert client.read_head().status == 200
        until(lambda: verified(gateway.data_dir), "the beginning is written")
        assert query(gateway.data_dir) == [], "it still runs"
        gateway.kill()
    (row,) = query(gateway.data_dir)
    assert (row["outcome"], row["model"], row["target"], row["client"]) == ("interrupted", "m", "up/m", "127.0.0.1")
    (report,) = verified(gateway.data_dir)
    assert (report["entries"], report["records"], report["ended"]) == (1, 0, False)


def test_floods_of_refusals_are_counted_together(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    config = config_of(upstream) | {"auth": "keys", "limits": {"default": {"requests": "3/h"}}}
    with Gateway(tmp_path, config) as gateway:
        key = Office(gateway).make()
        refused = [use(gateway, key).status for _ in range(60)].count(429)
        assert refused == 57
        assert all(use(gateway, None).status == 401 for _ in range(40))
    rows = query(gateway.data_dir)

    def of(status: int) -> list[dict[str, Any]]:
        return [row for row in rows if row["status"] == status]

    assert [row["count"] for row in of(200)] == [1, 1, 1]
    assert sum(row["count"] for row in of(429)) == refused
    assert sum(row["count"] for row in of(401)) == 40
    assert len(rows) < 50
    assert {row["key_id"] for row in of(429)} == {key.id}
    assert {(row["key_id"], row["error"]) for row in of(401)} == {(None, "missing_api_key")}
    assert len({row["number"] for row in rows}) == len(rows)


def test_records_say_the_tags_of_key_and_team_and_the_limits_that_counted_it(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.always(answer(CHAT.whole))
    limits = {"default": {"requests": "3/h", "concurrent": 5}, "providers": {"up": {"tokens": "9000/min"}}}
    with Gateway(tmp_path, config_of(upstream) | {"auth": "keys", "limits": limits}) as gateway:
        office = Office(gateway)
        team = office.call("POST", "/admin/v1/teams", {"name": "lab", "tags": {"env": "prod", "unit": "7"}}, 201)
        key = office.make(tags={"env": "dev"}, team=team["id"])
        assert use(gateway, key).status == 200
        upstream.always(stream(CHAT.frames))
        headers = {"authorization": f"Bearer {key.text}"}
        assert raw.post(gateway.address, CHAT.path, CHAT.request("m", True), headers).status == 200
        office.change(key, tags={"env": None, "é": 'q"'}, team=None)
        upstream.always(answer(CHAT.whole))
        assert use(gateway, key).status == 200
        assert use(gateway, key).status == 429
        rows = recorded(gateway, 4)
    met = ["key:concurrent", "key:requests", "provider:tokens"]
    assert [row.get("limits") for row in rows] == [met, met, met, None]
    tags = {"env": "dev", "unit": "7"}
    assert [row.get("tags") for row in rows] == [tags, tags, {"é": 'q"'}, {"é": 'q"'}]


def test_without_a_journal_nothing_is_recorded_and_that_is_said(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    config = config_of(upstream, journal={"durability": "none"})
    with Gateway(tmp_path, config) as gateway:
        assert ask(gateway, CHAT, False).status == 200
        upstream.always(stream(CHAT.frames))
        assert CHAT.outcome(ask(gateway, CHAT).body) == "complete"
        (instance,) = (gateway.data_dir / "journal").iterdir()
        assert [each.name for each in instance.iterdir()] == ["lock"]
        tasks = Path(f"/proc/{gateway.pid}/task").iterdir()
        assert "penstock-journa" not in [(task / "comm").read_text().strip() for task in tasks]
        assert not any(name.startswith("penstock_journal") for name in gateway.metrics().names())
    done = run("audit", "query", "-c", str(gateway.config_file))
    assert done.returncode == 0
    assert "nothing is recorded: journal.durability is none" in done.stderr
    checked = run("check", "-c", str(gateway.config_file))
    assert (checked.returncode, "durability" in checked.stdout + checked.stderr) == (0, False)
    assert query(gateway.data_dir) == []


def test_two_processes_on_one_data_dir_keep_a_journal_each(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    config = config_of(upstream, data_dir=str(tmp_path / "shared"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with Gateway(tmp_path / "a", config) as first, Gateway(tmp_path / "b", config) as second:
        for gateway, count in ((first, 3), (second, 5)):
            for _ in range(count):
                assert ask(gateway, CHAT, False).status == 200
        recorded(first, 8)
    reports = verified(tmp_path / "shared")
    assert sorted(report["records"] for report in reports) == [3, 5]
    assert all(report["ended"] for report in reports)
    with Gateway(tmp_path / "a", config) as third:
        assert ask(third, CHAT, False).status == 200
        assert len(recorded(third, 9)) == 9, "what others left stays"


def test_records_are_chosen_by_what_stands_in_them(gateway: Gateway) -> None:
    for model in ("m", "m-2", "m-2"):
        assert ask(gateway, CHAT, False, model).status == 200
    assert raw.get(gateway.address, "/v1/nothing").status == 404
    data_dir = gateway.data_dir
    rows = recorded(gateway, 4)
    for words, count in (
        (("--model", "m-2"), 2),
        (("--target", "up"), 3),
        (("--target", "up/m"), 1),
        (("--status", "404"), 1),
        (("--status", "2xx"), 3),
        (("--outcome", "client_gone"), 0),
        (("--request-id", rows[2]["request_id"]), 1),
        (("--since", "1h"), 4),
        (("--until", "1h"), 0),
        (("--since", "2999-01-01"), 0),
        (("--key", "nobody"), 0),
        (("--limit", "2"), 2),
    ):
        assert len(query(data_dir, *words)) == count, words
    table = audit(data_dir, "query", "--limit", "3")
    assert len(table.stdout.splitlines()) == 4
    assert "the latest 3;" in table.stderr
    for words in (("--since", "soon"), ("--until", "999999999999999d"), ("--status", "999")):
        assert audit(data_dir, "query", *words).returncode == 2


def test_export_writes_json_lines_and_csv(gateway: Gateway, tmp_path: Path) -> None:
    assert ask(gateway, CHAT, False, "m-=1+1").status == 200
    assert ask(gateway, CHAT, False).status == 200
    rows = recorded(gateway, 2)
    lines = audit(gateway.data_dir, "export").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    file = tmp_path / "records.csv"
    assert audit(gateway.data_dir, "export", "--format", "csv", "--output", str(file)).returncode == 0
    table = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [row["model"] for row in table] == ["m-=1+1", "m"]
    assert table[0]["prompt_tokens"] == str(CHAT.whole["usage"]["prompt_tokens"])
    assert table[0]["instance"] == rows[0]["instance"]


def test_tail_shows_requests_as_they_end(gateway: Gateway) -> None:
    assert ask(gateway, CHAT, False).status == 200
    recorded(gateway, 1)
    words = [*command(), "audit", "tail", "--json", "--data-dir", str(gateway.data_dir)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=clean_environment(), text=True) as process:
        assert process.stdout
        try:
            assert json.loads(process.stdout.readline())["model"] == "m"
            for number in range(3):
                assert ask(gateway, CHAT, False, f"m-{number}").status == 200
                assert json.loads(process.stdout.readline())["model"] == f"m-{number}"
        finally:
            process.terminate()


def test_what_is_forgotten_is_gone_and_the_rest_verifies(upstream: Upstream, tmp_path: Path, durability: str) -> None:
    upstream.always(answer(CHAT.whole))
    config = config_of(upstream, journal={"durability": durability}) | {"audit": {"ship": False}}
    with Gateway(tmp_path, config) as gateway:
        assert ask(gateway, CHAT, False, user="somebody").status == 200
        (row,) = recorded(gateway, 1)
        told = audit(gateway.data_dir, "forget", "--before", "0").stdout
        assert told == "forgotten: 0 in journals, 0 in the store\n", "it is being written"
        gateway.stop()
        assert audit(gateway.data_dir, "forget", "--before", "1h").stdout.startswith("forgotten: 0 ")
        assert audit(gateway.data_dir, "forget", "--before", "0").stdout.startswith("forgotten: 1 in journals")
        assert query(gateway.data_dir) == [{name: row[name] for name in row if name not in ("client", "end_user")}]
        assert verified(gateway.data_dir)[0]["records"] == 1
        assert not [file for file in gateway.data_dir.glob("journal/*/*") if b"somebody" in file.read_bytes()]


def test_what_is_forgotten_is_gone_from_the_store_too(gateway: Gateway) -> None:
    assert ask(gateway, CHAT, False, user="somebody").status == 200
    (row,) = recorded(gateway, 1)
    gateway.stop()
    told = audit(gateway.data_dir, "forget", "--before", "0").stdout
    assert told.endswith("1 in the store\n")
    assert query(gateway.data_dir) == [{name: row[name] for name in row if name not in ("client", "end_user")}]
    assert audit(gateway.data_dir, "verify").returncode == 0
    files = [file for file in gateway.data_dir.rglob("*") if file.is_file()]
    assert not [file for file in files if b"somebody" in file.read_bytes()]


def test_verify_needs_no_providers_key_and_looks_at_journals_without_the_store_too(
    gateway: Gateway, tmp_path: Path
) -> None:
    assert ask(gateway, CHAT, False).status == 200
    recorded(gateway, 1)
    gateway.stop()
    file = tmp_path / "elsewhere.yaml"
    providers = "providers: {openai: {api_key: '${env:NOT_SET}'}}\nadmin: {listen: '${env:NOT_SET}'}"
    file.write_text(f"data_dir: {gateway.data_dir}\n{providers}\n")
    done = run("audit", "verify", "--json", "-c", str(file))
    assert done.returncode == 0, done.stderr
    assert [each["records"] for each in json.loads(done.stdout)["store"]] == [1]
    file.write_text(f"data_dir: {gateway.data_dir}\n{providers}\nstore: '${{env:NOT_SET}}'\n")
    heads = tmp_path / "heads.json"
    gone: dict[str, Any] = {"instance": "20260101T000000-00000000", "sequence": 5, "hash": "00" * 32}
    heads.write_text(json.dumps({"ok": True, "journals": [{"head": gone}], "store": []}))
    done = run("audit", "verify", "--json", "-c", str(file), "--heads", str(heads))
    assert (done.returncode, len(json.loads(done.stdout)["journals"])) == (1, 1), done.stderr
    assert "store: not verified: " in done.stderr
    assert "NOT_SET is not set" in done.stderr
    assert gone["instance"] not in done.stderr, "it may be in the store"
    (gateway.data_dir / "penstock.sqlite").write_bytes(b"no database" * 1_000)
    done = audit(gateway.data_dir, "verify", "--json")
    assert (done.returncode, len(json.loads(done.stdout)["journals"])) == (1, 1), done.stderr
    assert "store: not verified: " in done.stderr


def test_verify_names_the_first_entry_that_is_not_what_was_written(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, config_of(upstream) | {"audit": {"ship": False}}) as gateway:
        for _ in range(5):
            assert ask(gateway, CHAT, False).status == 200
    kept = audit(gateway.data_dir, "verify", "--json")
    (tmp_path / "kept.json").write_text(kept.stdout)
    assert audit(gateway.data_dir, "verify", "--heads", str(tmp_path / "kept.json")).returncode == 0
    (segment,) = (gateway.data_dir / "journal").glob("*/*.segment")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:400] + bytes([whole[400] ^ 1]) + whole[401:])
    done = audit(gateway.data_dir, "verify")
    assert done.returncode == 1
    assert "was changed or is damaged" in done.stderr
    assert len(query(gateway.data_dir)) == 4, "the others are still shown"
    segment.unlink()
    (segment.parent / "committed").unlink()
    done = audit(gateway.data_dir, "verify", "--heads", str(tmp_path / "kept.json"))
    assert done.returncode == 1
    assert "the journal is gone" in done.stderr
    assert audit(tmp_path / "none", "verify").returncode == 0


def test_verify_misses_the_only_segment_of_a_process_that_runs(gateway: Gateway) -> None:
    assert ask(gateway, CHAT, False).status == 200
    recorded(gateway, 1)
    (segment,) = (gateway.data_dir / "journal").glob("*/*.segment")
    segment.unlink()
    done = audit(gateway.data_dir, "verify")
    assert done.returncode == 1
    assert "segment 1 is missing: it was on disk before" in done.stderr


def test_metrics_tell_of_the_journal(gateway: Gateway) -> None:
    for _ in range(4):
        assert ask(gateway, CHAT, False).status == 200
    recorded(gateway, 4)
    metrics = gateway.metrics()
    assert metrics.value("penstock_journal_records_total") == 4
    assert metrics.value("penstock_journal_bytes_total") > 400
    assert metrics.value("penstock_journal_dropped_total") == 0
    assert metrics.value("penstock_journal_up") == 1
    assert metrics.value("penstock_journal_lag_seconds") == 0
    assert metrics.value("penstock_journal_held_bytes") == 0
