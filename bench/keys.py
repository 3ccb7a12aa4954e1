"""Stores full of keys for the benchmark, written straight into the product's own schema.

100,000 calls of the admin API would take longer than all measurements, so rows are made here by the product's own
statements; the key that the driver uses is made by `penstock keys create`, as everybody's is.
"""

import asyncio
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from msgspec.structs import replace

from bench.machine import ROOT, BenchError
from penstock.keys.argon2id import HASH_BYTES, OWASP, SALT_BYTES, Blocks, Encoded
from penstock.keys.hashing import THREADS
from penstock.keys.model import Key, Secret, Team
from penstock.keys.secret import new_id, new_key_text, own_id
from penstock.store import statements
from penstock.store.open import FILE, SQLITE, make_store
from penstock.store.rows import SHAPES

MANY = 100_000
TEAMS = 100
# Hashing a thousand secrets takes as long as checking them does: they are kept from one run to the next.
KEPT = ROOT / "target" / "bench-keys.json"
# One sequence for ids, so that who needs some of a store's need not read it.
_SEED = 4


@dataclass(frozen=True)
class Hashed:
    """A whole key, as its holder has it, and what the store has of it."""

    text: str
    hash: str

    def __repr__(self) -> str:
        return "Hashed()"


def fill(data_dir: Path, keys: Iterable[Key]) -> None:
    """Makes the SQLite store of a `data_dir` that has none yet, with these keys and the teams that they may name."""
    data_dir.mkdir(mode=0o700, parents=True)

    async def make() -> None:
        store = make_store(SQLITE, str(data_dir))
        await store.open(migrate=True)
        await store.close()

    asyncio.run(make())
    with closing(sqlite3.connect(data_dir / FILE)) as database, database:
        rows: Iterator[Key | Team] = chain(_teams(), keys)
        version = 0
        for version, row in enumerate(rows, 1):
            shape = SHAPES[type(row)]
            database.execute(_put[shape.table], _named(shape.write(replace(row, version=version), None)))
            for secret in row.secrets if isinstance(row, Key) else ():
                values = (row.id, secret.generation, secret.hash, secret.until_us)
                database.execute(statements.ADD_HASH, _named(values))
        database.execute("UPDATE penstock_state SET version = ?", (version,))


_put = {shape.table: statements.put(shape) for shape in SHAPES.values()}


def _named(values: Iterable[object]) -> dict[str, object]:
    """Values of `$1`, `$2`, … as sqlite3 takes them."""
    return {str(place): value for place, value in enumerate(values, 1)}


def _teams() -> Iterator[Team]:
    """Every tenth of them is bound to some models, as teams are."""
    for number in range(TEAMS):
        models = ("bench*", f"model-{number}-*") if number % 10 == 0 else None
        yield Team(id=_team(number), name=f"team {number}", models=models, created_us=_now_us())


def _team(number: int) -> str:
    return f"team{number:08}"


def strangers(count: int) -> Iterator[Key]:
    """Keys whose secrets nobody has: their hashes are of the right form and of nothing."""
    chance = random.Random(_SEED + 1)
    for number, id in enumerate(islice(ids(), count)):
        salt, digest = chance.randbytes(SALT_BYTES), chance.randbytes(HASH_BYTES)
        yield _key(id, number, str(Encoded(OWASP, salt, digest)))


def ids() -> Iterator[str]:
    """The ids of `strangers`, in order and without end."""
    chance = random.Random(_SEED)
    while True:
        yield new_id(chance.choice)


def holders(hashed: Iterable[Hashed]) -> Iterator[Key]:
    """Keys whose secrets we have."""
    for number, each in enumerate(hashed):
        id = own_id(each.text)
        assert id is not None
        yield _key(id, number, each.hash)


def _key(id: str, number: int, hash: str) -> Key:
    return Key(
        id=id,
        name=f"service {number}",
        team=_team(number % TEAMS),
        owner=f"owner-{number % 1000}@example.com",
        tags={"stage": "live"},
        created_us=_now_us(),
        secrets=(Secret(generation=1, hash=hash),),
    )


def hashed(count: int, kept: Path = KEPT) -> list[Hashed]:
    """Keys with the hashes that the product would store, from an earlier run if it made enough of them."""
    if kept.exists():
        made = [Hashed(*each) for each in json.loads(kept.read_text())]
        if len(made) >= count:
            return made[:count]
    blocks = Blocks()

    def make(_: int) -> Hashed:
        text = new_key_text().text
        return Hashed(text, blocks.hash(text.encode(), OWASP))

    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(make, range(count)))
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch(mode=0o600)
    kept.write_text(json.dumps([(each.text, each.hash) for each in made]))
    return made


def wrong(known: list[str], count: int, seed: int) -> Iterator[str]:
    """Whole keys with right checksums, each another: in turn of an id that no store has, and of one of `known`."""
    chance = random.Random(f"wrong {seed}")
    for number in range(count):
        id = known[number // 2 % len(known)] if number % 2 else None
        yield new_key_text(id, chance.choice).text


def create(config: str, directory: Path) -> str:
    """A key made on the store of a configuration, as people make one; its text."""
    command = [sys.executable, "-m", "penstock", "keys", "create", "-c", config, "--name", "bench", "--json"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"penstock keys create: {done.stderr.strip()}")
    text: str = json.loads(done.stdout)["key"]
    return text


class Stock:
    """Filled stores by size, each made once and copied from then on."""

    def __init__(self, at: Path) -> None:
        self._at = at

    def copy(self, count: int, data_dir: Path) -> None:
        """A store with so many keys of strangers, for a `data_dir` that is not there yet."""
        kept = self._at / f"keys-{count}"
        if not kept.exists():
            fill(kept, strangers(count))
        shutil.copytree(kept, data_dir)


def _now_us() -> int:
    return time.time_ns() // 1000
