"""A data_dir that is lost takes no budget with it: limits go on from what the store knows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.kinds import CHAT
from tests.support.postgres import Postgres
from tests.support.scene import ask, config_of
from tests.support.script import answer
from tests.support.shipped import requests
from tests.support.upstream import Upstream
from tests.support.wait import until

pytestmark = pytest.mark.postgres
MARK = "limits.incomplete"
COST_NANOUSD = 2_000_000
"""Of each answer: two tokens of completion."""
BUDGET = {"budget": ["1000 usd/day", "1000 usd/month", "1000 usd/24h"], "requests": ["100000/min", "100000/day"]}


@pytest.fixture
def settings(upstream: Upstream, postgres: Postgres, database: str) -> dict[str, Any]:
    upstream.always(answer(CHAT.whole))
    models = {name: BUDGET for name in ("m", "wide-*")}
    limits = {"models": models, "global": BUDGET, "default": BUDGET, "providers": {"up": BUDGET}}
    plain = config_of(upstream, store=postgres.url(database))
    plain["models"]["wide-*"] = {"targets": [{"provider": "up"}]}
    return plain | {"prices": {"*": {"input": 0, "output": 1_000}}, "limits": limits}


PLACES = ("model/m", "model/wide-%2a", "global", "provider/up")


def spent(gateway: Gateway, place: str) -> list[int]:
    """Of the requests of a minute and a day, of the budgets of a day, a month and 24 hours."""
    shown = gateway.ask("GET", f"/admin/v1/limits/{place}")
    assert shown.status == 200, shown.body
    return [each["used"] for each in shown.json()["limits"]]


def ship_three(gateway: Gateway) -> None:
    for _ in range(3):
        assert ask(gateway, CHAT, False, "m").status == 200
    until(lambda: len(requests(gateway)) == 3, "the store has them")


def wipe(gateway: Gateway) -> None:
    gateway.kill()
    shutil.rmtree(gateway.config["data_dir"])


def test_after_the_disk_was_lost_a_budget_is_what_the_store_has_records_of(
    tmp_path: Path, settings: dict[str, Any], upstream: Upstream
) -> None:
    with Gateway(tmp_path, settings) as gateway:
        for model in ("m", "m", "m", "wide-1", "wide-2"):
            assert ask(gateway, CHAT, False, model).status == 200
        assert ask(gateway, CHAT, False, "nothing").status == 404
        until(lambda: len(requests(gateway)) == 6, "the store has them")
        before = {place: spent(gateway, place) for place in PLACES}
        assert before["model/m"] == [3, 3, *[3 * COST_NANOUSD] * 3]
        for _ in range(2):
            wipe(gateway)
            gateway.start()
            until(lambda: spent(gateway, "global")[-1] > 0, "the store was asked")
            for place in PLACES:
                assert spent(gateway, place) == [0, *before[place][1:]], f"{place}: all but the window of a minute"
        assert ask(gateway, CHAT, False, "m").status == 200
        assert spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD
        until(lambda: len(requests(gateway)) == 7, "records are shipped again", seconds=15)
        gateway.stop()
        gateway.start()
        assert spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD, "nothing twice"
        gateway.kill()
        mark = Path(gateway.config["data_dir"], MARK)
        mark.touch()  # as if it had been killed before it could say that this was done
        gateway.start()
        until(lambda: not mark.exists(), "it was done before", seconds=20)
        assert spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD


def test_what_native_cannot_write_is_told_again_by_the_next_process_and_nothing_is_shipped_before(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with Gateway(tmp_path, settings) as gateway:
        ship_three(gateway)
        wipe(gateway)
        data_dir = Path(gateway.config["data_dir"])
        in_the_way = data_dir / "limits.new"
        data_dir.mkdir(mode=0o700)
        in_the_way.mkdir()
        gateway.checked = False  # the log tells of the disk that refuses
        gateway.start()
        until(lambda: spent(gateway, "model/m")[-1] == 3 * COST_NANOUSD, "the store was asked")
        assert ask(gateway, CHAT, False, "m").status == 200
        gateway.stop()
        assert (data_dir / MARK).exists()
        assert not (data_dir / "limits").exists()
        assert len(requests(gateway)) == 3
        in_the_way.rmdir()
        gateway.start()
        until(lambda: spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD, "the store was asked again")
        until(lambda: len(requests(gateway)) == 4, "that is written, and so records are shipped", seconds=20)
        assert not (data_dir / MARK).exists()
        assert spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD


def test_nothing_is_shipped_while_the_mark_cannot_be_removed(tmp_path: Path, settings: dict[str, Any]) -> None:
    with Gateway(tmp_path, settings) as gateway:
        ship_three(gateway)
        wipe(gateway)
        mark = Path(gateway.config["data_dir"], MARK)
        mark.mkdir(mode=0o700, parents=True)
        mark.parent.chmod(0o700)
        gateway.checked = False  # the log tells of it
        gateway.start()
        until(lambda: "can be removed" in gateway.log(), "it was told, and that is written", seconds=20)
        assert ask(gateway, CHAT, False, "m").status == 200
        gateway.stop()
        assert len(requests(gateway)) == 3
        gateway.start()
        until(lambda: gateway.log().count("can be removed") == 2, "the next one comes to that, too", seconds=20)
        assert len(requests(gateway)) == 3
        mark.rmdir()
        until(lambda: len(requests(gateway)) == 4, "now it is shipped", seconds=20)
        assert spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD, "nothing twice"


def test_where_the_store_knew_nothing_a_later_process_does_not_ask_again(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with Gateway(tmp_path, settings) as gateway:
        ship_three(gateway)
        gateway.stop()
        mark = Path(gateway.config["data_dir"], MARK)
        assert not mark.exists()
        mark.touch()  # as if a cut of power had brought it back
        gateway.start()
        until(lambda: not mark.exists(), "that is in the file of counts", seconds=20)
        assert spent(gateway, "model/m")[-1] == 3 * COST_NANOUSD, "nothing twice"
        assert "data_dir is new" not in gateway.log()


def test_while_the_store_is_away_that_waits_and_nothing_is_counted_twice(
    tmp_path: Path, settings: dict[str, Any], postgres: Postgres
) -> None:
    with Gateway(tmp_path, settings | {"journal": {"durability": "flush"}}) as gateway:
        ship_three(gateway)
        wipe(gateway)
        postgres.stop()
        try:
            gateway.start()
            assert ask(gateway, CHAT, False, "m").status == 200
            assert spent(gateway, "model/m")[-1] == COST_NANOUSD
            gateway.kill()
            gateway.start()
            assert spent(gateway, "model/m")[-1] == COST_NANOUSD
        finally:
            postgres.start()
        until(lambda: spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD, "the store was asked", seconds=30)
        until(lambda: len(requests(gateway)) == 4, "records are shipped again", seconds=15)
        assert spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD


def test_a_process_that_ends_before_the_store_answers_leaves_it_to_the_next_one(
    tmp_path: Path, settings: dict[str, Any], postgres: Postgres
) -> None:
    with Gateway(tmp_path, settings) as gateway:
        ship_three(gateway)
        wipe(gateway)
        postgres.stop()
        try:
            gateway.start()
            assert ask(gateway, CHAT, False, "m").status == 200
            gateway.stop()
        finally:
            postgres.start()
        data_dir = Path(gateway.config["data_dir"])
        assert (data_dir / MARK).exists()
        assert (data_dir / "limits").exists()
        gateway.start()
        until(lambda: spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD, "the store was asked", seconds=30)
        until(lambda: len(requests(gateway)) == 4, "what it left is shipped", seconds=15)
        assert not (data_dir / MARK).exists()
        gateway.stop()
        gateway.start()
        assert spent(gateway, "model/m")[-1] == 4 * COST_NANOUSD, "nothing twice"


def test_of_two_processes_on_a_new_data_dir_one_is_told(tmp_path: Path, settings: dict[str, Any]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        place.mkdir()
    with Gateway(first, settings) as gateway:
        ship_three(gateway)
        wipe(gateway)
        gateway.start()
        with Gateway(second, settings | {"data_dir": gateway.config["data_dir"]}) as other:
            until(lambda: spent(gateway, "model/m")[-1] == 3 * COST_NANOUSD, "the store was asked")
            assert ask(other, CHAT, False, "m").status == 200
            assert len(requests(gateway)) == 3, "nothing is shipped yet"
            until(lambda: len(requests(gateway)) == 4, "both ship once that is done", seconds=20)
            assert spent(gateway, "model/m")[-1] == 3 * COST_NANOUSD
            told = "data_dir is new"
            assert (told in gateway.log(), told in other.log()) == (True, False)
