"""What keys in great numbers do: 100,000 in the store, 5,000 wrong ones a second, 1,000 that nobody has shown yet; and
one key whose limits are shared."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from bench import keys, machine, rows
from bench.load import Mock
from bench.machine import BenchError
from bench.rows import Driver, Result, Table
from bench.sides import Keyed, Many, Shared
from penstock.keys.hashing import threads_on

# By the name of the side whom budgets.toml judges.
SIDE = "penstock_keys"
STARTS = {"keys_start", "keys_memory"}
STORM = {"storm_p99", "storm_past", "storm_refused", "storm_alone"}
COLD = {"cold_seconds", "cold_p99", "cold_past", "cold_memory", "cold_after", "cold_alone"}
# A start takes seconds here: fewer rounds of it than of the rest are enough.
START_ROUNDS, COLD_ROUNDS = 3, 3

BUSY = {"shared_commands"}
SHARED_SIDE = "penstock_shared"
BUSY_RATE = 1000

GOOD_RATE, WRONG_RATE = 500, 5000
# Less than this part of the rate was no storm: the driver did not keep up.
ENOUGH = 0.9
# Ids whose secrets are guessed in each second of a storm: more than two threads can look at while it lasts, and few
# enough for a round to come to its end.
GUESSED_PER_S = 134
COLD_KEYS = 1000


def starts(rounds: int, mock: Mock, at: Path, table: Table) -> None:
    """Start-up and memory with many keys beside those with few, which is what a gateway has anyway."""
    for number in range(min(rounds, START_ROUNDS)):
        few = Keyed(SIDE, mock, at / f"few-{number}")
        many = Many(SIDE, mock, at / f"many-{number}")
        try:
            few_s, few_kib = few.start(), _rested(few)
            few.stop()
            first_s, many_kib = many.start(), _rested(many)
            many.stop()
            again_s = many.start()
        except BenchError as error:
            table.void(STARTS, error)
            return
        finally:
            few.stop()
            many.stop()
        table.add("keys_start", "first start", SIDE, first_s - few_s)
        table.add("keys_start", "start again", SIDE, again_s - few_s)
        table.add("keys_memory", "", SIDE, (many_kib - few_kib) * 1024 / keys.MANY)


def _rested(side: Keyed) -> int:
    """Memory once what a start leaves to do is done, in KiB."""
    side.rest()
    return machine.pss_kib(side.pids())


def storm(rounds: int, seconds: float, drive: Driver, mock: Mock, at: Path, table: Table) -> None:
    """Good requests while 5,000 wrong keys a second come, half of them of ids that the gateway knows."""
    side = Many(SIDE, mock, at / "storm")
    ids = keys.ids()
    try:
        side.start()
        side.rest()
        for number in range(rounds):
            # Others each time: whoever guessed an id's secret before has to wait, which spares the gateway work.
            guessed = list(islice(ids, round(GUESSED_PER_S * seconds)))
            path = _write(side.directory / "wrong", keys.wrong(guessed, round(WRONG_RATE * (seconds + 2)), number))
            options = {"keys": path, "rate": str(GOOD_RATE), "wrong-rate": str(WRONG_RATE), "seconds": str(seconds)}
            options |= _beside(mock)
            result = drive("storm", _toward(side) | options)
            if result["refused_per_s"] < ENOUGH * WRONG_RATE:
                raise BenchError(f"storm: the driver showed only {result['refused_per_s']:.0f} wrong keys a second")
            _compare("storm", result, table)
            table.add("storm_refused", "", SIDE, result["refused_per_s"])
    except BenchError as error:
        table.void(STORM, error)
    finally:
        side.stop()


def cold(rounds: int, seconds: float, drive: Driver, mock: Mock, at: Path, table: Table) -> None:
    """A thousand right keys that the gateway has to verify while they ask."""
    made = keys.hashed(COLD_KEYS)
    for number in range(min(rounds, COLD_ROUNDS)):
        side = Keyed(SIDE, mock, at / f"cold-{number}")
        try:
            keys.fill(side.directory / "data", keys.holders(made))
            side.start()
            path = _write(side.directory / "right", (each.text for each in made))
            options = {"keys": path, "rate": str(GOOD_RATE), "seconds": str(seconds)} | _beside(mock)
            result = drive("cold", _toward(side) | options)
            table.add("cold_seconds", "", SIDE, result["seconds"])
            _compare("cold", result, table)
            table.add("cold_memory", "", SIDE, result["pss_kib_peak"] / 1024)
            table.add("cold_after", "", SIDE, result["pss_kib_after"] / 1024)
        except BenchError as error:
            table.void(COLD, error)
        finally:
            side.stop()


def commands(rounds: int, seconds: float, drive: Driver, mock: Mock, at: Path, table: Table) -> None:
    """What one busy key asks of Redis, beside all else that its node does."""
    side = Shared(SHARED_SIDE, mock, at / "commands")
    try:
        side.start()
        side.rest()
        assert side.redis is not None
        for _ in range(rounds):
            before = side.redis.commands()
            drive("open", _toward(side) | {"rate": str(BUSY_RATE), "seconds": str(seconds)})
            asked = side.redis.commands() - before
            table.add("shared_commands", "", SHARED_SIDE, asked / (BUSY_RATE * seconds))
    except BenchError as error:
        table.void(BUSY, error)
    finally:
        side.stop()


def _toward(side: Keyed) -> rows.Options:
    return {"target": side.plain, "key": side.key, "pids": ",".join(map(str, side.pids()))}


def _compare(phase: str, result: Result, table: Table) -> None:
    """The added p99 of one phase and of the calm around it, also of requests that went past the gateway; and that of a
    calm in which no core is busy."""
    for side, name in {"calm": "calm", "calm_again": "calm_again", SIDE: phase}.items():
        table.add(f"{phase}_p99", "", side, rows.at(name, "added_us", "p99")(result))
        table.add(f"{phase}_past", "", side, rows.at(name, "past", "added_us", "p99")(result))
    table.add(f"{phase}_alone", "", SIDE, rows.at("alone", "added_us", "p99")(result))


def _beside(mock: Mock) -> rows.Options:
    """What is there besides: the upstream itself, and in calm as many busy cores as the gateway has threads to hash."""
    return {"past": mock.plain, "hashing": str(threads_on(machine.cores()))}


def _write(path: Path, lines: Iterable[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o600)
    return str(path)
