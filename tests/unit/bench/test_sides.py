"""How a side of the comparison starts."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench import rows
from bench.machine import BenchError
from bench.sides import PORTS_TRIED, Governed, Many, Nginx, Penstock, Side


@dataclass
class Scripted(Side):
    """A side whose launches fail with these words, one each; after them it starts."""

    failures: list[str] = field(default_factory=list)
    launches: int = 0

    def launch(self) -> None:
        self.launches += 1
        if self.failures:
            raise BenchError(self.failures.pop(0))

    def first_answer(self, deadline: float) -> None:
        """Answered at once."""


def side(at: Path, *failures: str) -> Scripted:
    return Scripted("scripted", mock=None, directory=at, failures=list(failures))  # type: ignore[arg-type]


def test_a_port_that_was_taken_meanwhile_is_tried_again_with_another_one(tmp_path: Path) -> None:
    started = side(tmp_path, "bind() failed (98: Address already in use)")
    started.start()
    assert started.launches == 2
    started.stop()


def test_ports_that_are_always_taken_are_an_error(tmp_path: Path) -> None:
    started = side(tmp_path, *["Address already in use"] * PORTS_TRIED)
    with pytest.raises(BenchError, match="in use"):
        started.start()
    assert started.launches == PORTS_TRIED
    started.stop()


def test_streams_whose_usage_is_not_stated_have_a_cell_and_a_model_of_their_own(tmp_path: Path) -> None:
    stated, unstated, _ = rows.streams(1.0, 2)
    governed = Governed("penstock_governed", mock=None, directory=tmp_path)  # type: ignore[arg-type]
    governed.model_tls, governed.model_unstated = "bench-tls", "bench-unstated"
    assert [cell.model(governed) for cell in (stated, unstated)] == ["bench", "bench-unstated"]
    sides = [governed, *(kind("any", None, tmp_path) for kind in (Nginx, Penstock, Many))]  # type: ignore[arg-type]
    assert [set(rows.rows_of(unstated, each)) for each in sides] == [
        {"governed_unstated"},
        {"governed_unstated"},
        set(),
        set(),
    ]


def test_rows_that_compare_two_of_ours_have_the_spread_of_nginx_in_their_cell(tmp_path: Path) -> None:
    """How far a machine's noise takes nginx from itself is no less there."""
    nginx = Nginx("nginx", None, tmp_path)  # type: ignore[arg-type]
    latency, flow = rows.latency(1.0)[0], rows.flow(1.0, 1)[0]
    assert {"keys_p50", "limits_p99", "shared_p50", "governed_p50"} <= set(rows.rows_of(latency, nginx))
    assert {"keys_cpu", "limits_cpu", "shared_cpu", "governed_cpu"} <= set(rows.rows_of(flow, nginx))


def test_any_other_failure_is_said_at_once(tmp_path: Path) -> None:
    started = side(tmp_path, "unknown directive")
    with pytest.raises(BenchError, match="unknown directive"):
        started.start()
    assert started.launches == 1
    started.stop()
