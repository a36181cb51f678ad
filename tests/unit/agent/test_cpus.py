"""Which cores a cell is pinned to, on made-up machines."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import cpus


def machine(root: Path, cores: List[List[int]], fast: str = "") -> str:
    """Lay out /sys/devices of a machine whose cores have these CPUs."""
    for core in cores:
        for cpu in core:
            folder = root / "system" / "cpu" / ("cpu%d" % cpu) / "topology"
            folder.mkdir(parents=True)
            (folder / "thread_siblings_list").write_text(",".join(map(str, core)) + "\n")
    if fast:
        (root / "cpu_core").mkdir()
        (root / "cpu_core" / "cpus").write_text(fast + "\n")
    return str(root)


@given(st.sets(st.integers(0, 200), min_size=1))
def test_the_kernels_list_format_is_read_back(wanted: "set[int]") -> None:
    text = ",".join("%d-%d" % (cpu, cpu) if cpu % 2 else str(cpu) for cpu in sorted(wanted))
    assert cpus.parse_list(text) == sorted(wanted)


@pytest.mark.parametrize(("text", "expected"), [("0-3,8", [0, 1, 2, 3, 8]), ("", []), ("5\n", [5])])
def test_lists(text: str, expected: List[int]) -> None:
    assert cpus.parse_list(text) == expected


def test_whole_cores_before_siblings(tmp_path: Path) -> None:
    root = machine(tmp_path, [[0, 1], [2, 3]])
    assert cpus.choose(1, range(4), root) == [2]
    assert cpus.choose(2, range(4), root) == [0, 2]
    assert cpus.choose(3, range(4), root) == [0, 2, 3]


def test_a_hybrid_processor_measures_on_its_fast_cores(tmp_path: Path) -> None:
    root = machine(tmp_path, [[0, 1], [2, 3], [4], [5], [6], [7]], fast="0-3")
    assert cpus.choose(2, range(8), root) == [0, 2]


def test_cores_that_are_not_allowed_are_left_alone(tmp_path: Path) -> None:
    root = machine(tmp_path, [[0], [1], [2], [3]])
    assert cpus.choose(2, [0, 1], root) == [0, 1]


def test_too_few_cores_come_back_as_fewer(tmp_path: Path) -> None:
    assert cpus.choose(5, [0, 1], machine(tmp_path, [[0], [1]])) == [0, 1]


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert cpus.choose(2, [0, 1, 2], str(tmp_path)) == [1, 2]


def test_a_hybrid_processor_gives_its_slow_cores_last(tmp_path: Path) -> None:
    root = machine(tmp_path, [[0, 1], [2, 3], [4], [5], [6], [7]], fast="0-3")
    assert cpus.choose(6, range(8), root) == [0, 1, 2, 3, 6, 7]
    assert len(cpus.choose(9, range(8), root)) == 8
