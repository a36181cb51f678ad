"""The order of a launch: balanced, mirrored, repeatable."""

from __future__ import annotations

from typing import List

from hypothesis import given
from hypothesis import strategies as st

from agents import schedule

CELLS = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=6, unique=True)
BLOCKS = st.integers(1, 20)


@given(CELLS, BLOCKS, st.text())
def test_every_cell_is_spawned_once_and_measured_in_as_many_blocks(
    cells: List[str], blocks: int, seed: str
) -> None:
    order = schedule.order(cells, 2 * blocks, seed)
    assert sorted(order.spawn) == sorted(order.warmup) == sorted(cells)
    assert [order.blocks.count(cell) for cell in cells] == [2 * blocks] * len(cells)


@given(CELLS, BLOCKS, st.text())
def test_blocks_come_as_permutation_and_mirror_image(
    cells: List[str], blocks: int, seed: str
) -> None:
    sequence = schedule.order(cells, 2 * blocks, seed).blocks
    size = len(cells)
    for at in range(0, len(sequence), 2 * size):
        assert sequence[at : at + size] == sequence[at + size : at + 2 * size][::-1]


@given(CELLS, BLOCKS, st.text())
def test_linear_drift_falls_on_all_cells_alike(cells: List[str], blocks: int, seed: str) -> None:
    sequence = schedule.order(cells, 2 * blocks, seed).blocks
    mean_position = {
        cell: sum(at for at, other in enumerate(sequence) if other == cell) / (2 * blocks)
        for cell in cells
    }
    assert max(mean_position.values()) - min(mean_position.values()) < 1e-9


@given(CELLS, BLOCKS, st.text())
def test_a_seed_gives_the_same_order_again(cells: List[str], blocks: int, seed: str) -> None:
    assert schedule.order(cells, blocks, seed) == schedule.order(cells, blocks, seed)


@given(CELLS, st.integers(0, 20), st.text())
def test_in_turn_every_cell_is_done_before_the_next_begins(
    cells: List[str], blocks: int, seed: str
) -> None:
    order = schedule.in_turn(cells, blocks, seed)
    assert sorted(order.spawn) == sorted(cells)
    assert order.blocks == [cell for cell in order.spawn for _ in range(blocks)]


def test_orders_differ_between_launches() -> None:
    cells = ["a", "b", "c", "d"]
    spawned = {tuple(schedule.order(cells, 2, "seed/%d" % launch).spawn) for launch in range(40)}
    assert len(spawned) > 10
