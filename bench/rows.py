"""What is measured: each cell is one run of the driver and gives one value to each of its rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bench.machine import BenchError
from bench.sides import Governed, Limited, Many, Nginx, Refusing, Shared, Side
from bench.sides import Result as Result

Options = dict[str, str]
Driver = Callable[[str, Options], Result]

KIB, MIB = 1024, 1024 * 1024
SIZES = {"1 KB": KIB, "32 KB": 32 * KIB, "1 MB": MIB}


@dataclass(frozen=True)
class Cell:
    """One run of the driver against one side."""

    variant: str
    mode: str
    options: Options
    rows: dict[str, Callable[[Result], float]]
    tls: bool = False
    floor: bool = True  # worth running without a proxy too
    keyed: dict[str, Callable[[Result], float]] = field(default_factory=dict)  # rows that are about keys
    limited: dict[str, Callable[[Result], float]] = field(default_factory=dict)  # rows that are about limits
    shared: dict[str, Callable[[Result], float]] = field(default_factory=dict)  # rows about limits that are shared
    governed: dict[str, Callable[[Result], float]] = field(default_factory=dict)  # rows about all of it together
    refused: dict[str, Callable[[Result], float]] = field(default_factory=dict)  # rows about nothing but refusals

    @property
    def families(self) -> set[str]:
        """The kinds of rows that it gives values to."""
        return {*self.rows, *self.keyed, *self.limited, *self.shared, *self.governed, *self.refused}

    def address(self, side: Side) -> str:
        """Where to drive; empty when the side has no such upstream."""
        return side.tls if self.tls else side.plain

    def model(self, side: Side) -> str:
        """The model that leads the side to the right upstream."""
        return side.model_tls if self.tls else "bench"


@dataclass
class Values:
    """Values of one row: side → one value a round, in order."""

    family: str
    variant: str
    by_side: dict[str, list[float]] = field(default_factory=dict)
    void: str = ""

    @property
    def name(self) -> str:
        """How results and messages call the row."""
        return f"{self.family}[{self.variant}]"


class Table:
    """All rows, in the order they were first met."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Values] = {}

    def row(self, family: str, variant: str) -> Values:
        """The row, made when first asked for."""
        return self.rows.setdefault((family, variant), Values(family, variant))

    def add(self, family: str, variant: str, side: str, value: float) -> None:
        """One more round's value."""
        self.row(family, variant).by_side.setdefault(side, []).append(value)

    def void(self, families: Iterable[str], why: object) -> None:
        """These kinds of rows are worth nothing."""
        for family in families:
            self.row(family, "").void = str(why)


def at(*path: str, scale: float = 1.0) -> Callable[[Result], float]:
    """Reads a number out of the driver's result."""

    def read(result: Result) -> float:
        value: Any = result
        for name in path:
            value = value[name] if value is not None else None
        if value is None:
            raise BenchError(f"the driver measured no {'.'.join(path)}")
        return float(value) * scale

    return read


ADDED = {"added_p50": at("added_us", "p50"), "added_p99": at("added_us", "p99")}
FLOW = {"cpu_request": at("cpu_us_per_request"), "requests": at("requests_per_s")}
STREAMS = {
    "cpu_chunk": at("cpu_us_per_chunk"),
    "first_p99": at("first_us", "p99"),
    "relay_p50": at("relay_us", "p50"),
    "relay_p99": at("relay_us", "p99"),
}
KEYED_ADDED = {"keys_p50": ADDED["added_p50"], "keys_p99": ADDED["added_p99"]}
KEYED_FLOW = {"keys_cpu": FLOW["cpu_request"]}
KEYED_STREAMS = {"keys_chunk": STREAMS["cpu_chunk"]}
LIMITED_ADDED = {"limits_p50": ADDED["added_p50"], "limits_p99": ADDED["added_p99"]}
LIMITED_FLOW = {"limits_cpu": FLOW["cpu_request"]}
LIMITED_STREAMS = {"limits_chunk": STREAMS["cpu_chunk"]}
SHARED_ADDED = {"shared_p50": ADDED["added_p50"], "shared_p99": ADDED["added_p99"]}
SHARED_FLOW = {"shared_cpu": FLOW["cpu_request"]}
GOVERNED_ADDED = {"governed_p50": ADDED["added_p50"], "governed_p99": ADDED["added_p99"]}
GOVERNED_FLOW = {"governed_cpu": FLOW["cpu_request"], "governed_requests": FLOW["requests"]}
GOVERNED_STREAMS = {"governed_chunk": STREAMS["cpu_chunk"], "governed_first": STREAMS["first_p99"]}
REFUSED = {"refused_cpu": FLOW["cpu_request"]}
OPEN = {"open_p99": at("added_us", "p99", scale=1e-3)}
IDLE = {
    "idle": at("pss_kib_before", scale=1 / 1024),
    "per_connection": at("kib_per_connection"),
    "all_in": at("pss_kib_held", scale=1 / 1024),
}
HELD = {"per_stream": at("kib_per_connection")}


