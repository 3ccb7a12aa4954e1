"""Verification: a verdict for each secret by itself, asked for once, slowed per sender, never a 401 for an outage."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from penstock.keys.argon2id import Blocks, Cost, Encoded
from penstock.keys.hashing import Hasher, HasherBusyError, Rank
from penstock.keys.model import Key, Secret
from penstock.keys.secret import new_key_text
from penstock.keys.verify import BEHIND, Verifier
from penstock.keys.wishes import NewKey
from tests.unit.conftest import until
from tests.unit.keys.scene import NOW_US, Scene, foreign, put

Node = Callable[..., Scene]
ONE = "sk-one-0123456789abcdef"


class Gate:
    """Holds every comparison until it is opened, and counts them by secret."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        self.seen: list[str] = []
        usual = Hasher.verify

        async def held(hasher: Hasher, text: str, stored: str, who: str) -> bool:
            self.seen.append(text)
            await self.opened.wait()
            return await usual(hasher, text, stored, who)

        monkeypatch.setattr(Hasher, "verify", held)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def scene(node: Node) -> Scene:
    made = node()
    await made.start()
    return made


async def test_a_right_secret_is_told_to_native_before_the_verdict(scene: Scene) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    assert scene.check(issued.secret) == "unverified"
    assert (await scene.ask(issued.secret)).verdict == "right"
    assert scene.check(issued.secret) == "right"


async def test_a_wrong_secret_of_a_known_id_is_wrong_and_its_repetition_costs_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    await scene.poll()  # else the feed brings the new row meanwhile, and wrongs of a row that comes are forgotten
    guess = new_key_text(issued.key.id).text
    assert (await scene.ask(guess)).verdict == "wrong"
    monkeypatch.setattr(Blocks, "is_right", lambda *_: pytest.fail("computed again"))
    calls = len(scene.store.calls)
    assert (await scene.ask(guess)).verdict == "wrong"
    assert len(scene.store.calls) == calls


async def test_another_wrong_secret_is_slowed_for_its_sender_alone(node: Node) -> None:
    scene, clock = node(), Clock()
    await scene.start()
    scene.desk._verifier._delays._clock = clock
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    guesses = [new_key_text(issued.key.id).text for _ in range(12)]
    expected_s = 1.0
    for guess in guesses[:8]:
        assert (await scene.ask(guess)).verdict == "wrong"
        slow = await scene.ask(guesses[-1])
        assert slow.verdict == "slow"
        assert slow.retry_after_ms == expected_s * 1000 + 1
        clock.now += expected_s
        expected_s = min(60.0, 2 * expected_s)
    assert (await scene.ask(guesses[8])).verdict == "wrong"
    # Whoever has the right one elsewhere is not locked out, and neither is this sender from another key.
    assert (await scene.ask(issued.secret, client="192.0.2.2")).verdict == "right"
    other = await scene.ledger.create_key(NewKey(name="two"), "test")
    assert (await scene.ask(other.secret)).verdict == "right"


async def test_a_right_secret_ends_the_delay_and_so_does_time(node: Node) -> None:
    scene, clock = node(), Clock()
    await scene.start()
    scene.desk._verifier._delays._clock = clock
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    await scene.ask(new_key_text(issued.key.id).text)
    assert (await scene.ask(issued.secret)).verdict == "slow"
    clock.now += 1.0
    assert (await scene.ask(issued.secret)).verdict == "right"
    guess = new_key_text(issued.key.id).text
    assert (await scene.ask(guess)).verdict == "wrong"
    assert (await scene.ask(new_key_text(issued.key.id).text)).retry_after_ms == 1001


async def test_one_ipv6_network_is_one_sender_and_a_socket_is_one_too(scene: Scene) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    assert (await scene.ask(new_key_text(issued.key.id).text, client="2001:db8::1")).verdict == "wrong"
    assert (await scene.ask(new_key_text(issued.key.id).text, client="2001:db8::2")).verdict == "slow"
    assert (await scene.ask(new_key_text(issued.key.id).text, client="2001:db8:0:1::2")).verdict == "wrong"
    assert (await scene.ask(new_key_text(issued.key.id).text, client="192.0.2.7")).verdict == "wrong"
    assert (await scene.ask(new_key_text(issued.key.id).text, client="::ffff:192.0.2.7")).verdict == "slow"
    assert (await scene.ask(new_key_text(issued.key.id).text, client=None)).verdict == "wrong"
    assert (await scene.ask(new_key_text(issued.key.id).text, client=None)).verdict == "slow"


