"""Scripts, beats and passwords against a real Redis: what it takes, and what becomes of them when it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
import trustme

from bench.machine import free_port
from penstock.limits.beats import Beats, Told
from penstock.limits.leases import Leases
from penstock.limits.redis import Redis
from penstock.limits.script import AwayError, Call, Refused, Script
from penstock.limits.server import parse_server
from penstock.observe.logs import Log
from tests.support.redis import Redis as Server
from tests.support.server import give
from tests.unit.limits.fakes import FakeNode

pytestmark = pytest.mark.redis

ROOT = Path(__file__).parents[3]
BEAT, RESET = Script("beat.lua"), Script("reset.lua")
KEYS = ("p:{nodes}", "p:{nodes}:pressed")
SECONDS = 5.0


@pytest.fixture
def server() -> Iterator[Server]:
    """One that a test may end."""
    with Server() as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Redis]:
    made = Redis(parse_server(server.url))
    yield made
    await made.close()


def beat(member: str = "me", *tags: str) -> Call:
    return Call(KEYS, (member, "0", *tags))


async def nodes(client: Redis) -> int:
    """How many there are, as one more sees it."""
    ((_, count, *_),) = await client.run(BEAT, [Call(KEYS, ("nobody", "1"))], SECONDS)
    return int(count)


async def until_away(beats: Beats, away: bool, seconds: float = 5.0) -> float:
    """How long it took."""
    begun = time.monotonic()
    async with asyncio.timeout(seconds):
        while beats.is_away != away:  # noqa: ASYNC110 (a condition with a deadline)
            await asyncio.sleep(0.002)
    return time.monotonic() - begun


def beats_of(client: Redis, member: str) -> Beats:
    return Beats(client, member, "p", Log("error", write=lambda line: len(line)), where="h")


async def test_scripts_run_load_themselves_and_come_back_in_order(server: Server, client: Redis) -> None:
    ((now_us, count),) = await client.run(BEAT, [beat()], SECONDS)
    assert (now_us > 1_700_000_000_000_000, count) == (True, 1)
    assert server.call("SCRIPT", "FLUSH") == "+OK"
    replies = await client.run(BEAT, [beat("a"), beat("b", "key:x:requests:1"), beat("c")], SECONDS)
    assert [reply[1:] for reply in replies] == [[2], [3, b"key:x:requests:1"], [4, b"key:x:requests:1"]]


async def test_an_error_in_one_call_is_that_calls(server: Server, client: Redis) -> None:
    assert server.call("SET", "p:{wrong}", "text") == "+OK"
    wrong, right = await client.run(RESET, [Call(("p:{wrong}",)), Call(("p:{none}",))], SECONDS)
    assert isinstance(wrong, Refused)
    assert "WRONGTYPE" in wrong.why
    assert right == 0


async def test_a_restart_of_redis_is_noticed_by_nobody_who_asks_after_it(server: Server, client: Redis) -> None:
    await client.run(BEAT, [beat()], SECONDS)
    server.kill()
    with pytest.raises(AwayError):
        await client.run(BEAT, [beat()], SECONDS)
    server.start()
    ((_, count),) = await client.run(BEAT, [beat()], SECONDS)
    assert count == 1
    server.kill()
    server.start()  # a connection is kept from before, and dead
    assert await client.run(RESET, [Call(("p:{none}",))], SECONDS) == [0]


async def test_a_redis_that_says_nothing_is_given_up_in_time(server: Server, client: Redis) -> None:
    await client.run(BEAT, [beat()], SECONDS)
    server.pause()
    begun = time.monotonic()
    with pytest.raises(AwayError, match="no answer in time"):
        await client.run(BEAT, [beat()], 0.1)
    assert time.monotonic() - begun < 1.0
    server.resume()


async def test_a_password_is_taken_from_the_url_or_from_a_file_that_may_change(tmp_path: Path, server: Server) -> None:
    documented = (ROOT / "docs/operations.md").read_text().partition("on >PASSWORD ~penstock:* ")[2]
    allowed = documented.partition("\n")[0].split()
    assert "+evalsha" in allowed
    assert server.call("ACL", "SETUSER", "penstock", "on", ">one", "~p:*", *allowed) == "+OK"
    place, file = f"127.0.0.1:{server.port}", tmp_path / "password"
    in_url = Redis(parse_server(f"redis://penstock:one@{place}"))
    assert await nodes(in_url) == 0
    file.write_text("one\n")
    in_file = Redis(parse_server(f"redis://penstock@{place}/0"), str(file))
    assert await nodes(in_file) == 0
    ask = ("100000", "0", "0", "9", "100000", "ab", "1", "0", "0", "0", "0", "1", "1", "1")
    (granted,) = await in_url.run(Script("lease.lua"), [Call(("p:{x}",), ask)], SECONDS)
    assert granted[5] == 1
    told = [*ask]
    told[6:] = ["2", str(granted[2]), str(granted[3]), "0", "1", "1", "0", "0", "1", str(granted[6]), "0"]
    assert (await in_url.run(Script("lease.lua"), [Call(("p:{x}",), tuple(told))], SECONDS))[0][8] == 0
    assert await in_url.run(RESET, [Call(("p:{x}",))], SECONDS) == [1]
    assert server.call("ACL", "SETUSER", "penstock", "resetpass", ">two") == "+OK"
    file.write_text("two\n")
    await in_file.forget()
    await in_url.forget()
    assert await nodes(in_file) == 0
    with pytest.raises(AwayError, match="invalid username-password") as refused:
        await nodes(in_url)
    assert "one" not in str(refused.value)
    for each in (in_url, in_file):
        await each.close()


async def test_a_password_without_a_user_and_a_database_of_its_own(server: Server) -> None:
    other = Redis(parse_server(server.url.replace("/0", "/3")))
    await other.run(BEAT, [beat()], SECONDS)
    await other.close()
    client = Redis(parse_server(server.url))
    assert await nodes(client) == 0
    await client.close()
    assert server.call("CONFIG", "SET", "requirepass", "p@ss/word") == "+OK"
    with_password = Redis(parse_server(f"redis://:p%40ss%2Fword@127.0.0.1:{server.port}/3"))
    assert await nodes(with_password) == 1
    await with_password.close()


async def test_a_unix_socket_is_a_way_to_it_too() -> None:
    server = Server()
    server.options = ["--unixsocket", str(server.folder / "redis.sock"), "--unixsocketperm", "777"]
    with server:
        client = Redis(parse_server(f"unix://{server.folder}/redis.sock?db=1"))
        assert await nodes(client) == 0
        await client.close()


async def test_over_tls_redis_must_be_who_it_says_it_is() -> None:
    server, port = Server(), free_port()
    ours, theirs = trustme.CA(), trustme.CA()
    certificate = ours.issue_cert("localhost")
    written = {"ours": ours.cert_pem, "theirs": theirs.cert_pem}
    written |= {"certificate": certificate.cert_chain_pems[0], "key": certificate.private_key_pem}
    for name, content in written.items():
        content.write_to_path(str(server.folder / name))
        give(server.folder / name)
    files = [("cert-file", "certificate"), ("key-file", "key"), ("ca-cert-file", "ours")]
    of_files = [word for name, file in files for word in (f"--tls-{name}", str(server.folder / file))]
    server.options = ["--tls-port", str(port), "--tls-auth-clients", "no", *of_files]
    with server:
        right = Redis(parse_server(f"rediss://localhost:{port}?ssl_ca_certs={server.folder}/ours"))
        assert await nodes(right) == 0
        for host, authority in (("localhost", "theirs"), ("127.0.0.1", "ours")):
            wrong = Redis(parse_server(f"rediss://{host}:{port}?ssl_ca_certs={server.folder}/{authority}"))
            with pytest.raises(AwayError, match="certificate verify failed"):
                await nodes(wrong)
        await right.close()


async def test_beats_count_who_is_there_and_who_left_is_gone_at_once(server: Server) -> None:
    clients = [Redis(parse_server(server.url)) for _ in range(3)]
    told = [FakeNode() for _ in clients]
    beats = [beats_of(client, f"n{number}") for number, client in enumerate(clients)]
    for each, node in zip(beats, told, strict=True):
        await each.start(node)
    async with asyncio.timeout(SECONDS):
        while {each.nodes for each in beats} != {3}:  # noqa: ASYNC110 (a condition with a deadline)
            await asyncio.sleep(0.01)
    await beats.pop().stop()
    assert await nodes(clients[0]) == 2
    for each in beats:
        await each.stop()
    assert await nodes(clients[0]) == 0
    assert told[0].states[-1][0] is False
    for client in clients:
        await client.close()


async def test_a_limit_that_refused_one_node_is_pressed_on_the_others(server: Server) -> None:
    clients = [Redis(parse_server(server.url)) for _ in range(2)]
    one, two = beats_of(clients[0], "one"), beats_of(clients[1], "two")
    heard = FakeNode()
    await one.start(FakeNode())
    await two.start(heard)
    one.refused(["key:x:requests:60000000"])
    async with asyncio.timeout(SECONDS):
        while not heard.pressed:  # noqa: ASYNC110 (a condition with a deadline)
            await asyncio.sleep(0.01)
    assert set(heard.pressed) == {"key:x:requests:60000000"}
    for beats, client in ((one, clients[0]), (two, clients[1])):
        await beats.stop()
        await client.close()


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_redis_is_away_within_a_second_and_back_soon_after(how: str, server: Server, client: Redis) -> None:
    beats = beats_of(client, "me")
    node: Told = FakeNode()
    await beats.start(node)
    assert not beats.is_away
    took: list[tuple[float, float]] = []
    # A machine that others use too may stop for a moment: not three times.
    while len(took) < 3 and (not took or took[-1][0] >= 1.0 or took[-1][1] >= 2.0):
        getattr(server, how)()
        away_s = await until_away(beats, True)
        server.start() if how == "kill" else server.resume()
        took.append((away_s, await until_away(beats, False)))
    assert any(away_s < 1.0 and back_s < 2.0 for away_s, back_s in took), took
    await beats.stop()


async def test_a_lease_is_granted_told_and_reset(server: Server, client: Redis) -> None:
    beats = beats_of(client, "me")
    await beats.start(FakeNode())
    leases = Leases(client, "p", beats, Log("error", write=lambda line: len(line)))
    tag = "key:x:requests:6000000"

    async def ask(number: int, epoch: int, sequence: int, need: int, want: int, *told: int) -> list[int]:
        numbers = (100_000, 0, 0, 10, 100_000, "ab", number, epoch, sequence, resets, 0, 1, need, want, *told)
        given = ",".join(f'"{each}"' for each in numbers)
        answer = await leases(f'[{{"tag":"{tag}","args":[{given}]}}]'.encode())
        found: list[int] = msgspec.json.decode(answer)[0]
        return found

    resets = 0
    first = await ask(1, 0, 0, 2, 10)
    assert (len(first), first[0], first[5], first[8]) == (12, 0, 5, 5)
    second = await ask(2, first[2], first[3], 9, 9, 1, first[6], 2)  # two of the five were spent
    assert (second[0], second[5], second[8]) == (0, 0, 2)
    assert second[9] > second[1]
    assert await leases.reset([tag]) is True
    assert await leases.reset([tag, "key:none:requests:1"]) is True
    assert await leases.reset(["key:none:requests:1"]) is False
    resets = (await ask(3, 0, 0, 0, 0))[4]
    assert resets > 0
    assert (await ask(4, 0, 0, 10, 10))[5] == 10
    await beats.stop()