def latency(seconds: float) -> list[Cell]:
    """One connection a side, in slices: answers of each size, requests of the large ones; plain and TLS upstream."""
    cells = []
    for tls in (False, True):
        upstream = "TLS" if tls else "plain"
        for label, size in SIZES.items():
            options = {"seconds": str(seconds), "answer-bytes": str(size)}
            cell = Cell(f"{label} answer, {upstream}", "duel", options, ADDED, tls)
            if size == KIB and not tls:
                cell = replace(
                    cell, keyed=KEYED_ADDED, limited=LIMITED_ADDED, shared=SHARED_ADDED, governed=GOVERNED_ADDED
                )
            cells.append(cell)
        for label, size in list(SIZES.items())[1:]:
            options = {"seconds": str(seconds), "request-bytes": str(size)}
            cells.append(Cell(f"{label} request, {upstream}", "duel", options, ADDED, tls))
    return cells


def flow(seconds: float, threads: int) -> list[Cell]:
    """32 connections, as fast as they can."""
    options = {"connections": "32", "seconds": str(seconds), "threads": str(threads)}
    plain = Cell("1 KB, plain", "closed", options, FLOW, floor=False)
    return [
        replace(plain, keyed=KEYED_FLOW, limited=LIMITED_FLOW, shared=SHARED_FLOW, governed=GOVERNED_FLOW),
        Cell("1 KB, TLS", "closed", options, FLOW, tls=True, floor=False),
        Cell("", "closed", options | {"refused": "429"}, {}, floor=False, refused=REFUSED),
    ]


def streams(seconds: float, chunks: int) -> list[Cell]:
    """200 streams, a frame every 20 ms each."""
    options = {"connections": "200", "seconds": str(seconds), "chunks": str(chunks), "pace-ms": "20"}
    return [
        Cell(
            "plain",
            "streams",
            options,
            STREAMS,
            keyed=KEYED_STREAMS,
            limited=LIMITED_STREAMS,
            governed=GOVERNED_STREAMS,
        ),
        Cell("TLS", "streams", options, STREAMS, tls=True),
    ]


def paced(seconds: float) -> list[Cell]:
    """500 requests a second, whatever the answers do."""
    return [Cell("1 KB, plain", "open", {"rate": "500", "seconds": str(seconds)}, OPEN)]


def idle(connections: int) -> Cell:
    """Keep-alive connections, each answered once, then idle; for a fresh instance."""
    return Cell("", "idle", {"connections": str(connections)}, IDLE, floor=False)


def held(connections: int) -> Cell:
    """Streams that are open and slow; for a fresh instance."""
    options = {"connections": str(connections), "chunks": "6", "pace-ms": "500"}
    return Cell("", "held", options, HELD, floor=False)


def run(cell: Cell, sides: list[Side], drive: Driver, table: Table) -> None:
    """Runs the cell against the sides in this order; an error voids its rows for the whole run."""
    able = [side for side in sides if cell.address(side) and (cell.floor or side.process is not None)]
    able = [side for side in able if rows_of(cell, side)]
    try:
        if cell.mode == "duel":
            targets = ",".join("=".join(target(cell, side)) for side in able)
            results = drive(cell.mode, {"targets": targets, **cell.options})
            for side in able:
                side.settle()
                take(cell, side, results[side.name], table)
            return
        for side in able:
            options = {"target": cell.address(side), "model": cell.model(side), "pids": ",".join(map(str, side.pids()))}
            options |= {"key": side.key} if side.key else {}
            take(cell, side, side.run(partial(drive, cell.mode, options | cell.options)), table)
    except BenchError as error:
        for family in cell.families:
            table.row(family, cell.variant).void = str(error)


def target(cell: Cell, side: Side) -> list[str]:
    """A side as a duel takes it."""
    return [side.name, cell.address(side), cell.model(side), *([side.key] if side.key else [])]


def take(cell: Cell, side: Side, result: Result, table: Table) -> None:
    """Adds one result to the rows; where there is no process, there is no CPU to speak of."""
    for family, read in rows_of(cell, side).items():
        if side.process is not None or not family.startswith("cpu_"):
            try:
                table.add(family, cell.variant, side.name, read(result))
            except BenchError as error:
                raise BenchError(f"{side.name}: {error}") from None


def rows_of(cell: Cell, side: Side) -> dict[str, Callable[[Result], float]]:
    """Rows to which a side has something to say: the ones with many keys only to those that are about them."""
    if isinstance(side, Refusing):
        return cell.refused
    if isinstance(side, Shared):
        return cell.shared
    if isinstance(side, Governed):
        return cell.governed
    if isinstance(side, Nginx):
        return cell.rows | cell.governed
    if isinstance(side, Limited):
        return cell.limited
    if isinstance(side, Many):
        return cell.keyed | cell.limited | cell.shared
    return cell.rows | (cell.keyed if side.process is not None else {})