async def test_those_who_show_the_same_secret_share_one_computation(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    gate = Gate(monkeypatch)
    asked = [asyncio.ensure_future(scene.ask(issued.secret, f"192.0.2.{n % 3}")) for n in range(9)]
    await until(lambda: bool(gate.seen))
    gate.opened.set()
    assert {answer.verdict for answer in await asyncio.gather(*asked)} == {"right"}
    assert gate.seen == [issued.secret]


@pytest.mark.parametrize("right_first", [True, False])
async def test_two_secrets_of_one_id_at_once_never_share_a_verdict(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, right_first: bool
) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    guess = new_key_text(issued.key.id).text
    gate = Gate(monkeypatch)
    order = [issued.secret, guess] if right_first else [guess, issued.secret]
    asked = {text: asyncio.ensure_future(scene.ask(text, f"192.0.2.{n}")) for n, text in enumerate(order)}
    await until(lambda: len(gate.seen) == 2)
    gate.opened.set()
    assert (await asked[issued.secret]).verdict == "right"
    assert (await asked[guess]).verdict == "wrong"
    assert scene.check(guess) == "wrong"


async def test_a_sender_has_one_secret_of_a_key_looked_at_at_a_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    gate = Gate(monkeypatch)
    guesses = [new_key_text(issued.key.id).text for _ in range(BEHIND + 3)]
    asked = [asyncio.ensure_future(scene.ask(guess)) for guess in guesses]
    await until(lambda: sum(task.done() for task in asked) == 2)  # behind eight others one need not wait
    gate.opened.set()
    verdicts = [answer.verdict for answer in await asyncio.gather(*asked)]
    assert verdicts.count("wrong") == 1
    assert verdicts.count("slow") == len(guesses) - 1
    assert len(gate.seen) == 1


async def test_both_secrets_of_a_rotated_key_are_right_from_one_sender_at_once(scene: Scene) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    rotated = await scene.ledger.rotate_key(issued.key.id, 60_000, "test")
    answers = await asyncio.gather(scene.ask(issued.secret), scene.ask(rotated.secret))
    assert [answer.verdict for answer in answers] == ["right", "right"]
    assert scene.table.digests.keys() == {(issued.key.id, 1), (issued.key.id, 2)}


async def test_a_secret_that_has_ended_is_wrong(scene: Scene) -> None:
    hashed = foreign(ONE).secrets[0]
    await put(scene.store, foreign(ONE, secrets=(replace(hashed, until_us=1),)))
    assert (await scene.ask(ONE)).verdict == "wrong"


@pytest.mark.parametrize("fields", [{"state": "disabled"}, {"expires_us": 1}])
async def test_whether_a_right_secret_may_be_used_is_for_native_to_say(scene: Scene, fields: dict[str, object]) -> None:
    await put(scene.store, foreign(ONE, **fields))
    assert (await scene.ask(ONE)).verdict == "right"
    assert scene.check(ONE) in ("disabled", "expired")


async def test_a_key_that_was_just_deleted_is_wrong_and_the_feed_hurries(node: Node) -> None:
    scene = node()
    await put(scene.store, foreign(ONE))
    await scene.start()
    await put(scene.store, foreign(ONE, state="deleted", secrets=()))
    scene.desk._feed._woken.clear()
    assert (await scene.ask(ONE)).verdict == "wrong"
    assert scene.desk._feed._woken.is_set()
    # Taken over once more, it is right without a delay.
    await put(scene.store, foreign(ONE))
    assert (await scene.ask(ONE)).verdict == "right"


async def test_native_hears_of_a_row_that_it_has_not_before_it_hears_of_its_digest(node: Node) -> None:
    scene = node()
    await scene.start()
    await put(scene.store, foreign(ONE))
    assert scene.check(ONE) == "unknown"
    assert (await scene.ask(ONE)).verdict == "right"
    assert scene.check(ONE) == "right"


async def test_an_outage_is_never_a_wrong_secret(scene: Scene) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    scene.store.away = True
    answer = await scene.ask(issued.secret)
    assert answer.verdict == "away"
    assert answer.retry_after_ms > 0
    scene.store.away = False
    assert (await scene.ask(issued.secret)).verdict == "right"


async def test_a_full_pool_is_away_and_so_is_a_full_house(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")

    async def busy(*_: object) -> bool:
        raise HasherBusyError("too many")

    with monkeypatch.context() as patch:
        patch.setattr(Hasher, "verify", busy)
        assert (await scene.ask(issued.secret)).verdict == "away"
    scene.desk._verifier._pending = 0
    assert (await scene.ask(issued.secret)).verdict == "away"


async def test_a_key_that_many_guess_at_takes_nobody_elses_place(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    guessed, *others = [await scene.ledger.create_key(NewKey(name=f"{n}"), "test") for n in range(5)]
    scene.desk._verifier._pending = 4
    gate = Gate(monkeypatch)
    guesses = [new_key_text(guessed.key.id).text for _ in range(5)]
    asked = [asyncio.ensure_future(scene.ask(text, f"192.0.2.{n}")) for n, text in enumerate(guesses[:4])]
    await until(lambda: len(gate.seen) == 4)
    assert (await scene.ask(guesses[4], "192.0.2.9")).verdict == "away"  # the key that has the most waits
    rights = [asyncio.ensure_future(scene.ask(other.secret)) for other in others]
    await until(lambda: len(gate.seen) == 7)
    assert [task.done() for task in asked] == [False, True, True, True]  # the newest go first
    assert [(await task).verdict for task in asked[1:]] == ["away"] * 3
    assert (await rights[3]).verdict == "away"  # each has one place by now
    gate.opened.set()
    assert [answer.verdict for answer in await asyncio.gather(*rights[:3])] == ["right"] * 3
    assert (await asked[0]).verdict == "wrong"
    verifier: Verifier = scene.desk._verifier
    assert not verifier._flights
    assert not verifier._busy
    assert not verifier._of_key
    assert (await scene.ask(guesses[1], "192.0.2.1")).verdict == "wrong"  # who made room is not slowed


async def test_a_right_secret_is_computed_soon_though_another_key_is_guessed_at(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    guessed, other = [await scene.ledger.create_key(NewKey(name=name), "test") for name in ("guessed", "other")]
    computed: list[bytes] = []
    usual, gate = Blocks.is_right, threading.Event()

    def counted(blocks: Blocks, secret: bytes, encoded: Encoded) -> bool:
        gate.wait(10)
        computed.append(secret)
        return usual(blocks, secret, encoded)

    monkeypatch.setattr(Blocks, "is_right", counted)
    texts = [new_key_text(guessed.key.id).text for _ in range(200)]
    asked = [asyncio.ensure_future(scene.ask(text, f"192.0.2.{n}")) for n, text in enumerate(texts)]
    await until(lambda: len(scene.desk._hasher._lines[Rank.REQUEST]) == 198)
    right = asyncio.ensure_future(scene.ask(other.secret))
    await until(lambda: len(scene.desk._hasher._lines[Rank.REQUEST]) == 199)
    gate.set()
    assert (await right).verdict == "right"
    assert computed.index(other.secret.encode()) < 6  # behind those that had begun and one turn
    await asyncio.gather(*asked)


async def test_a_fault_is_away_at_once_and_its_line_does_not_hold_the_secret(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")

    async def fail(_: Hasher, text: str, *__: str) -> bool:
        raise RuntimeError(text)

    monkeypatch.setattr(Hasher, "verify", fail)
    assert (await scene.ask(issued.secret)).verdict == "away"
    assert "RuntimeError" in scene.log.texts("error")
    assert issued.secret not in str(scene.log.lines)


async def test_a_damaged_hash_is_away_unless_another_secret_is_right(scene: Scene) -> None:
    good = foreign(ONE).secrets[0]
    await put(scene.store, foreign(ONE, secrets=(good, Secret(generation=2, hash="damaged"))))
    assert (await scene.ask(ONE)).verdict == "right"
    other = "sk-two-0123456789abcdef"
    await put(scene.store, foreign(other, secrets=(Secret(generation=1, hash="damaged"),)))
    assert (await scene.ask(other)).verdict == "away"
    assert "rotate this key" in scene.log.texts("error")


async def test_an_imported_hash_is_replaced_by_argon2id_on_first_use(scene: Scene) -> None:
    await put(scene.store, foreign(ONE))
    assert (await scene.ask(ONE)).verdict == "right"
    await until(lambda: hash_in(scene).startswith("$argon2id$"))
    version = scene.store.rows(Key)[foreign(ONE).id].version
    assert version == 1  # nothing for other nodes to hear


async def test_a_hash_is_made_anew_when_parameters_have_risen(scene: Scene) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    before = scene.store.rows(Key)[issued.key.id].secrets[0].hash
    scene.desk._hasher.cost = Cost(16, 2, 1)
    assert (await scene.ask(issued.secret)).verdict == "right"
    await until(lambda: scene.store.rows(Key)[issued.key.id].secrets[0].hash != before)
    assert "m=16,t=2,p=1" in scene.store.rows(Key)[issued.key.id].secrets[0].hash


async def test_a_hash_whose_replacing_the_end_of_the_process_cut_is_replaced_after_the_next_start(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = node()
    await put(first.store, foreign(ONE))
    await first.start()
    with monkeypatch.context() as patch:
        patch.setattr("penstock.keys.rehash.MOST", 0)  # nothing is replaced before the end
        assert (await first.ask(ONE)).verdict == "right"
        await first.stop()
    assert hash_in(first).startswith("sha256:")
    second = node()
    await second.start()
    assert second.check(ONE) == "unverified"
    assert (await second.ask(ONE)).verdict == "right"
    await until(lambda: hash_in(second).startswith("$argon2id$"))
    await second.stop()
    third = node()
    await third.start()
    assert third.check(ONE) == "right"


async def test_a_secret_that_was_verified_before_parameters_rose_is_asked_for_once_and_not_computed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = node()
    await first.start()
    issued = await first.ledger.create_key(NewKey(name="one"), "test")
    assert (await first.ask(issued.secret)).verdict == "right"
    await first.stop()
    dearer = Cost(16, 2, 1)
    second = node(cost=dearer)
    await second.start()
    assert second.check(issued.secret) == "unverified"
    with monkeypatch.context() as patch:
        patch.setattr(Blocks, "is_right", lambda *_: pytest.fail("computed"))
        assert (await second.ask(issued.secret)).verdict == "right"
        assert (await second.ask(new_key_text(issued.key.id).text)).verdict == "wrong"
    await until(lambda: "m=16,t=2,p=1" in second.store.rows(Key)[issued.key.id].secrets[0].hash)
    await until(lambda: not len(second.desk._verifier._rehasher))
    await second.stop()
    third = node(cost=dearer)
    await third.start()
    assert third.check(issued.secret) == "right"


async def test_what_was_verified_before_is_right_without_the_store_whatever_its_hash_takes(node: Node) -> None:
    first = node()
    await first.start()
    issued = await first.ledger.create_key(NewKey(name="one"), "test")
    assert (await first.ask(issued.secret)).verdict == "right"
    await first.stop()
    second = node(cost=Cost(16, 2, 1))
    second.store.away = True
    await second.start()
    assert second.check(issued.secret) == "unverified"
    assert (await second.ask(issued.secret)).verdict == "right"
    assert second.check(issued.secret) == "right"
    assert (await second.ask(new_key_text(issued.key.id).text)).verdict == "away"


async def test_replacing_a_hash_outlasts_an_outage(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.desk._verifier._rehasher._pause_s = 0.001
    await put(scene.store, foreign(ONE))
    usual = Hasher.hash

    async def outage_first(hasher: Hasher, *given: object) -> str:
        scene.store.away = not scene.store.away
        return await usual(hasher, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Hasher, "hash", outage_first)
    assert (await scene.ask(ONE)).verdict == "right"
    await until(lambda: hash_in(scene).startswith("$argon2id$"))


async def test_hashes_that_wait_to_be_replaced_are_bounded_and_told_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.keys.rehash.MOST", 2)
    gate = asyncio.Event()
    usual = Hasher.hash

    async def held(hasher: Hasher, *given: object) -> str:
        await gate.wait()
        return await usual(hasher, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Hasher, "hash", held)
    texts = [f"sk-{n}-0123456789abcdef" for n in range(4)]
    for text in texts:
        await put(scene.store, foreign(text))
        assert (await scene.ask(text)).verdict == "right"
    gate.set()
    await until(lambda: not len(scene.desk._verifier._rehasher))
    hashes = [scene.store.rows(Key)[foreign(text).id].secrets[0].hash for text in texts]
    assert [hash.partition(":")[0] == "sha256" for hash in hashes] == [False, False, True, True]
    assert scene.log.texts("warning").count("wait to be replaced") == 1


async def test_what_was_verified_by_another_process_on_data_dir_is_not_computed_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = node(), node()
    await first.start()
    issued = await first.ledger.create_key(NewKey(name="one"), "test")
    await second.start()
    assert (await first.ask(issued.secret)).verdict == "right"
    await first.desk._table._cache.flush()
    monkeypatch.setattr(Hasher, "verify", lambda *_: pytest.fail("computed"))
    assert (await second.ask(issued.secret)).verdict == "right"
    assert (await second.ask(new_key_text(issued.key.id).text)).verdict == "wrong"


async def test_a_reset_meanwhile_voids_what_was_found(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(scene.store, foreign(ONE))
    await scene.poll()
    gate = Gate(monkeypatch)
    asked = asyncio.ensure_future(scene.ask(ONE))
    await until(lambda: bool(gate.seen))
    scene.store.replace_by_another()
    await scene.poll()
    gate.opened.set()
    assert (await asked).verdict == "away"
    assert not scene.table.digests


async def test_a_change_meanwhile_keeps_a_wrong_verdict_from_being_remembered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(scene.store, foreign("sk-other-0123456789abcdef", id=foreign(ONE).id))
    await scene.poll()
    gate = Gate(monkeypatch)
    asked = asyncio.ensure_future(scene.ask(ONE))
    await until(lambda: bool(gate.seen))
    await put(scene.store, foreign(ONE, secrets=(replace(foreign(ONE).secrets[0], generation=2),)))
    await scene.poll()
    gate.opened.set()
    assert (await asked).verdict == "wrong"
    assert (await scene.ask(ONE, client="192.0.2.9")).verdict == "right"


async def test_what_was_wrong_may_be_right_after_its_key_has_changed(scene: Scene) -> None:
    await put(scene.store, foreign("sk-other-0123456789abcdef", id=foreign(ONE).id))
    assert (await scene.ask(ONE)).verdict == "wrong"
    await put(scene.store, foreign(ONE, secrets=(replace(foreign(ONE).secrets[0], generation=2),)))
    await scene.poll()
    assert (await scene.ask(ONE, client="192.0.2.9")).verdict == "right"


async def test_whoever_gives_up_does_not_end_the_work_of_others(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    gate = Gate(monkeypatch)
    first = asyncio.ensure_future(scene.ask(issued.secret))
    second = asyncio.ensure_future(scene.ask(issued.secret, "192.0.2.2"))
    await until(lambda: bool(gate.seen))
    first.cancel()
    gate.opened.set()
    assert (await second).verdict == "right"
    verifier: Verifier = scene.desk._verifier
    assert not verifier._flights
    assert not verifier._busy
    assert not verifier._of_key


async def test_nothing_that_is_remembered_grows_without_bound(scene: Scene) -> None:
    issued = await scene.ledger.create_key(NewKey(name="one"), "test")
    await until(lambda: scene.table.settled == 1)  # nothing to hear any more
    verifier = scene.desk._verifier
    verifier._delays._senders._most = 10
    for n in range(40):
        await scene.ask(new_key_text(issued.key.id).text, client=f"192.0.2.{n}")
    assert len(verifier._delays) == 10
    assert len(verifier._wrongs) == 16
    assert issued.key.created_us < NOW_US


def hash_in(scene: Scene) -> str:
    return scene.store.rows(Key)[foreign(ONE).id].secrets[0].hash
