"""Which part of a TFLite graph XNNPACK, LiteRT's CPU delegate, turns to channels first.

Its sparse kernels take one channel after the other (NCHW), TFLite one pixel after the other
(NHWC). Clusters of operators that have both forms are turned, from a convolution that reads NHWC
and writes NCHW on. Source: xnn_subgraph_rewrite_for_nchw in src/subgraph.c of XNNPACK, as it was in
2026. Its flaws are modelled too: some of them make results wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.variants.network import Array

# entry: from NHWC to NCHW. inner: NCHW only. reduce: from NCHW to either. exit: back to NHWC.
Role = Literal["entry", "inner", "reduce", "exit"]
Result = Literal["flat", "kept", "wrong"]
WRITERS, READERS = ("entry", "inner", "reduce"), ("inner", "reduce", "exit")
FLATTENING = ("RESHAPE", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Step:
    """One operator as XNNPACK sees it; a padding with zeros is part of the convolution after it."""

    name: str
    operator: str
    role: Role | None
    reads: tuple[str, ...]  # tensors that are no constants
    writes: tuple[str, ...]
    lacks: str = ""  # of no role: why
    weight: Array | None = None  # of a 1x1 convolution with a role
    # Of a reduction, its result: [N, C], [N, 1, 1, C], or axes that end in the wrong order.
    result: Result = "flat"

    def __str__(self) -> str:
        """Return what messages call it."""
        return f"'{self.name}' ({self.operator})"


@dataclass(frozen=True)
class Layout:
    """What becomes of a graph."""

    clusters: tuple[tuple[Step, ...], ...]  # that could be turned, if they have enough zeros
    sparse: tuple[Step, ...]  # 1x1 convolutions that run in sparse kernels
    # Read NCHW and take it for NHWC: results are wrong, or LiteRT fails to load the file.
    broken: tuple[Step, ...]
    left: tuple[str, ...]  # why operators that could be turned stay as they are


def layout(steps: Sequence[Step], outputs: Collection[str], outside: Collection[str]) -> Layout:
    """Turn the clusters that have enough zeros.

    `steps` come in an order in which they can run; `outside` are tensors, the network's outputs
    among them, that other operators than XNNPACK's may read.
    """
    clusters, left = _clusters(steps, outside)
    turned = [step for cluster in clusters if _enough(cluster) for step in cluster]
    first = {name for step in turned if step.role in READERS for name in step.reads}
    readers = [step for step in turned if step.role in READERS]
    broken = [step for step in readers if not _sound(step, first, steps, outputs)]
    sparse = [step for step in readers if step.weight is not None and step not in broken]
    return Layout(tuple(clusters), tuple(sparse), tuple(broken), tuple(left))


def zeros(steps: Sequence[Step]) -> tuple[int, int]:
    """Return how many weights of the 1x1 convolutions are zero, and how many there are."""
    weights = [step.weight for step in steps if step.weight is not None]
    return sum(int(np.sum(weight == 0)) for weight in weights), sum(w.size for w in weights)


def _enough(steps: Sequence[Step]) -> bool:
    empty, size = zeros(steps)
    return 3 * empty > 2 * size


def _clusters(
    steps: Sequence[Step], outside: Collection[str]
) -> tuple[list[tuple[Step, ...]], list[str]]:
    """Join operators with those that they read from; returns the clusters that can be turned.

    Nothing is turned where no reduction or exit reads from a cluster. Also returns why operators
    stay as they are.
    """
    joining = _Joining(steps, outside)
    changed = joining.visit(("reduce", "exit"))
    if not changed:
        return [], joining.left
    while changed:
        changed = joining.visit(READERS)
    found = defaultdict(list)
    for at, step in enumerate(steps):
        found[joining.leader[at]].append(step)
    spoiled = {joining.leader[at] for at in joining.apart}
    whole = [tuple(group) for top, group in found.items() if top not in spoiled]
    kept, shared = _self_contained(whole, steps)
    return [group for group in kept if zeros(group)[1]], [*joining.left, *shared]


class _Joining:
    """Operators on their way into clusters: each knows the leader of its own."""

    def __init__(self, steps: Sequence[Step], outside: Collection[str]) -> None:
        self.steps, self.outside = steps, outside
        self.maker = {name: at for at, step in enumerate(steps) for name in step.writes}
        self.leader = list(range(len(steps)))
        self.apart: set[int] = set()  # spoil the cluster that they are in
        self.left: list[str] = []

    def visit(self, roles: Collection[str]) -> bool:
        """Join all operators of these roles with their sources; returns whether any was new."""
        before = list(self.leader)
        for at, step in enumerate(self.steps):
            if step.role in roles and at not in self.apart:
                for name in step.reads:
                    self._join(at, name)
        return self.leader != before

    def _join(self, at: int, name: str) -> None:
        source = self.maker.get(name)
        why = _unfit(name, None if source is None else self.steps[source], self.outside)
        if why or source is None or source in self.apart:
            self.apart.add(at)
            self.left += [f"{self.steps[at]} reads {why}"] if why else []
            return
        self.leader[source] = self.leader[at] = max(self.leader[source], self.leader[at])


def _unfit(name: str, source: Step | None, outside: Collection[str]) -> str:
    """Say why a tensor cannot come in NCHW; empty if it can."""
    if source is None:
        return f"'{name}', an input of the network"
    if source.role not in WRITERS:
        return f"what {source} writes, which {source.lacks or 'gives NHWC'}"
    return f"'{name}', which is read elsewhere too" if name in outside else ""


def _self_contained(
    groups: Sequence[tuple[Step, ...]], steps: Sequence[Step]
) -> tuple[list[tuple[Step, ...]], list[str]]:
    """Drop the clusters of which other operators read an inner tensor too."""
    total = Counter(name for step in steps for name in step.reads)
    readers = [step for group in groups for step in group if step.role in READERS]
    within = Counter(name for step in readers for name in step.reads)
    kept, left = [], []
    for group in groups:
        names = [name for step in group if step.role in READERS for name in step.reads]
        shared = [name for name in names if within[name] != total[name]]
        left += [f"'{name}' is read by other operators too" for name in shared[:1]]
        kept += [] if shared else [group]
    return kept, left


def _sound(
    step: Step, first: Collection[str], steps: Sequence[Step], outputs: Collection[str]
) -> bool:
    """Whether what reads NCHW also takes it for that."""
    written = step.writes[0]
    if step.role == "inner":
        return written in first
    if step.role != "reduce" or step.result == "flat":
        return True
    flattened = written not in outputs and all(
        reader.operator in FLATTENING for reader in steps if written in reader.reads
    )
    return step.result == "kept" and (written in first or flattened)
