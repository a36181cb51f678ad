"""The order of things in a launch: seeded, balanced, and so repeatable from the job alone."""

from __future__ import annotations

import random
from typing import List, NamedTuple, Sequence


class Order(NamedTuple):
    """Cells in the order in which they are spawned, warmed up and measured block by block."""

    spawn: List[str]
    warmup: List[str]
    blocks: List[str]


def order(cells: Sequence[str], blocks: int, seed: str) -> Order:
    """Draw an order: blocks come as random permutations, each followed by its reverse.

    The mirrored pair (ABBA for two cells) cancels linear drift between cells.
    """
    generator = random.Random(seed)
    return Order(
        shuffled(cells, generator),
        shuffled(cells, generator),
        mirrored(cells, blocks, generator),
    )


def in_turn(cells: Sequence[str], blocks: int, seed: str) -> Order:
    """Draw an order in which each cell is alone, from its start to its last block."""
    spawn = shuffled(cells, random.Random(seed))
    return Order(spawn, spawn, [cell for cell in spawn for _ in range(blocks)])


def shuffled(cells: Sequence[str], generator: random.Random) -> List[str]:
    """Return a random permutation."""
    return generator.sample(list(cells), len(cells))


def mirrored(cells: Sequence[str], blocks: int, generator: random.Random) -> List[str]:
    """Return each cell `blocks` times, as permutation and mirror image in turn."""
    sequence: List[str] = []
    while len(sequence) < blocks * len(cells):
        permutation = shuffled(cells, generator)
        sequence += permutation + permutation[::-1]
    return sequence[: blocks * len(cells)]
