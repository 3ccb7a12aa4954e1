"""However much is wrong, it is told in bounds, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import pytest

from penstock.keys.problem import HINTS, LISTED, FieldProblem, Invalid
from penstock.keys.service import Ledger, unpublished
from penstock.keys.takeover import Imported
from penstock.keys.wishes import ForeignKey, KeyPatch, NewKey, decode
from tests.unit.keys.scene import Scene


class NoModel:
    """Knows no model, and counts who wants to hear what may be meant."""

    def __init__(self) -> None:
        self.hinted: list[bool] = []

    def problem(self, pattern: str, hint: bool = True) -> str | None:
        self.hinted.append(hint)
        return f"{pattern} leads to no model"


@pytest.fixture
def names() -> NoModel:
    return NoModel()


@pytest.fixture
def ledger(scene: Scene, names: NoModel) -> Ledger:
    return Ledger(scene.store, unpublished, names, scene.ledger._hasher)


@pytest.fixture
async def scene(node: Callable[..., Scene]) -> Scene:
    made = node()
    await made.start()
    return made


def foreign(number: int, models: tuple[str, ...] = ()) -> ForeignKey:
    return ForeignKey(name="a", sha256=hashlib.sha256(b"%d" % number).hexdigest(), models=models)


def test_of_many_problems_the_first_are_told_and_how_many_more() -> None:
    few, many = ([FieldProblem(f"f{number}", "is wrong") for number in range(count)] for count in (LISTED, 1000))
    assert Invalid(few).problems == few
    told = Invalid(many).problems
    assert told[:LISTED] == many[:LISTED]
    assert told[LISTED:] == [FieldProblem("", f"{1000 - LISTED} more problems; mend these first")]


async def test_only_the_first_unknown_models_of_a_key_come_with_a_hint(ledger: Ledger, names: NoModel) -> None:
    wanted = tuple(f"m{number}" for number in range(HINTS + 5))
    with pytest.raises(Invalid) as error:
        await ledger.create_key(NewKey(name="a", models=wanted), "ops")
    assert len(error.value.problems) == HINTS + 5
    assert names.hinted == [True] * HINTS + [False] * 5


async def test_only_the_first_unknown_models_of_an_import_come_with_a_hint(ledger: Ledger, names: NoModel) -> None:
    done = await ledger.import_keys([foreign(number, ("x", "y")) for number in range(HINTS)], "ops")
    assert len(done.refused) == HINTS
    assert names.hinted == [True] * HINTS + [False] * HINTS


async def test_others_have_their_turn_while_an_import_is_checked(ledger: Ledger) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(others())
    done: Imported = await ledger.import_keys([foreign(number, ("x",)) for number in range(50)], "ops")
    waiting.cancel()
    assert len(done.refused) == 50
    assert turns >= 50


def test_only_the_first_unknown_fields_come_with_a_hint() -> None:
    with pytest.raises(Invalid) as error:
        decode(KeyPatch, {f"nam{number}": 1 for number in range(HINTS + 5)})
    assert [("did you mean" in each.message) for each in error.value.problems] == [True] * HINTS + [False] * 5
