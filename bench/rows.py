"""What is measured: each cell is one run of the driver and gives one value to each of its rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.machine import BenchError
from bench.sides import Governed, Limited, Many, Nginx, Refusing, Shared, Side
from bench.sides import Result as Result

Options = dict[str, str]
Driver = Callable[[str, Options], Result]
Rows = dict[str, Callable[[Result], float]]
"""What of a result is the value of each family of rows."""

BARE = "bare"
GOVERNED = ("keys", "limits", "shared", "governed")
TOPICS = (*GOVERNED, "refused")
"""What a family of rows is about is how its name begins; the others compare bare proxies."""

KIB, MIB = 1024, 1024 * 1024
SIZES = {"1 KB": KIB, "32 KB": 32 * KIB, "1 MB": MIB}


@dataclass(frozen=True)
class Cell:
    """One run of the driver against one side."""

    variant: str
    mode: str
    options: Options
    rows: Rows
    tls: bool = False
    unstated: bool = False  # the upstream is not asked for the usage of its streams
    floor: bool = True  # worth running without a proxy too

    def address(self, side: Side) -> str:
        """Where to drive; empty when the side has no such upstream."""
        return side.tls if self.tls else side.plain

    def model(self, side: Side) -> str:
        """The model that leads the side to the right upstream."""
        if self.unstated:
            return side.model_unstated
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
ADDED_GOVERNED = {f"{topic}_{of}": ADDED[f"added_{of}"] for topic in GOVERNED for of in ("p50", "p99")}
FLOW_GOVERNED = {f"{topic}_cpu": FLOW["cpu_request"] for topic in GOVERNED} | {"governed_requests": FLOW["requests"]}
STREAMS_GOVERNED = {
    **{f"{topic}_chunk": STREAMS["cpu_chunk"] for topic in ("keys", "limits", "governed")},
    "governed_first": STREAMS["first_p99"],
}
STREAMS_UNSTATED = {"governed_unstated": STREAMS["cpu_chunk"]}
REFUSED = {"refused_cpu": FLOW["cpu_request"]}
OPEN = {name: at("added_us", "p99", scale=1e-3) for name in ("open_p99", "governed_open")}
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
            rows = ADDED | ADDED_GOVERNED if size == KIB and not tls else ADDED
            cells.append(Cell(f"{label} answer, {upstream}", "duel", options, rows, tls))
        for label, size in list(SIZES.items())[1:]:
            options = {"seconds": str(seconds), "request-bytes": str(size)}
            cells.append(Cell(f"{label} request, {upstream}", "duel", options, ADDED, tls))
    return cells


def flow(seconds: float, threads: int) -> list[Cell]:
    """32 connections, as fast as they can."""
    options = {"connections": "32", "seconds": str(seconds), "threads": str(threads)}
    return [
        Cell("1 KB, plain", "closed", options, FLOW | FLOW_GOVERNED, floor=False),
        Cell("1 KB, TLS", "closed", options, FLOW, tls=True, floor=False),
        Cell("", "closed", options | {"refused": "429"}, REFUSED, floor=False),
    ]


def streams(seconds: float, chunks: int) -> list[Cell]:
    """200 streams, a frame every 20 ms each."""
    options = {"connections": "200", "seconds": str(seconds), "chunks": str(chunks), "pace-ms": "20"}
    return [
        Cell("plain", "streams", options, STREAMS | STREAMS_GOVERNED),
        Cell("plain", "streams", options, STREAMS_UNSTATED, unstated=True, floor=False),
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
        for family in cell.rows:
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


def rows_of(cell: Cell, side: Side) -> Rows:
    """Rows to which a side has something to say."""
    return about(cell, topics_of(side))


def about(cell: Cell, topics: set[str]) -> Rows:
    """Its rows that are about one of these."""
    return {family: read for family, read in cell.rows.items() if topic_of(family) in topics}


def topic_of(family: str) -> str:
    """What rows are about."""
    begin = family.partition("_")[0]
    return begin if begin in TOPICS else BARE


def topics_of(side: Side) -> set[str]:
    """What a side is measured for: the ones with many keys, say, only for what is about these."""
    match side:
        case Refusing():
            return {"refused"}
        case Shared():
            return {"shared"}
        case Governed():
            return {"governed"}
        case Nginx():
            return {BARE, *GOVERNED}  # how far it is from itself is the spread of every row of a cell
        case Limited():
            return {"limits"}
        case Many():
            return {"keys", "limits", "shared"}
    return {BARE} if side.process is None else {BARE, "keys"}
