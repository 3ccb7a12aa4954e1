"""Administrative operations: checked whole, in force when they return, recorded without secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from penstock.keys.argon2id import OWASP, Cost
from penstock.keys.hashing import HasherBusyError, hash_imported
from penstock.keys.model import AdminToken, Change, Key, Row, Team
from penstock.keys.problem import FieldProblem, Invalid, NotFound
from penstock.keys.secret import id_of, new_key_text, own_id
from penstock.keys.service import Ledger, unpublished
from penstock.keys.takeover import CutShortError, most_secrets
from penstock.keys.wishes import ForeignKey, KeyPatch, NewKey, NewTeam, NewToken, TeamPatch
from penstock.store.interface import ConflictError, StoreAwayError
from tests.unit.keys.scene import NOW_US, Scene

Node = Callable[..., Scene]
FOREIGN = "sk-litellm-0123456789abcdef"
HOUR_MS = 3_600_000


@pytest.fixture
async def scene(node: Node) -> Scene:
    made = node()
    await made.start()
    return made


@pytest.fixture
def ledger(scene: Scene) -> Ledger:
    ledger = scene.desk.ledger
    ledger._now_us = lambda: NOW_US
    return ledger


async def only_change(scene: Scene, subject: str) -> Change:
    (change, *_) = await scene.store.changes(subject, None, 1)
    return change


async def test_a_new_key_is_known_to_native_when_the_call_returns(scene: Scene, ledger: Ledger) -> None:
    team = await ledger.create_team(NewTeam(name="science", models=("fast", "slow")), "ops")
    wish = NewKey(
        name="one", team="science", owner="ada@example.org", models=("fast",), paths=("/chat/*",),
        networks=("10.0.0.0/8",), expires="2100-01-01T00:00:00Z", tags={"env": "dev"},
    )  # fmt: skip
    issued = await ledger.create_key(wish, "ops")
    assert own_id(issued.secret or "") == issued.key.id
    assert scene.check(issued.secret or "") == "unverified"
    assert scene.table.keys[issued.key.id].team == team.id
    stored = scene.store.rows(Key)[issued.key.id]
    assert stored == issued.key
    assert stored.secrets[0].hash.startswith("$argon2id$")
    assert str(issued.secret) not in repr(issued) + repr(stored) + str(msgspec.to_builtins(stored))


async def test_a_secret_that_was_made_here_needs_no_verification(scene: Scene, ledger: Ledger) -> None:
    ledger._remembering = scene.remembering
    issued = await ledger.create_key(NewKey(name="one"), "ops")
    assert scene.check(issued.secret or "") == "right"
    rotated = await ledger.rotate_key(issued.key.id, 60_000, "ops")
    assert scene.check(rotated.secret or "") == scene.check(issued.secret or "") == "right"
    assert scene.check(new_key_text(issued.key.id).text) == "wrong"


async def test_a_secret_that_was_taken_over_in_clear_needs_no_verification_either(scene: Scene, ledger: Ledger) -> None:
    ledger._remembering = scene.remembering
    await ledger.create_key(NewKey(name="moved", secret=FOREIGN), "ops")
    other = new_key_text().text
    await ledger.import_keys([ForeignKey(name="imported", secret=other)], "ops")
    assert scene.check(FOREIGN) == scene.check(other) == "right"


@pytest.mark.parametrize("way", ["create", "take over", "rotate"])
async def test_a_secret_that_was_saved_while_the_rows_were_reset_is_not_remembered(
    scene: Scene, ledger: Ledger, way: str
) -> None:
    ledger._remembering = scene.remembering
    key = (await ledger.create_key(NewKey(name="one"), "ops")).key

    async def publish(rows: Sequence[Row]) -> None:
        await scene.desk._table.reset("another")
        await scene.desk._table.publish(rows)

    ledger._publish = publish
    if way == "rotate":
        text = (await ledger.rotate_key(key.id, 0, "ops")).secret or ""
    else:
        wish = NewKey(name="two", secret=FOREIGN if way == "take over" else None)
        text = (await ledger.create_key(wish, "ops")).secret or FOREIGN
    assert scene.check(text) == "unverified"
    assert not scene.table.digests


async def test_every_problem_of_a_wish_is_told_at_once_and_nothing_is_made(scene: Scene, ledger: Ledger) -> None:
    wish = NewKey(
        name="", team="nobody", owner="\n", models=("nothing", "fast"), paths=("/v1/x",), networks=("10.0.0.1/8",),
        expires="2020-01-01T00:00:00Z", tags={"": "x"}, secret="short",
    )  # fmt: skip
    with pytest.raises(Invalid) as error:
        await ledger.create_key(wish, "ops", [FieldProblem("nmae", "there is no such field")])
    assert [problem.field for problem in error.value.problems] == [
        "nmae", "name", "team", "owner", "models[0]", "paths[0]", "networks[0]", "expires", "tags.", "secret",
    ]  # fmt: skip
    assert not scene.store.rows(Key)
    assert "short" not in str(error.value)


async def test_a_foreign_secret_keeps_its_text_and_gets_the_id_of_its_hash(scene: Scene, ledger: Ledger) -> None:
    issued = await ledger.create_key(NewKey(name="moved", secret=FOREIGN), "ops")
    assert issued.secret is None
    assert issued.key.id == id_of(FOREIGN)
    assert (await scene.ask(FOREIGN)).verdict == "right"
    with pytest.raises(ConflictError) as error:
        await ledger.create_key(NewKey(name="again", secret=FOREIGN), "ops")
    assert error.value.reason == "exists"


async def test_a_foreign_key_that_comes_back_does_not_get_a_generation_again(scene: Scene, ledger: Ledger) -> None:
    key = (await ledger.create_key(NewKey(name="moved", secret=FOREIGN), "ops")).key
    rotated = await ledger.rotate_key(key.id, HOUR_MS, "ops")
    await ledger.delete_key(key.id, "ops")
    again = (await ledger.create_key(NewKey(name="moved", secret=FOREIGN), "ops")).key
    assert [secret.generation for secret in rotated.key.secrets] == [1, 2]
    assert [secret.generation for secret in again.secrets] == [3]


async def test_a_patch_changes_what_it_names_and_clears_with_null(scene: Scene, ledger: Ledger) -> None:
    wish = NewKey(name="one", owner="ada", models=("fast",), expires="2100-01-01T00:00:00Z", tags={"a": "1", "b": "2"})
    key = (await ledger.create_key(wish, "ops")).key
    patch = KeyPatch(owner=None, models=("slow",), tags={"a": None, "c": "3"})
    changed = await ledger.change_key(key.id, patch, "ops")
    assert (changed.owner, changed.models, changed.tags) == (None, ("slow",), {"b": "2", "c": "3"})
    assert (changed.name, changed.expires_us, changed.secrets) == (key.name, key.expires_us, key.secrets)
    assert changed.version == key.version + 1
    assert scene.table.access[key.id].models == ("slow",)
    cleared = await ledger.change_key(key.id, KeyPatch(models=None, tags=None, expires=None), "ops")
    assert (cleared.models, cleared.tags, cleared.expires_us) == (None, {}, None)


async def test_a_patch_that_changes_nothing_writes_nothing(scene: Scene, ledger: Ledger) -> None:
    key = (await ledger.create_key(NewKey(name="one"), "ops")).key
    assert await ledger.change_key(key.id, KeyPatch(name="one", owner=None), "ops") == key
    assert len(await scene.store.changes(None, None, 10)) == 1


async def test_a_tag_that_nobody_may_make_any_more_stays_until_it_is_taken_away(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("penstock.keys.checks.tags", lambda _, value: value)
        key = (await ledger.create_key(NewKey(name="one", tags={"a=b": "1"}), "ops")).key
    assert (await ledger.set_key_state(key.id, "disabled", "ops")).tags == {"a=b": "1"}
    changed = await ledger.change_key(key.id, KeyPatch(name="two", tags={"c": "2"}), "ops")
    assert (changed.name, changed.tags) == ("two", {"a=b": "1", "c": "2"})
    with pytest.raises(Invalid) as error:
        await ledger.change_key(key.id, KeyPatch(tags={"c,d": "2"}), "ops")
    assert [problem.field for problem in error.value.problems] == ["tags.c,d"]
    assert (await ledger.change_key(key.id, KeyPatch(tags={"a=b": None}), "ops")).tags == {"c": "2"}


async def test_problems_of_a_patch_are_told_at_once(ledger: Ledger) -> None:
    key = (await ledger.create_key(NewKey(name="one", tags={str(n): "x" for n in range(32)}), "ops")).key
    patch = KeyPatch(name="", team="nobody", networks=("x",), expires="soon", tags={"one": "more"})
    with pytest.raises(Invalid) as error:
        await ledger.change_key(key.id, patch, "ops")
    assert {problem.field for problem in error.value.problems} == {"name", "team", "networks[0]", "expires", "tags"}


async def test_disabling_cuts_only_when_asked_and_is_no_change_when_done(scene: Scene, ledger: Ledger) -> None:
    key = (await ledger.create_key(NewKey(name="one"), "ops")).key
    disabled = await ledger.set_key_state(key.id, "disabled", "ops")
    assert (disabled.state, disabled.cut_us) == ("disabled", None)
    assert scene.table.keys[key.id].state == "disabled"
    assert await ledger.set_key_state(key.id, "disabled", "ops") == disabled
    cut = await ledger.set_key_state(key.id, "disabled", "ops", cut=True)
    assert scene.table.keys[key.id].cut_us == cut.cut_us == NOW_US
    assert (await ledger.set_key_state(key.id, "active", "ops")).state == "active"
    with pytest.raises(Invalid, match="cut: "):
        await ledger.set_key_state(key.id, "active", "ops", cut=True)
    with pytest.raises(Invalid, match="state: "):
        await ledger.set_key_state(key.id, "deleted", "ops")  # type: ignore[arg-type]


async def test_a_cut_lies_behind_the_one_before_whatever_the_clock_says(scene: Scene, ledger: Ledger) -> None:
    key = (await ledger.create_key(NewKey(name="one"), "ops")).key
    first = await ledger.set_key_state(key.id, "disabled", "ops", cut=True)
    ledger._now_us = lambda: NOW_US - 60_000_000  # a node whose clock is behind
    await ledger.set_key_state(key.id, "active", "ops")
    second = await ledger.set_key_state(key.id, "disabled", "ops", cut=True)
    assert second.cut_us == (first.cut_us or 0) + 1
    assert scene.table.keys[key.id].cut_us == second.cut_us


async def test_rotation_leaves_two_secrets_for_the_overlap_and_then_one(scene: Scene, ledger: Ledger) -> None:
    first = await ledger.create_key(NewKey(name="one"), "ops")
    second = await ledger.rotate_key(first.key.id, HOUR_MS, "ops")
    assert own_id(second.secret or "") == first.key.id
    ends_us = NOW_US + HOUR_MS * 1_000
    assert [(each.generation, each.until_us) for each in second.key.secrets] == [(1, ends_us), (2, None)]
    # Once more within the overlap: the oldest ends at once.
    third = await ledger.rotate_key(first.key.id, HOUR_MS, "ops")
    assert [(each.generation, each.until_us) for each in third.key.secrets] == [(2, ends_us), (3, None)]
    # The next change leaves out what has ended.
    ledger._now_us = lambda: ends_us
    changed = await ledger.change_key(first.key.id, KeyPatch(name="other"), "ops")
    assert [(each.generation, each.until_us) for each in changed.secrets] == [(3, None)]
    assert (await ledger.rotate_key(first.key.id, 0, "ops")).key.secrets[0].generation == 4


async def test_rotating_a_foreign_key_keeps_its_id(scene: Scene, ledger: Ledger) -> None:
    key = (await ledger.create_key(NewKey(name="moved", secret=FOREIGN), "ops")).key
    rotated = await ledger.rotate_key(key.id, HOUR_MS, "ops")
    assert own_id(rotated.secret or "") == key.id == id_of(FOREIGN)
    assert (await scene.ask(rotated.secret or "")).verdict == "right"
    assert (await scene.ask(FOREIGN)).verdict == "right"


@pytest.mark.parametrize("overlap_ms", [-1, 367 * 24 * HOUR_MS])
async def test_an_overlap_has_bounds(ledger: Ledger, overlap_ms: int) -> None:
    key = (await ledger.create_key(NewKey(name="one"), "ops")).key
    with pytest.raises(Invalid, match="overlap: "):
        await ledger.rotate_key(key.id, overlap_ms, "ops")


async def test_a_deleted_key_is_gone_everywhere(scene: Scene, ledger: Ledger) -> None:
    issued = await ledger.create_key(NewKey(name="one"), "ops")
    await ledger.delete_key(issued.key.id, "ops")
    assert scene.check(issued.secret or "") == "unknown"
    assert not scene.store.rows(Key)
    with pytest.raises(NotFound, match="there is no key"):
        await ledger.delete_key(issued.key.id, "ops")
    for change in (
        ledger.change_key(issued.key.id, KeyPatch(), "ops"),
        ledger.rotate_key(issued.key.id, 0, "ops"),
        ledger.set_key_state(issued.key.id, "active", "ops"),
    ):
        with pytest.raises(NotFound):
            await change


async def test_a_row_that_somebody_else_changed_meanwhile_is_read_again(
    scene: Scene, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = (await ledger.create_key(NewKey(name="one", owner="ada"), "ops")).key
    faster = Ledger(scene.store, unpublished, ledger.names, ledger._hasher)
    times = iter([True, True, False])

    async def race() -> None:
        if next(times, False):
            current = scene.store.rows(Key)[key.id]
            await faster.change_key(key.id, KeyPatch(tags={str(current.version): "x"}), "faster")

    usual = ledger.store.get

    async def get(kind: type[Key], id: str) -> Key | None:
        found = await usual(kind, id)
        monkeypatch.setattr(ledger.store, "get", usual)
        await race()
        monkeypatch.setattr(ledger.store, "get", get)
        return found

    monkeypatch.setattr(ledger.store, "get", get)
    changed = await ledger.change_key(key.id, KeyPatch(owner="bob"), "ops")
    assert changed.owner == "bob"
    assert len(changed.tags) == 2


async def test_a_row_that_never_rests_is_a_conflict_in_the_end(scene: Scene, ledger: Ledger) -> None:
    key = (await ledger.create_key(NewKey(name="one"), "ops")).key

    def conflict() -> None:
        raise ConflictError("changed", "changed by somebody else")

    scene.store.before_save = conflict
    with pytest.raises(ConflictError):
        await ledger.change_key(key.id, KeyPatch(name="two"), "ops")


async def test_changes_say_who_did_what_and_hold_no_secret(scene: Scene, ledger: Ledger) -> None:
    issued = await ledger.create_key(NewKey(name="one", tags={"a": "1"}), "ops")
    await ledger.rotate_key(issued.key.id, HOUR_MS, "eve")
    rotated = await only_change(scene, issued.key.id)
    assert (rotated.actor, rotated.action) == ("eve", "key.rotate")
    before, after = (msgspec.convert(each, dict[str, Any]) for each in (rotated.before, rotated.after))
    assert [each["generation"] for each in before["secrets"]] == [1]
    assert [each["generation"] for each in after["secrets"]] == [1, 2]
    await ledger.delete_key(issued.key.id, "ops")
    deleted = await only_change(scene, issued.key.id)
    assert deleted.after is None
    written = str([msgspec.to_builtins(change) for change in await scene.store.changes(None, None, 100)])
    assert "argon2" not in written
    assert str(issued.secret) not in written


async def test_an_outage_changes_nothing_and_says_so(scene: Scene, ledger: Ledger) -> None:
    scene.store.away = True
    with pytest.raises(StoreAwayError):
        await ledger.create_key(NewKey(name="one"), "ops")
    assert not scene.table.keys


async def test_a_full_hasher_makes_no_key(scene: Scene, ledger: Ledger) -> None:
    ledger._hasher.close()
    with pytest.raises(HasherBusyError):
        await ledger.create_key(NewKey(name="one"), "ops")
    assert not scene.store.rows(Key)


async def test_teams_are_made_changed_and_deleted_when_they_own_nothing(scene: Scene, ledger: Ledger) -> None:
    team = await ledger.create_team(NewTeam(name="science", models=("fast",)), "ops")
    assert scene.table.teams[team.id].name == "science"
    with pytest.raises(ConflictError) as error:
        await ledger.create_team(NewTeam(name="science"), "ops")
    assert error.value.reason == "name_taken"
    changed = await ledger.change_team(team.id, TeamPatch(name="art", models=None, state="disabled"), "ops")
    assert (changed.name, changed.models, changed.state) == ("art", None, "disabled")
    assert scene.table.teams[team.id].state == "disabled"
    issued = await ledger.create_key(NewKey(name="one", team="art"), "ops")
    with pytest.raises(ConflictError) as error:
        await ledger.delete_team(team.id, "ops")
    assert error.value.reason == "team_has_keys"
    await ledger.delete_key(issued.key.id, "ops")
    await ledger.delete_team(team.id, "ops")
    assert not scene.store.rows(Team)
    with pytest.raises(Invalid, match=r"name: .*models\[0\]: "):
        await ledger.create_team(NewTeam(name="", models=("nothing",)), "ops")


async def test_tokens_are_shown_once_and_kept_as_their_sha256(scene: Scene, ledger: Ledger) -> None:
    issued = await ledger.create_token(NewToken(name="ops", role="viewer"), "ada")
    assert re.fullmatch(r"pen-admin-\S{43}", issued.text)
    digest = hashlib.sha256(issued.text.encode()).hexdigest()
    assert scene.desk.tokens[digest].role == "viewer"
    assert issued.text not in repr(issued)
    assert digest not in repr(issued)
    with pytest.raises(Invalid, match=r"name: .*role: "):
        await ledger.create_token(NewToken(name="", role="root"), "ada")  # type: ignore[arg-type]
    await ledger.delete_token(issued.token.id, "ada")
    assert not scene.desk.tokens
    assert not scene.store.rows(AdminToken)


async def test_an_import_takes_secrets_and_hashes_and_leaves_what_is_there(scene: Scene, ledger: Ledger) -> None:
    await ledger.create_team(NewTeam(name="science"), "ops")
    hashed = hashlib.sha256(b"sk-hashed-0123456789abcdef").hexdigest()
    entries = [
        ForeignKey(name="a", secret=FOREIGN, team="science", models=("fast",)),
        ForeignKey(name="b", sha256=hashed.upper()),
        ForeignKey(name="ours", secret=new_key_text().text),
    ]
    done = await ledger.import_keys(entries, "ops")
    assert done.created == [id_of(FOREIGN), id_of("sk-hashed-0123456789abcdef"), id_of(entries[2].secret or "")]
    assert scene.store.rows(Key)[done.created[1]].secrets[0].hash == hash_imported(b"sk-hashed-0123456789abcdef")
    assert scene.store.rows(Key)[done.created[0]].secrets[0].hash.startswith("$argon2id$")
    for secret in (FOREIGN, "sk-hashed-0123456789abcdef", entries[2].secret or ""):
        assert (await scene.ask(secret)).verdict == "right"
    again = await ledger.import_keys([*entries, ForeignKey(name="new", secret="sk-new-0123456789abcdef")], "ops")
    assert again.unchanged == done.created
    assert again.created == [id_of("sk-new-0123456789abcdef")]


async def test_an_import_with_one_bad_entry_writes_nothing_and_names_every_fault(scene: Scene, ledger: Ledger) -> None:
    entries = [
        ForeignKey(name="good", secret=FOREIGN),
        ForeignKey(name="", secret="short", team="nobody"),
        ForeignKey(name="both", secret="sk-new-0123456789abcdef", sha256="ab" * 32),
        ForeignKey(name="neither"),
        ForeignKey(name="hash", sha256="xyz"),
        ForeignKey(name="twice", sha256=hashlib.sha256(FOREIGN.encode()).hexdigest()),
        ForeignKey(name=""),
    ]
    done = await ledger.import_keys(entries, "ops", {6: [FieldProblem("name", "expected text, got null")]})
    assert not done.created
    assert not scene.store.rows(Key)
    found = {index: [problem.field for problem in problems] for index, problems in done.refused}
    assert found == {
        1: ["name", "team", "secret"], 2: ["secret"], 3: ["secret"], 4: ["sha256"], 5: ["sha256"],
        6: ["name", "secret"],
    }  # fmt: skip
    assert "same key as entry 0" in str(done.refused)


async def test_an_import_has_bounds(scene: Scene, ledger: Ledger) -> None:
    with pytest.raises(Invalid, match="1001 keys at once; import at most 1000"):
        await ledger.import_keys([ForeignKey(name="x", sha256="ab" * 32)] * 1_001, "ops")
    with pytest.raises(Invalid, match="101 secrets in clear at once; import at most 100"):
        await ledger.import_keys([ForeignKey(name="x", secret=FOREIGN)] * 101, "ops")
    scene.desk._hasher.cost = OWASP._replace(memory_kib=4 * OWASP.memory_kib)
    with pytest.raises(Invalid, match="import at most 25,"):
        await ledger.import_keys([ForeignKey(name="x", secret=FOREIGN)] * 26, "ops")
    assert most_secrets(Cost(1 << 20, 99, 1)) == 5


def hashes(count: int) -> list[ForeignKey]:
    return [ForeignKey(name=str(n), sha256=hashlib.sha256(str(n).encode()).hexdigest()) for n in range(count)]


async def test_an_import_that_an_outage_cut_short_says_what_it_made_and_goes_on_there(
    scene: Scene, ledger: Ledger
) -> None:
    saves = iter(range(100))

    def outage() -> None:
        if next(saves) == 2:  # the other one of its pair is made
            raise StoreAwayError("away")

    scene.store.before_save = outage
    with pytest.raises(CutShortError, match=r"with 3 of 8 keys there \(away\); import them again") as error:
        await ledger.import_keys(hashes(8), "ops")
    assert sorted(error.value.done.created) == sorted(scene.store.rows(Key))
    assert isinstance(error.value.cause, StoreAwayError)
    done = await ledger.import_keys(hashes(8), "ops")
    assert sorted(done.unchanged) == sorted(error.value.done.created)
    assert len(done.created) == 5
    assert len(scene.store.rows(Key)) == 8


async def test_an_import_ends_before_whoever_asks_gives_up_and_always_gets_on(
    scene: Scene, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.keys.takeover.LONGEST_S", -1.0)
    for there in (2, 4):
        with pytest.raises(CutShortError, match=rf"with {there} of 5 keys there \(it took longer"):
            await ledger.import_keys(hashes(5), "ops")
        assert len(scene.store.rows(Key)) == there
    assert len((await ledger.import_keys(hashes(5), "ops")).created) == 1
