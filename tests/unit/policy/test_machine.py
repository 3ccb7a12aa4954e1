"""What the container around us gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.policy.machine import GIB, auto_inflight_bytes, cores, memory_bytes


def system(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


def test_the_tightest_cgroup_above_us_holds(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/memory.max": "1000000\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/cpu.max": "max 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n",
        },
    )
    assert memory_bytes(root) == 1_000_000
    assert cores(root) == 2


def test_a_container_sees_its_own_cgroup_as_the_root(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "5\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}
    assert (memory_bytes(system(tmp_path, files)), cores(str(tmp_path))) == (5, 1)


def test_version_1_has_a_directory_for_each_controller(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/x\n",
            "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "7\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert (memory_bytes(root), cores(root)) == (7, 3)


def test_this_machine_has_memory_and_cores() -> None:
    assert memory_bytes() > 1 << 20
    assert cores() >= 1


@pytest.mark.parametrize(
    ("memory", "max_body", "expected"),
    [(16 * GIB, 64 << 20, GIB), (2 * GIB, 64 << 20, GIB // 2), (1 << 20, 64 << 20, 64 << 20), (0, 1, GIB)],
)
def test_bodies_in_flight_take_a_quarter_of_the_memory_within_bounds(memory: int, max_body: int, expected: int) -> None:
    assert auto_inflight_bytes(memory, max_body) == expected
