"""Store, key table and verified digests agree after any sequence of operations, restarts, outages and lost data.

Three nodes on one store, two of which share a `data_dir`. Beside them a plain model: which text is which generation of
which key. A node that has polled answers as the model says; whatever happens, no node takes a wrong secret for right.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import itertools
import os
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from penstock.keys.model import Key, Row, Team
from penstock.keys.secret import id_of, new_key_text
from penstock.keys.takeover import CutShortError
from penstock.keys.wishes import ForeignKey, KeyPatch, LimitsPatch, NewKey, NewTeam, TeamPatch
from penstock.limits.policy import policy_of
from penstock.store.interface import StoreAwayError
from penstock.times import HOUR_US
from tests.unit.fake_store import FakeStore
from tests.unit.keys.fake_table import digest_of
from tests.unit.keys.scene import NOW_US, STILL, Scene

ROUNDS = int(os.environ.get("ROUNDS", "20"))
NODES = {"a": "shared", "b": "own", "c": "shared"}
FOREIGN = [f"sk-foreign-{n}-0123456789abcdef" for n in range(3)]
DEAF = STILL._replace(hurry=3_600.0)
"""Polls only when a rule says so, whoever wakes it: a node never polls twice at once."""
PATIENCE_S = 120.0
"""How long a node may take to hear from a store that is there: a machine that stalls fails single polls."""
T = TypeVar("T")
nodes, numbers = st.sampled_from(list(NODES)), st.integers(0, 1_000)


@dataclass
class Truth:
    """What the store ought to hold: texts by key and generation with their ends, and the rows that were ever saved."""

    keys: dict[str, dict[int, tuple[str, int | None]]] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    team_of: dict[str, str] = field(default_factory=dict)
    teams: dict[str, bool] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)

    def of(self, id: str, text: str, now_us: int) -> str:
        """What a node that knows all of it answers."""
        if id not in self.keys:
            return "unknown"
        if text not in [known for known, until in self.keys[id].values() if until is None or until > now_us]:
            return "wrong"
        disabled = id in self.disabled or not self.teams.get(self.team_of.get(id, ""), True)
        return "disabled" if disabled else "right"


class Keys(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="penstock-keys-")
        self.store, self.truth = FakeStore(), Truth()
        self.run(self.store.open(migrate=True))
        self.store.tells = False  # a node polls when a rule says so
        self.backup: tuple[FakeStore, Truth] | None = None
        self.now_us = NOW_US
        self.texts: dict[str, str] = {}  # every text that ever was a key, with its id
        self.addresses = itertools.count()
        self.at: dict[str, Scene] = {}
        self.polled: dict[str, bool] = {}  # whether a node knows all that the store holds
        self.misled: set[str] = set()  # nodes that have not asked the store since it lost what they may have

    # --- what happens ---

    @initialize()
    def start(self) -> None:
        for name in NODES:
            self.start_node(name)

    @rule(node=nodes, with_team=st.booleans())
    def create(self, node: str, with_team: bool) -> None:
        team = next(iter(self.truth.teams), None) if with_team else None
        issued = self.change(node, self.at[node].ledger.create_key(NewKey(name="x", team=team), "test"))
        if issued:
            self.note(issued.key, issued.secret)

    @rule(node=nodes, text=st.sampled_from(FOREIGN))
    def take_over(self, node: str, text: str) -> None:
        if id_of(text) not in self.truth.keys:
            issued = self.change(node, self.at[node].ledger.create_key(NewKey(name="x", secret=text), "test"))
            if issued:
                self.note(issued.key, text)

    @rule(node=nodes, text=st.sampled_from(FOREIGN))
    def import_hash(self, node: str, text: str) -> None:
        if id_of(text) not in self.truth.keys:
            entry = ForeignKey(name="x", sha256=hashlib.sha256(text.encode()).hexdigest())
            done = self.change(node, self.at[node].ledger.import_keys([entry], "test"))
            if done:
                self.note(self.store.rows(Key)[id_of(text)], text)

    @precondition(lambda self: self.truth.keys)
    @rule(node=nodes, which=numbers, overlap_us=st.sampled_from([0, HOUR_US]))
    def rotate(self, node: str, which: int, overlap_us: int) -> None:
        id = self.pick(which)
        issued = self.change(node, self.at[node].ledger.rotate_key(id, overlap_us // 1_000, "test"))
        if issued:
            self.note(issued.key, issued.secret)

    @precondition(lambda self: self.truth.keys)
    @rule(node=nodes, which=numbers, state=st.sampled_from(["active", "disabled"]))
    def set_state(self, node: str, which: int, state: str) -> None:
        id = self.pick(which)
        key = self.change(node, self.at[node].ledger.set_key_state(id, state, "test"))
        if key:
            self.note(key)

    @precondition(lambda self: self.truth.keys)
    @rule(node=nodes, which=numbers)
    def patch(self, node: str, which: int) -> None:
        limits = None if which % 3 == 0 else LimitsPatch(requests=f"{which}/min", concurrent=which % 2 or None)
        patch = KeyPatch(models=(f"m{which}",), tags={"n": str(which)}, limits=limits)
        key = self.change(node, self.at[node].ledger.change_key(self.pick(which), patch, "test"))
        if key:
            self.note(key)

    @precondition(lambda self: self.truth.keys)
    @rule(node=nodes, which=numbers)
    def delete(self, node: str, which: int) -> None:
        id = self.pick(which)

        async def gone() -> bool:
            await self.at[node].ledger.delete_key(id, "test")
            return True

        if self.change(node, gone()):
            del self.truth.keys[id]
            self.truth.disabled.discard(id)
            self.truth.team_of.pop(id, None)

    @rule(node=nodes)
    def create_team(self, node: str) -> None:
        name = f"team {next(self.addresses)}"
        team: Team | None = self.change(node, self.at[node].ledger.create_team(NewTeam(name=name), "test"))
        if team:
            self.truth.teams[team.id] = True

    @precondition(lambda self: self.truth.teams)
    @rule(node=nodes, which=numbers, active=st.booleans())
    def change_team(self, node: str, which: int, active: bool) -> None:
        id = list(self.truth.teams)[which % len(self.truth.teams)]
        patch = TeamPatch(state="active" if active else "disabled", limits=LimitsPatch(tokens=f"{which}/day"))
        if self.change(node, self.at[node].ledger.change_team(id, patch, "test")):
            self.truth.teams[id] = active

    @rule(node=nodes)
    def record(self, node: str) -> None:
        """A change that has a version and no row."""
        self.change(node, self.at[node].ledger.record("limits.reset", node, {}, "test"))

    @rule(seconds=st.sampled_from([1, 1800, 3601]))
    def time_goes_on(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000

    @rule()
    def outage_begins_or_ends(self) -> None:
        self.store.away = not self.store.away

    @rule()
    def back_up(self) -> None:
        self.backup = (self.store.copy(), copy.deepcopy(self.truth))

    @precondition(lambda self: self.backup is not None)
    @rule()
    def lose_data(self) -> None:
        assert self.backup is not None
        store, truth = self.backup
        self.store.restore(store)
        self.truth = copy.deepcopy(truth)
        self.forget_polls()

    @rule()
    def another_store(self) -> None:
        self.store.replace_by_another()
        self.truth, self.backup = Truth(), None
        self.forget_polls()

    @rule(node=nodes)
    def poll(self, node: str) -> None:
        self.run(self.at[node].poll())
        self.note_poll(node)

    @rule(node=nodes)
    def restart(self, node: str) -> None:
        before = self.answers(node) if self.polled[node] and not self.store.away else {}
        self.run(self.at[node].stop())
        self.start_node(node)
        # Whoever shares a data_dir may have forgotten it meanwhile, after lost data; this one's is its own.
        if NODES[node] == "own":
            for text, was in before.items():
                now = self.check(node, text)
                # One whose hash was not exchanged in time is asked for once more.
                assert now == was or (now == "unverified" and was == self.answer(node, text) in ("right", "disabled"))

    @rule(node=nodes)
    def rows_come_late(self, node: str) -> None:
        """All of this life of the store, newest first; as when whoever made a change is slower than the feed."""
        if self.polled[node]:
            rows = [row for row in reversed(self.truth.history) if row.state != "deleted"]
            self.run(self.at[node].desk._table.publish(rows))

    # --- what must hold ---

    @rule(node=nodes, which=numbers)
    def a_verdict_is_that_of_the_store(self, node: str, which: int) -> None:
        if not self.texts:
            return
        text = list(self.texts)[which % len(self.texts)]
        life = self.at[node].desk._table.life
        has_store = self.has_store(node)
        answer = self.ask(node, text)
        found = self.truth.of(self.texts[text], text, self.now_us)
        if answer == "right":
            # Without the store that is what data_dir says, and native goes by the row it has.
            assert found in ("right", "disabled") or not has_store or node in self.misled
        elif answer == "wrong":
            # Whoever has not heard of the newest changes may remember what was wrong before them.
            assert found in ("wrong", "unknown") or not self.polled[node]
        else:
            assert answer == "away"
            assert not self.has_store(node) or life != self.at[node].desk._table.life

    @precondition(lambda self: self.truth.keys)
    @rule(node=nodes, which=numbers, one_sender=st.booleans())
    def two_secrets_at_once_never_share_a_verdict(self, node: str, which: int, one_sender: bool) -> None:
        if not self.has_store(node):
            return
        id = self.pick(which)
        live = [text for text, until in self.truth.keys[id].values() if until is None or until > self.now_us]
        guess = new_key_text(id).text
        senders = [self.address(), self.address()]
        scene = self.at[node]

        async def both() -> list[str]:
            asked = [scene.ask(text, senders[0 if one_sender else n], id) for n, text in enumerate((guess, live[-1]))]
            return [answer.verdict for answer in await asyncio.gather(*asked)]

        guessed, right = self.run(both())
        assert guessed == "wrong"
        assert right in (("right", "slow") if one_sender else ("right",)) or not self.polled[node]
        assert scene.table.check(id, digest_of(guess), self.now_us) != "right"

    @rule(node=nodes)
    def a_node_that_has_polled_answers_as_the_store_says(self, node: str) -> None:
        self.poll(node)
        if self.polled[node]:
            for text, answer in self.answers(node).items():
                assert answer == self.truth.of(self.texts[text], text, self.now_us), (node, text)
            rows: list[Key | Team] = [*self.store.rows(Key).values(), *self.store.rows(Team).values()]
            for row in rows:
                expected = None if row.limits is None else policy_of(row.limits)
                assert self.at[node].table.limits[row.id] == expected, (node, row)

    @rule(node=nodes)
    def an_outage_is_never_a_refusal(self, node: str) -> None:
        if not self.store.away:
            return
        before = {text: self.check(node, text) for text in self.texts}
        self.poll(node)
        for text in before:
            answer = self.answer(node, text)
            if before[text] == "right":
                assert answer == "right"
            assert answer != "unknown" or self.at[node].table.keys[self.texts[text]].state == "deleted"

    @invariant()
    def native_and_what_is_kept_have_no_digest_of_a_generation_that_is_gone(self) -> None:
        for scene in self.at.values():
            for id, generation in scene.table.digests:
                assert generation in [each.generation for each in scene.table.keys[id].secrets]

    def teardown(self) -> None:
        for scene in self.at.values():
            self.run(scene.stop())
        self.runner.close()
        self.folder.cleanup()

    # --- the means ---

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def start_node(self, name: str) -> None:
        path = Path(self.folder.name) / NODES[name]
        path.mkdir(exist_ok=True)
        scene = Scene(path, self.store, DEAF)
        scene.desk._verifier._now_us = lambda: self.now_us
        scene.ledger._now_us = lambda: self.now_us
        self.at[name] = scene

        if name == "c":
            scene.ledger._remembering = scene.remembering
        self.run(scene.start())
        self.note_poll(name)

    def change(self, node: str, work: Coroutine[Any, Any, T]) -> T | None:
        """Makes a change; None when the store is away, and then nothing may have changed."""
        version = self.store._version
        try:
            done = self.run(work)
        except (StoreAwayError, CutShortError):
            assert not self.has_store(node)
            assert self.store._version == version
            return None
        if self.store._version != version:
            self.truth.history += [row for row in self.store._rows.values() if row.version == self.store._version]
            for name in self.polled:
                self.polled[name] = self.polled[name] and name == node
        return done

    def note(self, key: Key, text: str | None = None) -> None:
        known = self.truth.keys.get(key.id, {})
        newest = max(secret.generation for secret in key.secrets)
        if text is not None:
            known[newest] = (text, None)
            self.texts[text] = key.id
        kept = {secret.generation: (known[secret.generation][0], secret.until_us) for secret in key.secrets}
        self.truth.keys[key.id] = kept
        self.truth.disabled.discard(key.id)
        if key.state == "disabled":
            self.truth.disabled.add(key.id)
        if key.team is not None:
            self.truth.team_of[key.id] = key.team

    def has_store(self, node: str) -> bool:
        """Whether a node's calls reach the store: after a start during an outage it is opened by the next poll."""
        return not self.store.away and self.at[node].desk.store._opened  # type: ignore[attr-defined]

    def note_poll(self, node: str) -> None:
        """After a start or a poll; a poll that took too long while the store was there is made again."""
        scene, deadline = self.at[node], time.monotonic() + PATIENCE_S
        while not self.store.away and scene.desk.is_away:
            assert time.monotonic() < deadline, scene.log.texts()
            self.run(scene.poll())
        assert "could not be brought up to date" not in scene.log.texts()
        self.polled[node] = not self.store.away
        self.misled -= {node} if self.polled[node] else set()

    def forget_polls(self) -> None:
        self.polled = dict.fromkeys(self.polled, False)
        self.misled = set(self.polled)

    def pick(self, which: int) -> str:
        """In the order in which they were made: ids are chance, and what fails could not be repeated."""
        return list(self.truth.keys)[which % len(self.truth.keys)]

    def address(self) -> str:
        number = next(self.addresses)
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def ask(self, node: str, text: str) -> str:
        return self.run(self.at[node].ask(text, self.address(), self.texts[text])).verdict

    def check(self, node: str, text: str) -> str:
        return self.at[node].table.check(self.texts[text], digest_of(text), self.now_us)

    def answer(self, node: str, text: str) -> str:
        """What a client that shows this text is answered."""
        found = self.check(node, text)
        if found == "unverified":
            verdict = self.ask(node, text)
            found = self.check(node, text) if verdict == "right" else verdict
        return found

    def answers(self, node: str) -> dict[str, str]:
        return {text: self.answer(node, text) for text in self.texts}


@pytest.mark.timeout(600)
def test_store_key_table_and_digests_agree() -> None:
    run_state_machine_as_test(
        Keys,
        settings=settings(
            max_examples=3 * ROUNDS, stateful_step_count=60, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip
