"""How many units each family loses, so that the total is exact and the rest runs fast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from harness.variants.channels.coupling import Family

# Runtimes compute channels in blocks of 8 or 16, and take slow ways for what is left over. Of 40%
# of the channels of a keyword spotter with layers of 64 channels, removed in ONNX Runtime 1.31 on
# AVX-512: 38 and 39 stay, 2.1x slower than dense; 32 and 40 stay, 2.3x faster.
# A block is no more than a quarter of its family, so that no share is far from the one asked for.
BLOCKS = ((128, 16), (32, 8), (16, 4))  # channels of a family, from which on -> block


@dataclass(frozen=True)
class Room:
    """What a family may lose."""

    size: int  # its units
    limit: int  # the most that may go
    block: int = 1  # the units that stay are a multiple of this, as far as possible
    depthwise: bool = False  # among its layers is one: these suffer most from uneven numbers

    def next(self, count: int) -> int:
        """Return the next number to take above `count` that leaves whole blocks."""
        return self.size - (self.size - count - 1) // self.block * self.block


def room(family: Family, limit: int) -> Room:
    """Return what a family may lose, `limit` units at most."""
    size = len(family.units)
    block = next((block for least, block in BLOCKS if size * family.width >= least), 1)
    depthwise = any(layer.kind == "depthwise" for layer in family.layers)
    return Room(size, limit, block // math.gcd(block, family.width), depthwise)


def share_out(rooms: Sequence[Room], goal: int) -> list[int]:
    """Divide `goal` in proportion to the sizes, in whole blocks as far as they go.

    What a limit cuts off is divided among the others. `goal` is at most the sum of the limits.
    """
    exact = _proportional(rooms, goal)
    counts = [0] * len(rooms)
    for i, one in enumerate(rooms):
        while (following := one.next(counts[i])) <= one.limit and following <= exact[i]:
            counts[i] = following
    return complete(rooms, counts, exact, goal)


def complete(
    rooms: Sequence[Room], counts: Sequence[int], exact: Sequence[Fraction | int], goal: int
) -> list[int]:
    """Add to `counts` what they lack of `goal`: whole blocks, and the rest to a single family.

    Each goes where the share of the family is then least above its `exact` one.
    """
    counts = list(counts)

    def excess(i: int, count: int) -> Fraction:
        return Fraction(count - exact[i]) / rooms[i].size

    while left := goal - sum(counts):
        following = {
            i: one.next(counts[i])
            for i, one in enumerate(rooms)
            if one.next(counts[i]) <= min(one.limit, counts[i] + left)
        }
        if not following:
            break
        best = min(following, key=lambda i: excess(i, following[i]))
        counts[best] = following[best]
    for i in sorted(
        range(len(rooms)), key=lambda i: (rooms[i].depthwise, excess(i, counts[i] + left))
    ):
        counts[i] += min(rooms[i].limit - counts[i], goal - sum(counts))
    return counts


def _proportional(rooms: Sequence[Room], goal: int) -> list[Fraction]:
    """Divide `goal` in proportion to the sizes, not above the limits."""
    limited: set[int] = set()
    while True:
        left = goal - sum(rooms[i].limit for i in limited)
        whole = sum(one.size for i, one in enumerate(rooms) if i not in limited)
        exact = [
            Fraction(one.limit) if i in limited else Fraction(left * one.size, whole)
            for i, one in enumerate(rooms)
        ]
        over = {i for i, one in enumerate(rooms) if exact[i] > one.limit}
        if not over:
            return exact
        limited |= over
