"""The release before the newest migration runs on the schema that it makes, beside the release that brings it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from penstock.keys.model import Key, Team
from penstock.limits.policy import Limits
from penstock.store.migrate import FOLDER, read_migrations
from penstock.store.open import make_records, make_store
from penstock.store.records import Watermark
from penstock.store.sql import SqlStore
from tests.support.postgres import Postgres
from tests.support.store_handles import Handles
from tests.support.store_rules import RULES
from tests.support.store_rules.rows import change, key, put

ROOT = Path(__file__).parents[3]
CHILD = ROOT / "tests/support/older_release.py"
NEWEST = read_migrations(FOLDER / "sqlite")[-1].name
LIMITS = Limits(requests=("600/min", "10000/day"), concurrent=5, queue="2s")
Store = tuple[str, str]


def git(*arguments: str) -> bytes:
    program = shutil.which("git")
    if program is None or not (ROOT / ".git").exists():
        pytest.skip("the history of the code is not here")
    return subprocess.run([program, "-C", str(ROOT), *arguments], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the commit before the newest migration came."""
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        pytest.skip("the history of the code is cut off")
    file = f"python/penstock/store/migrations/sqlite/{NEWEST}.sql"
    added = git("log", "--diff-filter=A", "--format=%H", "--", file).split()
    before = f"{added[-1].decode()}^" if added else "HEAD"
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=BytesIO(git("archive", before, "python", "tests"))) as archive:
        archive.extractall(folder, filter="data")
    assert not (folder / file).exists()
    return folder


def run_older(older: Path, given: str) -> str:
    """What the child prints."""
    path = os.pathsep.join([str(older / "python"), str(older)])
    child = subprocess.run(
        [sys.executable, "-P", str(CHILD)],
        input=given,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        cwd=older,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


async def migrate(data_dir: str) -> None:
    """Makes our schema."""
    async with Handles(lambda: make_store("sqlite", data_dir)) as handles:
        await handles.make()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Makes empty stores with our schema."""
    count = iter(range(1_000))
    if request.param == "sqlite":

        def one() -> Store:
            folder = tmp_path / str(next(count))
            folder.mkdir()
            (folder / "penstock.sqlite").write_bytes(template)
            return "sqlite", str(folder)

        asyncio.run(migrate(str(tmp_path)))
        template = (tmp_path / "penstock.sqlite").read_bytes()
        yield one
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    migrated: str = request.getfixturevalue("migrated")
    names: list[str] = []

    def database() -> Store:
        names.append(postgres.create(migrated))
        return postgres.url(names[-1]), ""

    yield database
    for name in names:
        postgres.drop(name)


@pytest.mark.timeout(240)
async def test_the_older_release_keeps_its_rules_and_what_it_does_not_know(
    fresh: Callable[[], Store], older: Path
) -> None:
    mixed = fresh()
    async with Handles(lambda: make_store(*mixed)) as handles:
        store = await handles.make()
        team = await put(store, Team(id="t", name="a team", limits=LIMITS, content=False))
        await put(store, key("k1", team=team.id, limits=LIMITS, content=False))
        await put(store, key("k2"))
        await put(store, key("k3", name="gone", limits=LIMITS, content=False))
        await put(store, Team(id="t3", name="gone", limits=LIMITS, content=False))
        await store.record(change(team, action="limits.reset"))

        assert isinstance(store, SqlStore)
        records = make_records(mixed[0], store)
        mark = Watermark(instance="one", segment=1, offset=2, sequence=3, hash=b"h", day=4)
        assert await records.ship(None, None, mark)

        given = json.dumps({"urls": [fresh() for _ in RULES], "mixed": mixed, "subject": team.id})
        assert int(await asyncio.to_thread(run_older, older, given)) > 20

        assert await records.watermarks(["one"]) == {"one": mark}
        await records.close()
        first, second, changed = await store.get(Key, "k1"), await store.get(Key, "k2"), await store.get(Team, "t")
        again, pool = await store.get(Key, "k3"), await store.get(Team, "t3")
        assert again is not None
        assert pool is not None
        assert (again.name, again.limits, pool.name, pool.limits) == ("gone", LIMITS, "gone", LIMITS)
        assert (again.content, pool.content) == (False, False)
        assert first is not None
        assert second is not None
        assert changed is not None
        assert (first.name, first.limits) == ("name of k1 again", LIMITS)
        assert second.limits is None
        assert (changed.name, changed.limits) == ("a team again", LIMITS)
        assert (first.content, second.content, changed.content) == (False, True, False)
