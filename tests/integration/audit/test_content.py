"""Prompts and answers in records, on every store: what is kept, who sees it, who has opted out, what is left."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import raw
from tests.support.audit import audit, query, verified
from tests.support.gateway import Gateway, run
from tests.support.kinds import ALL, CHAT, MESSAGES, RESPONSES, TEXTS, Kind, chunk, data
from tests.support.office import Made, Office, use
from tests.support.postgres import Postgres
from tests.support.scene import ask, config_of, open_request, provider
from tests.support.script import Cut, Hold, Send, answer, stream, stream_head
from tests.support.script import chunk as piece
from tests.support.shipped import asked, marks, store_of
from tests.support.upstream import Upstream
from tests.support.wait import until

TEXT_FIELDS = {"prompt", "prompt_note", "answer", "answer_note"}
SECRET = "sk-of-the-provider-0123456789"
WHOLE = "".join(TEXTS)
BOTH = {"prompts": True, "answers": True}


def scene(upstream: Upstream, content: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    config = config_of(upstream) | {"audit": {"content": dict(content)}} | more
    config["providers"] = {"up": provider(upstream.root, api_key=SECRET)}
    return config


def recorded(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    return until(lambda: rows if len(rows := query(gateway.data_dir)) >= count else None, f"{count} records") or []


def texts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name in TEXT_FIELDS}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_each_kind_of_request_is_recorded_with_its_texts(upstream: Upstream, tmp_path: Path, kind: Kind) -> None:
    with Gateway(tmp_path, scene(upstream, BOTH)) as gateway:
        upstream.always(answer(kind.whole))
        assert ask(gateway, kind, False).status == 200
        upstream.always(stream(kind.frames, kind.media))
        assert kind.outcome(ask(gateway, kind).body) == "complete"
        whole, streamed = recorded(gateway, 2)
    assert json.loads(whole["prompt"]) == kind.request("m", False)
    assert json.loads(streamed["prompt"]) == kind.request("m", True)
    assert "é" in whole["prompt"], "letters stand for themselves"
    assert streamed["answer"] == WHOLE
    assert whole.get("answer") == (WHOLE if kind is not RESPONSES else None), "its example holds no text"
    assert not {"prompt_note", "answer_note"} & {*whole, *streamed}


def test_nothing_of_a_text_is_recorded_unless_it_is_configured(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, scene(upstream, {})) as gateway:
        assert ask(gateway, CHAT, False).status == 200
        (row,) = recorded(gateway, 1)
        assert not texts(row)
        gateway.config["audit"] = {"content": {"answers": True}}
        gateway.write_config()
        assert gateway.ask("POST", "/admin/v1/reload").status == 200
        assert ask(gateway, CHAT, False).status == 200
        assert texts(recorded(gateway, 2)[1]) == {"answer": WHOLE}, "it holds at once"
        with raw.Client(gateway.address) as client:
            form = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--x--\r\n'
            headers = {"content-type": "multipart/form-data; boundary=x"}
            client.send(raw.request("POST", "/v1/audio/transcriptions", form, headers))
            assert client.read().status == 200
        assert not texts(recorded(gateway, 3)[2])


def test_a_text_is_cut_and_what_is_no_text_is_a_note(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    picture = "data:image/png;base64," + "iVBORw0KGgo" + "AbC0" * 5_000
    part = {"type": "image_url", "image_url": {"url": picture}}
    with Gateway(tmp_path, scene(upstream, BOTH | {"max_bytes": 400})) as gateway:
        for content in ([part, {"type": "text", "text": "what is it?"}], "é" * 5_000):
            messages = [{"role": "user", "content": content}]
            assert ask(gateway, CHAT, False, messages=messages).status == 200
        noted, cut = recorded(gateway, 2)
    assert "[image/png, 15006 bytes]" in noted["prompt"]
    assert "what is it?" in noted["prompt"]
    assert "prompt_note" not in noted
    assert (cut["prompt_note"], len(cut["prompt"].encode()) in (399, 400)) == ("cut", True)
    assert cut["answer"] == WHOLE


def test_what_must_not_be_read_is_redacted_wherever_the_stream_was_cut(upstream: Upstream, tmp_path: Path) -> None:
    key = "sk-pen-0123456789Ab-" + "0123456789" * 4 + "012abcdef"
    said = f"mail max.power@example.com or use {SECRET} and {key}, ok?"
    config = scene(upstream, BOTH | {"redact": [r"[\w.]+@example\.com"]})
    with Gateway(tmp_path, config) as gateway:
        gateway.secrets |= {SECRET, "max.power"}
        frames = [data(chunk(letter)) for letter in said] + [data(chunk(None, "stop")), b"data: [DONE]\n\n"]
        upstream.always(stream(frames))
        messages = [{"role": "user", "content": f"I am max.power@example.com, {SECRET}"}]
        assert CHAT.text(ask(gateway, CHAT, messages=messages).body) == said
        (row,) = recorded(gateway, 1)
        gateway.stop()
        files = [file for file in gateway.data_dir.rglob("*") if file.is_file()]
        assert not [
            file for file in files if any(word in file.read_bytes() for word in (b"max.power", SECRET.encode()))
        ]
    assert row["answer"] == "mail [redacted] or use [redacted] and [redacted], ok?"
    assert json.loads(row["prompt"])["messages"][0]["content"] == "I am [redacted], [redacted]"


def test_credentials_that_came_or_are_configured_are_redacted_whatever_they_are_called(
    upstream: Upstream, tmp_path: Path
) -> None:
    own, literal, query = "azure0123456789abcdef", "goog0123456789abcdef", "inquery0123456789abc"
    upstream.always(answer(CHAT.whole))
    config = scene(upstream, BOTH)
    config["providers"]["up"] |= {"headers": {"x-goog-api-key": literal}, "query": f"version=2026-01-01&key={query}"}
    with Gateway(tmp_path, config) as gateway:
        text = f"{own}, {literal}, {query}, 2026-01-01"
        body = CHAT.request("m", False, messages=[{"role": "user", "content": text}])
        headers = {**CHAT.headers, "x-penstock-key": "let-me-in-please", "authorization": f"Bearer {own}"}
        assert raw.post(gateway.address, CHAT.path, body, headers).status == 200
        (row,) = recorded(gateway, 1)
    assert json.loads(row["prompt"])["messages"][0]["content"] == "[redacted], [redacted], [redacted], 2026-01-01"


def test_a_stream_that_stops_is_recorded_as_far_as_it_came(upstream: Upstream, tmp_path: Path) -> None:
    begun = [stream_head(), *(Send(piece(frame)) for frame in CHAT.frames[:1])]
    with Gateway(tmp_path, scene(upstream, BOTH)) as gateway:
        upstream.always([*begun, Cut()])
        ask(gateway, CHAT)
        (row,) = recorded(gateway, 1)
        assert (row["outcome"], row["answer"]) == ("upstream_cut", TEXTS[0])
        upstream.always([*begun, Hold()])
        client = open_request(gateway, CHAT)
        assert client.read_head().status == 200
        client.close()
        row = recorded(gateway, 2)[1]
        assert (row["outcome"], row["answer"]) == ("client_gone", TEXTS[0])
        assert json.loads(row["prompt"]) == CHAT.request("m", True)
        upstream.always([Hold()])
        client = open_request(gateway, CHAT)
        until(lambda: gateway.status()["native"]["in_flight"] == 1, "the request is in")
        client.close()
        row = recorded(gateway, 3)[2]
        assert (row["outcome"], "answer" in row, "prompt" in row) == ("client_gone", False, True)
        upstream.always(answer({"error": {"message": "no"}}, 400))
        assert ask(gateway, CHAT, False).status == 400
        row = recorded(gateway, 4)[3]
        assert ("answer" in row, "prompt" in row) == (False, True)


def test_of_a_stream_that_the_end_of_the_process_cuts_is_left_what_has_passed(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.always([stream_head(), Send(piece(CHAT.frames[0])), Hold()])
    config = scene(upstream, BOTH, journal={"durability": "flush"}, shutdown={"deadline": "100ms"})
    with Gateway(tmp_path, config) as gateway:
        with open_request(gateway, CHAT) as client:
            assert client.read_head().status == 200
            gateway.stop()
        (row,) = query(gateway.data_dir)
    assert (row["error"], row["answer"]) == ("shutting_down", TEXTS[0])
    assert json.loads(row["prompt"]) == CHAT.request("m", True)


def test_who_opted_out_is_not_recorded_whatever_is_configured(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    with Gateway(tmp_path, scene(upstream, BOTH, auth="keys")) as gateway:
        office = Office(gateway)
        team = office.call("POST", "/admin/v1/teams", {"name": "lab"}, 201)["id"]
        key, out, member = office.make(), office.make(content=False), office.make(team=team)

        def told(made: Made) -> Any:
            return raw.get(gateway.address, "/v1/key", {"authorization": f"Bearer {made.text}"}).json()["content"]

        def kept(made: Made) -> bool:
            mark = f"req-{next(marks_of)}"
            assert use(gateway, made, headers={"x-request-id": mark}).status == 200
            (row,) = until(lambda: query(gateway.data_dir, "--request-id", mark), "its record") or []
            assert set(texts(row)) in (set(), {"prompt", "answer"})
            assert told(made) == bool(texts(row))
            return bool(texts(row))

        marks_of = itertools.count()
        assert [kept(key), kept(out), kept(member)] == [True, False, True]
        assert office.command("teams", "update", "lab", "--no-content").returncode == 0
        assert office.command("keys", "update", key.id, "--no-content").returncode == 0
        assert [kept(key), kept(out), kept(member)] == [False, False, False]
        assert not office.show(key)["content"]
        office.change(key, content=True)
        office.change(member, content=True)
        assert [kept(key), kept(member)] == [True, False], "no key opts in beyond its team"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield "sqlite"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    yield postgres.url(postgres.create())


def test_texts_are_shown_to_admins_and_forgotten_for_good(upstream: Upstream, tmp_path: Path, store: str) -> None:
    upstream.always(answer(MESSAGES.whole))
    with Gateway(tmp_path, scene(upstream, BOTH, store=store)) as gateway:
        for _ in range(3):
            assert ask(gateway, MESSAGES, False, metadata={"user_id": "somebody"}).status == 200
        until(lambda: any(sequence == 3 for sequence, _ in marks(gateway).values()), "all of it is in the store")
        listed = gateway.ask("GET", "/admin/v1/records").json()["items"]
        assert [texts(row) for row in listed] == [{}] * 3
        whole = gateway.ask("GET", "/admin/v1/records?texts=true").json()["items"]
        assert [row["answer"] for row in whole] == [WHOLE] * 3
        (one,) = gateway.ask("GET", f"/admin/v1/records/{listed[0]['request_id']}").json()["items"]
        assert json.loads(one["prompt"])["metadata"] == {"user_id": "somebody"}
        config = ("-c", str(gateway.config_file))
        lines = run("audit", "query", "--json", *config).stdout.splitlines()
        assert [json.loads(line)["answer"] for line in lines] == [WHOLE] * 3
        assert (
            WHOLE
            not in run("audit", "query", *config).stdout + run("audit", "export", "--format", "csv", *config).stdout
        )
        assert "somebody" not in gateway.log_file.read_text()
        gateway.stop()
        told = run("audit", "forget", "--before", "0", *config)
        assert told.stdout.endswith("3 in the store\n"), told.stderr
        (left,) = {
            private for (private,) in asked(*store_of(gateway), "SELECT private FROM penstock_records WHERE kind = 1")
        }
        assert left is None
        done = run("audit", "verify", *config)
        assert done.returncode == 0, done.stdout + done.stderr
        files = [file for file in gateway.data_dir.rglob("*") if file.is_file()]
        assert not [file for file in files if b"somebody" in file.read_bytes() or WHOLE.encode() in file.read_bytes()]
        assert audit(gateway.data_dir, "verify").returncode == 0
        assert all(report["fault"] is None for report in verified(gateway.data_dir))


def test_a_sink_has_texts_only_where_it_asks_for_them(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    files = [tmp_path / f"{name}.jsonl" for name in ("all", "usual", "public")]
    wanted: list[dict[str, bool]] = [{"content": True}, {}, {"private": False}]
    sinks = [{"path": str(file)} | wants for file, wants in zip(files, wanted, strict=True)]
    with Gateway(tmp_path, scene(upstream, BOTH) | {"audit": {"content": BOTH, "sinks": sinks}}) as gateway:
        assert ask(gateway, CHAT, False).status == 200
        until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files), "all have it")
    assert json.loads(files[0].read_text())["answer"] == WHOLE
    assert not any(texts(json.loads(file.read_text())) for file in files[1:])


def test_where_memory_is_short_requests_are_served_and_texts_are_not_kept(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    body = {"max_bytes": "16KiB", "max_inflight_bytes": "24KiB"}
    with Gateway(tmp_path, scene(upstream, BOTH, body=body)) as gateway:
        messages = [{"role": "user", "content": "x y " * 3_500}]
        assert ask(gateway, CHAT, False, messages=messages).status == 200
        (row,) = recorded(gateway, 1)
        assert (row["prompt_note"], row["answer"], "answer_note" in row) == ("no_room", WHOLE, False)
        assert len(row["prompt"]) < 14_000
        assert gateway.status()["native"]["buffered_bytes"] < 512 << 10


def test_texts_take_at_most_half_of_the_room_for_requests(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always([stream_head(), Send(piece(CHAT.frames[0])), Hold()])
    body = {"max_bytes": "64KiB", "max_inflight_bytes": "96KiB"}
    with Gateway(tmp_path, scene(upstream, BOTH, body=body)) as gateway:
        messages = [{"role": "user", "content": "x y " * 5_000}]
        with ExitStack() as opened:
            for _ in range(8):
                client = opened.enter_context(open_request(gateway, CHAT, messages=messages))
                assert client.read_head().status == 200
            upstream.always(answer(CHAT.whole))
            large = [{"role": "user", "content": "x y " * 11_000}]
            assert ask(gateway, CHAT, False, messages=large).status == 200
        rows = recorded(gateway, 9)
    notes = [row["prompt_note"] for row in rows if row["outcome"] == "client_gone"]
    assert (notes.count("cut") >= 1, notes.count("no_room") >= 4, len(notes)) == (True, True, 8)


def test_a_prompt_that_is_slow_to_redact_is_left_out(upstream: Upstream, tmp_path: Path) -> None:
    upstream.always(answer(CHAT.whole))
    content = BOTH | {"max_bytes": "24KiB", "redact": ["A.*X|A", "^hello\\b"]}
    with Gateway(tmp_path, scene(upstream, content)) as gateway:
        for text in ("A" * 24_000, "hello\nthere, sk-ant-api03-0123456789abcdefghij"):
            assert ask(gateway, CHAT, False, messages=[{"role": "user", "content": text}]).status == 200
        slow, usual = sorted(recorded(gateway, 2), key=lambda row: int(row["number"]))
    assert (slow["prompt"], slow["prompt_note"], slow["answer"]) == ("", "slow", WHOLE)
    assert json.loads(usual["prompt"])["messages"][0]["content"] == "[redacted]\nthere, [redacted]"
