"""Which units go: the least important ones of each family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from harness.errors import InputError
from harness.variants.channels import counts
from harness.variants.channels.coupling import Family
from harness.variants.channels.importance import Score
from harness.variants.network import Indices

# Where units compete over the whole network, a family keeps at least this share: an emptied one
# cuts the network in two, whatever the norm of its weights.
SMALLEST_REST = 0.1


def select(
    families: Sequence[Family],
    positions: Mapping[str, Mapping[int, Indices]],
    importance: Score,
    sparsity: float,
    scope: Literal["local", "global"],
) -> list[Indices]:
    """Choose the units of each family that go: of all together, the share `sparsity`, rounded.

    local: as near to the same share of each family as whole blocks allow (see `counts`); global:
    the blocks that matter least, measured by the mean of their family. Raises InputError if the
    share cannot be reached.
    """
    goal = math.floor(sparsity * sum(len(family.units) for family in families) + 0.5)
    candidates = _candidates(families, _needed(families, positions, importance), importance)
    if scope == "global":
        rest = [math.ceil(SMALLEST_REST * len(family.units)) for family in families]
        candidates = [
            units[: max(0, len(family.units) - least)]
            for units, family, least in zip(candidates, families, rest, strict=True)
        ]
    rooms = [
        counts.room(family, len(units)) for family, units in zip(families, candidates, strict=True)
    ]
    _check(goal, sparsity, families, sum(one.limit for one in rooms), scope)
    if scope == "global":
        relative = [
            importance[units] / (importance[family.units].mean() or 1.0)
            for family, units in zip(families, candidates, strict=True)
        ]
        chosen = _ranked(rooms, relative, goal)
    else:
        chosen = counts.share_out(rooms, goal)
    return [units[:count] for units, count in zip(candidates, chosen, strict=True)]


def _candidates(families: Sequence[Family], needed: set[int], importance: Score) -> list[Indices]:
    """List the units of each family that may go, the least important first."""
    found = []
    for family in families:
        units = family.units[~np.isin(family.units, list(needed))]
        found.append(units[np.argsort(importance[units], kind="stable")])
    return found


def _needed(
    families: Sequence[Family],
    positions: Mapping[str, Mapping[int, Indices]],
    importance: Score,
) -> set[int]:
    """Return units that must stay so that no axis of any tensor becomes empty."""
    at_stake = {int(unit) for family in families for unit in family.units}
    axes = {frozenset(units.tolist()) for cut in positions.values() for units in cut.values()}
    needed: set[int] = set()
    for axis in sorted((sorted(axis) for axis in axes if axis <= at_stake), key=len):
        if needed.isdisjoint(axis):
            needed.add(max(axis, key=lambda unit: importance[unit]))
    return needed


def _ranked(rooms: Sequence[counts.Room], relative: Sequence[Score], goal: int) -> list[int]:
    """Count how many candidates of each family are in the blocks that matter least of all."""
    blocks = []
    for i, one in enumerate(rooms):
        start = 0
        while (end := one.next(start)) <= one.limit:
            blocks.append((float(relative[i][start:end].mean()), i, start, end))
            start = end
    chosen = [0] * len(rooms)
    for _, i, start, end in sorted(blocks):
        if sum(chosen) + end - start > goal:
            break
        chosen[i] = end
    return counts.complete(rooms, chosen, chosen, goal)


def _check(goal: int, sparsity: float, families: Sequence[Family], most: int, scope: str) -> None:
    what = "heads" if families[0].heads else "channels"
    count = sum(len(family.units) for family in families)
    if goal == 0:
        raise InputError(
            f"sparsity {sparsity:g} of {count} {what} is less than one",
            where="prune",
            next_step=f"write a sparsity of {math.ceil(500 / count) / 1000:g} or more",
        )
    if goal > most:
        least = "a tenth" if scope == "global" else "one"
        raise InputError(
            f"sparsity {sparsity:g} takes {goal} of {count} {what}, and only {most} can go: "
            f"{least} of each family stays",
            where="prune",
            next_step=f"write a sparsity of {math.floor(1000 * most / count) / 1000:g} or less",
        )
