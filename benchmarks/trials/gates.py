"""Gates and the launches that they were decided by."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import wire
from reports import stats
from reports.estimate import Estimate
from reports.sequential import Decision, Rule, decide

METRIC = "p50"
LIMIT = 1.01
# The kinds of gates: identical models, models slower by so much, and the same under hogs.
SAME = "aa"
TARGETS = {"slow1": 0.01, "slow3": 0.03, "slow5": 0.05, "slow10": 0.10}
HOGS = "hogs_"

Blocks = NDArray[np.int32]


@dataclass(frozen=True)
class Launch:
    """One launch of a baseline and a candidate."""

    sides: tuple[Blocks, Blocks]  # [block, sample] ns of the baseline and of the candidate
    switches: tuple[Blocks, Blocks]  # involuntary context switches of each of these samples
    began: float
    seconds: float
    interleaved: bool

    @classmethod
    def of(cls, event: wire.LaunchEvent) -> Launch:
        """Take what is needed out of the agent's journal line; a cell that failed has no blocks."""
        none: list[list[int]] = [[]]
        times = [cell["blocks"] if cell["status"] == "ok" else none for cell in event["cells"]]
        first, second = (np.asarray(blocks, dtype=np.int32) for blocks in times)
        lost = [counted(*pair) for pair in zip((first, second), event["cells"], strict=True)]
        switches = (lost[0], lost[1])
        sides = (first, second)
        return cls(sides, switches, event["started"], event["seconds"], event["interleaved"])

    def samples(self, side: int) -> stats.Samples:
        """The samples that the statistics take, ms."""
        return stats.kept_samples(self.sides[side].tolist())

    @cached_property
    def log_ratio(self) -> float | None:
        """log(candidate / baseline); null when one side has too few samples."""
        return stats.log_ratio(self.samples(1), self.samples(0), METRIC)


def counted(times: Blocks, cell: wire.CellLaunch) -> Blocks:
    """The involuntary switches of each sample."""
    rows = cell["noise"]["preempted"] if cell["noise"] else []
    return np.asarray(stats.switches_by_block(times.tolist(), rows), dtype=np.int32)


@dataclass(frozen=True)
class Gate:
    """One finished gate."""

    kind: str
    decision: Decision
    launches: tuple[Launch, ...]

    @property
    def verdict(self) -> str:
        """What the gate said; one that lacks launches has proven nothing."""
        said = self.decision.verdict
        return "inconclusive" if said == "continue" else said

    @property
    def seconds(self) -> float:
        """Board time."""
        return sum(taken.seconds for taken in self.launches)


@dataclass
class Findings:
    """What has been measured so far."""

    layers: dict[str, int] = field(default_factory=dict)  # added to each slower model
    apart: dict[str, list[Launch]] = field(default_factory=dict)  # launches that no gate saw
    gates: list[Gate] = field(default_factory=list)

    def of(self, *kinds: str) -> list[Gate]:
        """The gates of some kinds."""
        return [gate for gate in self.gates if gate.kind in kinds]

    def calm(self, model: str) -> list[Launch]:
        """All launches of a model but those under hogs."""
        inside = (taken for gate in self.of(model) for taken in gate.launches)
        return [*self.apart.get(model, []), *inside]

    def truth(self, model: str) -> Estimate:
        """How slow a model really is."""
        return stats.t_ratio(ratios(self.calm(model)))


def decided(kind: str, endless: Iterator[Launch], rule: Rule) -> Gate:
    """Take launches until they decide a gate, or there have been as many as it may take."""
    taken: list[Launch] = []
    decision = decide([], rule)
    while decision.verdict == "continue" and len(taken) < rule.looks[-1]:
        taken.append(next(endless))
        decision = decide(ratios(taken), rule)
    return Gate(kind, decision, tuple(taken))


def ratios(launches: Iterable[Launch]) -> list[float]:
    """Log ratios of the launches that have one."""
    return [taken.log_ratio for taken in launches if taken.log_ratio is not None]


def keep(found: Findings, folder: Path) -> None:
    """Write the launches of each kind of gate as benchmarks/replay.py reads them.

    Only traces of identical models lie in the folder itself; those of slower ones have their own.
    """
    slower = folder / "slower"
    slower.mkdir(parents=True, exist_ok=True)
    for kind in sorted({gate.kind for gate in found.gates}):
        gates = [one for one in found.of(kind) if ratios(one.launches)]
        if gates:
            place = folder if kind.removeprefix(HOGS) == SAME else slower
            np.savez_compressed(place / f"{kind}.npz", allow_pickle=False, **trace(gates))


def trace(gates: Sequence[Gate]) -> dict[str, NDArray[Any]]:
    """Arrays [launch, block, sample] of both sides, and which gate each launch was of.

    A block may hold a sample more in one launch than in another: all are cut to the shortest.
    """
    numbered = [(at, taken) for at, gate in enumerate(gates) for taken in gate.launches]
    usable = [(at, taken) for at, taken in numbered if taken.log_ratio is not None]
    launches = [taken for _, taken in usable]
    shapes = [side.shape for taken in launches for side in taken.sides]
    blocks, width = (min(sizes) for sizes in itertools.islice(zip(*shapes, strict=True), 2))
    arrays: dict[str, NDArray[Any]] = {
        "gate": np.asarray([at for at, _ in usable]),
        "launch_begin_s": np.asarray([taken.began for taken in launches]),
        "launch_end_s": np.asarray([taken.began + taken.seconds for taken in launches]),
    }
    for at, side in enumerate("AB"):
        for name, kept in (("wall_ns", "sides"), ("nivcsw", "switches")):
            blocks_of = [getattr(taken, kept)[at][:blocks, :width] for taken in launches]
            arrays[f"{side}_{name}"] = np.stack(blocks_of)
    return arrays
