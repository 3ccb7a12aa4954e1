"""Limits of keys and teams on their way: wished for, judged, kept, changed, given to native."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.keys import checks
from penstock.keys.model import Key, Team
from penstock.keys.problem import FieldProblem, Findings, Invalid
from penstock.keys.rows import KeptKey, batch_of, keep
from penstock.keys.service import Ledger
from penstock.keys.wishes import ForeignKey, KeyPatch, LimitsPatch, NewKey, NewTeam, TeamPatch, decode, read
from penstock.limits.policy import Limits, Policy, Rate, Slots
from tests.unit.keys.scene import Scene, foreign, put, team

Node = Callable[..., Scene]
MINUTE_US = 60_000_000


@pytest.fixture
async def scene(node: Node) -> Scene:
    made = node()
    await made.start()
    return made


@pytest.fixture
def ledger(scene: Scene) -> Ledger:
    made: Ledger = scene.ledger
    return made


def test_limits_are_read_with_every_kind() -> None:
    body = b"""{"name": "a", "limits": {"requests": ["600/min", "9/day"], "tokens": "none", "budget": null,
        "concurrent": 5, "queue": "2s", "reserve": "cap", "away": "open"}}"""
    limits = Limits(requests=("600/min", "9/day"), tokens="none", concurrent=5, queue="2s", reserve="cap", away="open")
    for kind in (NewKey, NewTeam, ForeignKey):
        assert decode(kind, body).limits == limits  # type: ignore[attr-defined]


def test_every_wrong_field_of_limits_is_named() -> None:
    body = {
        "name": "a",
        "limits": {
            "request": "1/s",
            "tokens": ["1/s", 5],
            "budget": 3,
            "concurrent": "many",
            "reserve": "all",
            "away": "shut",
        },
    }
    wish, problems = read(NewKey, body)
    assert {problem.field: problem.message for problem in problems} == {
        "limits.request": "there is no such field (did you mean 'requests'?)",
        "limits.tokens[1]": "expected text, got a whole number",
        "limits.budget": "expected text or a list or null, got a whole number",
        "limits.concurrent": "invalid enum value 'many'; expected a number or 'none'",
        "limits.reserve": "invalid enum value 'all'; expected 'expected' or 'cap'",
        "limits.away": "invalid enum value 'shut'; expected 'fair_share', 'closed' or 'open'",
    }
    assert wish.limits is None
    assert read(NewKey, {"name": "a", "limits": "600/min"})[1] == [
        FieldProblem("limits", "expected an object or null, got text")
    ]


def test_limits_that_mean_nothing_are_named_by_their_place() -> None:
    found = Findings()
    checks.limits(found, Limits(requests=("1/s", "ten/min"), tokens="5/fortnight", queue="2s", budget="20 usd"))
    assert [problem.field for problem in found.problems] == [
        "limits.requests[1]",
        "limits.tokens",
        "limits.budget",
        "limits.queue",
    ]


def test_limits_without_any_are_none() -> None:
    found = Findings()
    assert checks.limits(found, Limits()) is None
    assert checks.limits(found, None) is None
    assert not found.problems


def test_equal_meanings_cross_once() -> None:
    rows = [
        Key(id=f"key{n:09}", name="x", limits=limits)
        for n, limits in enumerate((Limits(requests="60/m"), None, Limits(requests="60/min"), Limits(requests="none")))
    ]
    batch = batch_of([keep(row) for row in rows])
    assert batch.limits == (Policy(requests=(Rate(60, window_us=MINUTE_US),)), Policy(requests=()))
    assert [key.limits for key in batch.keys] == [0, None, 0, 1]


def test_limits_that_somebody_wrote_past_us_are_a_fault_of_their_batch() -> None:
    with pytest.raises(ValueError, match="600/min"):
        batch_of([KeptKey("key000000001", 1, "active", limits=Limits(requests="plenty"))])


async def test_limits_are_with_native_when_the_call_returns(scene: Scene, ledger: Ledger) -> None:
    pool = await ledger.create_team(NewTeam(name="t", limits=Limits(tokens="9/day")), "ops")
    limits = Limits(requests="600/min", concurrent=5, queue="2s")
    made = await ledger.create_key(NewKey(name="a", team="t", limits=limits), "ops")
    assert scene.table.limits[pool.id] == Policy(tokens=(Rate(9, period="day"),))
    assert scene.table.limits[made.key.id] == Policy(
        requests=(Rate(600, window_us=MINUTE_US),), concurrent=(Slots(5, 2_000_000),)
    )
    assert scene.store.rows(Key)[made.key.id].limits == limits
    (change,) = await scene.store.changes(made.key.id, None, 9)
    assert change.after is not None
    assert change.after["limits"] == {"requests": "600/min", "concurrent": 5, "queue": "2s"}


async def test_a_patch_changes_the_kinds_that_it_names(scene: Scene, ledger: Ledger) -> None:
    id = (await ledger.create_key(NewKey(name="a", limits=Limits(requests="1/s", tokens="2/s")), "ops")).key.id

    async def patched(**limits: object) -> Limits | None:
        patch = KeyPatch(limits=LimitsPatch(**limits))  # type: ignore[arg-type]
        return (await ledger.change_key(id, patch, "ops")).limits

    assert await patched(requests="5/s") == Limits(requests="5/s", tokens="2/s")
    assert await patched(tokens=None, concurrent=3, queue="1s") == Limits(requests="5/s", concurrent=3, queue="1s")
    with pytest.raises(Invalid, match=r"limits\.queue: needs `concurrent`"):
        await patched(concurrent=None)
    with pytest.raises(Invalid, match=r"limits\.requests: expected a limit"):
        await patched(requests="lots")
    assert await patched(requests=None, concurrent=None, queue=None) is None
    assert scene.table.limits[id] is None
    assert await patched(budget="none") == Limits(budget="none")
    assert (await ledger.change_key(id, KeyPatch(name="b"), "ops")).limits == Limits(budget="none")
    assert (await ledger.change_key(id, KeyPatch(limits=None), "ops")).limits is None


async def test_a_team_is_patched_the_same_way(scene: Scene, ledger: Ledger) -> None:
    made = await ledger.create_team(NewTeam(name="t", limits=Limits(requests="1/s")), "ops")
    patch = TeamPatch(limits=LimitsPatch(concurrent=2))
    assert (await ledger.change_team(made.id, patch, "ops")).limits == Limits(requests="1/s", concurrent=2)
    assert (await ledger.change_team(made.id, TeamPatch(limits=None), "ops")).limits is None
    assert scene.store.rows(Team)[made.id].limits is None


async def test_wrong_limits_are_told_beside_everything_else(ledger: Ledger) -> None:
    with pytest.raises(Invalid) as error:
        await ledger.create_key(NewKey(name="", limits=Limits(requests="x")), "ops")
    assert [problem.field for problem in error.value.problems] == ["name", "limits.requests"]
    entry = ForeignKey(name="a", sha256="0" * 64, limits=Limits(tokens="x"))
    done = await ledger.import_keys([entry], "ops")
    assert [problem.field for _, problems in done.refused for problem in problems] == ["limits.tokens"]


async def test_an_imported_key_has_its_limits(scene: Scene, ledger: Ledger) -> None:
    entry = ForeignKey(name="a", sha256="0" * 64, limits=Limits(requests="5/s"))
    (id,) = (await ledger.import_keys([entry], "ops")).created
    assert scene.table.limits[id] == Policy(requests=(Rate(5, window_us=1_000_000),))


async def test_a_restart_knows_the_limits_without_the_store(node: Node) -> None:
    first = node()
    await put(first.store, team("team0", limits=Limits(tokens="7/day")))
    await put(first.store, foreign("sk-foreign-0123456789", team="team0", limits=Limits(requests="5/s")))
    await first.start()
    await first.stop()
    first.store.away = True
    second = node()
    await second.start()
    (key,) = second.table.keys
    assert second.table.limits == {
        "team0": Policy(tokens=(Rate(7, period="day"),)),
        key: Policy(requests=(Rate(5, window_us=1_000_000),)),
    }


BROKEN: dict[str, dict[str, Any]] = {
    "a value that nobody here wrote": {"limits": Limits(requests="plenty")},
    "a value of a later release": {"limits": Limits(tokens="5/s"), "limits_rest": '{"reserve":"p95"}'},
    "no object": {"limits_rest": "5"},
}


@pytest.mark.parametrize("name", BROKEN)
async def test_limits_that_cannot_be_read_disable_the_key_that_native_had_before(node: Node, name: str) -> None:
    scene = node()
    row = foreign("sk-foreign-0123456789", limits=Limits(requests="5/s"))
    await put(scene.store, row)
    await put(scene.store, foreign("sk-foreign-9876543210"))
    await scene.start()
    before = scene.table.keys[row.id]
    assert before.state == "active"
    await put(scene.store, replace(row, cut_us=7, **({"limits": None} | BROKEN[name])))
    await put(scene.store, foreign("sk-foreign-5555555555"))
    await scene.poll()
    known = scene.table.keys[row.id]
    assert (known.state, known.cut_us, known.limits, known.secrets) == ("disabled", 7, None, before.secrets)
    assert [key.state for id, key in scene.table.keys.items() if id != row.id] == ["active", "active"]
    assert "cannot be read and counts as disabled" in scene.log.texts("error")

    ledger: Ledger = scene.ledger
    assert (await ledger.change_key(row.id, KeyPatch(name="b"), "ops")).limits_rest == BROKEN[name].get("limits_rest")
    assert scene.table.keys[row.id].state == "disabled"
    mended = await ledger.change_key(row.id, KeyPatch(limits=None), "ops")
    assert (mended.limits, mended.limits_rest) == (None, None)
    assert scene.table.keys[row.id].state == "active"


async def test_a_team_whose_limits_cannot_be_read_is_disabled(node: Node) -> None:
    scene = node()
    await put(scene.store, team("team0", limits=Limits(tokens="many")))
    await scene.start()
    assert scene.table.teams["team0"].state == "disabled"


async def test_kinds_of_a_later_release_stay_beside_what_is_changed(scene: Scene, ledger: Ledger) -> None:
    rest = '{"burst":3,"reserve":"p95"}'
    row = foreign("sk-foreign-0123456789", limits=Limits(requests="5/s"), limits_rest=rest)
    await put(scene.store, row)
    await scene.poll()
    patch = LimitsPatch(requests="6/s", reserve="cap", away="closed")
    changed = await ledger.change_key(row.id, KeyPatch(limits=patch), "ops")
    assert (changed.limits, changed.limits_rest) == (
        Limits(requests="6/s", reserve="cap", away="closed"),
        '{"burst":3}',
    )
    assert scene.table.keys[row.id].state == "active"
    (change, *_) = await scene.store.changes(row.id, None, 9)
    assert change.after is not None
    assert change.after["limits"] == {"burst": 3, "requests": "6/s", "reserve": "cap", "away": "closed"}


async def test_a_restart_keeps_closed_what_could_not_be_read(node: Node) -> None:
    first = node()
    row = foreign("sk-foreign-0123456789", limits_rest='{"reserve":"p95"}')
    await put(first.store, row)
    await first.start()
    await first.stop()
    first.store.away = True
    second = node()
    await second.start()
    assert second.table.keys[row.id].state == "disabled"


async def test_a_team_has_nothing_to_lift(ledger: Ledger) -> None:
    with pytest.raises(Invalid, match=r"limits\.tokens: none lifts limits\.default for a key"):
        await ledger.create_team(NewTeam(name="t", limits=Limits(tokens="none")), "ops")
    made = await ledger.create_team(NewTeam(name="t"), "ops")
    with pytest.raises(Invalid, match=r"limits\.concurrent: none lifts"):
        await ledger.change_team(made.id, TeamPatch(limits=LimitsPatch(concurrent="none")), "ops")
