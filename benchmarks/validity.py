"""Gates decided on this machine, again and again: how often they are wrong, and what they cost.

    make bench NAME=validity N=300

Everything is measured in the run itself, by the agent's own code: fresh workers that run a small
convolutional network in ONNX Runtime, interleaved. A gate is a sequence of launches of its own,
`max: 1.01` on the ratio of p50, ended where `reports/sequential.py` decides it. N is the number of
gates on two cells of the very same model; the other numbers follow from it. The kinds of gates come
in random order, so that the hours of the day hit all of them.

- Slower models have layers really added. How many make +1, +3, +5 and +10% is fitted in the run;
  how slow a model then is, is estimated from all of its calm launches: those made for that alone
  and those of its gates.
- Coverage: how often the 95% interval at the stop holds the truth: 1 for identical models, that
  estimate for slower ones.
- Under hogs: busy loops on all cores start and stop at random times while a gate is measured.
- The naive way, from the same launches: 50 samples of the baseline, then 50 of the next launch's
  candidate. `naive_aa_rate` is that of the method with the fewest false alarms.

EFFORT=standard or thorough chooses the looks, HOURS bounds the whole (no gate is begun after it),
KEEP=FOLDER keeps the launches for benchmarks/replay.py. After an interrupt the figures are those
of the gates that were finished.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from agents import launch, wire
from benchmarks.trials import figures, gates, network
from benchmarks.trials.gates import HOGS, LIMIT, METRIC, SAME, TARGETS, Findings, Gate, Launch
from benchmarks.trials.hogs import hogs
from harness.plan import EFFORTS
from reports import stats
from reports.estimate import Estimate
from reports.sequential import Rule, ratio_rule
from reports.verdicts import LOOKS
from tests.contract.workshop import Workshop

SEED = 11
RUNTIME = "onnxruntime"
DEFAULT_GATES = 12
# Layers of the model that tells what one costs: some +10%, so that the noise is small beside it.
PILOT = 40
# Launches of it: until its share of added time is known within 5% of itself, or so many.
PILOT_LAUNCHES = range(6, 61)
PILOT_PRECISION = 0.05
# When hogs end that nobody ended.
HOG_LIMIT_S = 1800.0
# Gates of each kind, as a share of those on identical models.
SHARES = {
    "slow1": 1 / 10,
    "slow3": 1 / 3,
    "slow5": 2 / 3,
    "slow10": 1 / 10,
    HOGS + SAME: 1 / 6,
    HOGS + "slow5": 1 / 6,
}


@dataclass(frozen=True)
class Setting:
    """How much is measured."""

    gates: int
    effort: str
    hours: float
    keep: Path | None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Setting:
        """Read N, EFFORT, HOURS and KEEP; ends the program when one makes no sense."""
        effort = environment.get("EFFORT") or "standard"
        if effort not in ("standard", "thorough"):
            sys.exit(f"EFFORT is standard or thorough, not {effort}")
        count = number(environment, "N", DEFAULT_GATES)
        if count != int(count):
            sys.exit(f"N is a whole number, not {count}")
        keep = environment.get("KEEP")
        hours = number(environment, "HOURS", 24)
        return cls(int(count), effort, hours, Path(keep) if keep else None)

    @property
    def rule(self) -> Rule:
        """The rule of every gate."""
        return ratio_rule(LIMIT, METRIC, LOOKS[self.effort])


class Laboratory:
    """Models on this machine as on a device, launched beside the baseline."""

    def __init__(self, root: Path, timing: wire.Timing) -> None:
        self.root = root
        self.timing = timing
        self.shop = Workshop(root / "device")
        self.cells: dict[str, wire.Cell] = {}
        self.seeds = itertools.count(SEED)

    def add(self, name: str, extra: int = 0) -> None:
        """Put a model with some added layers on the device."""
        path = network.save(self.root / f"{name}.onnx", extra)
        self.cells[name] = self.shop.cell(path, RUNTIME)

    def launches(self, model: str) -> Generator[Launch, None, None]:
        """Launches of a model beside the baseline, without end, in an order of their own."""
        pair = [self.cells["baseline"], self.cells[model]]
        job = self.shop.job(pair, timing=self.timing, seed=next(self.seeds), evaluations=[])
        bench = self.shop.bench(job)
        try:
            for ordinal in itertools.count():
                with self.shop.supervising():
                    event = launch.run(bench, job["groups"][0], ordinal, {})
                yield Launch.of(event)
        finally:
            shutil.rmtree(bench.folder)

    def take(self, model: str, count: int) -> list[Launch]:
        """Some launches; when none of them gives samples, something here is broken."""
        with closing(self.launches(model)) as endless:
            taken = list(itertools.islice(endless, count))
        if len(gates.ratios(taken)) < 2:
            sys.exit(f"launches of {model} beside the baseline gave no samples")
        return taken

    def gate(self, kind: str, rule: Rule) -> Gate:
        """Measure one gate to its end."""
        model = kind.removeprefix(HOGS)
        disturbed = nullcontext() if model == kind else hogs(next(self.seeds), HOG_LIMIT_S)
        with disturbed, closing(self.launches(model)) as endless:
            return gates.decided(kind, endless, rule)


def number(environment: Mapping[str, str], name: str, default: float) -> float:
    """A positive number from the environment; ends the program when it is none."""
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        sys.exit(f"{name} is a positive number, not {text}")
    return value


def trials(count: int) -> dict[str, int]:
    """How many gates of each kind."""
    return {SAME: count} | {kind: max(1, round(count * share)) for kind, share in SHARES.items()}


def shuffled(counts: Mapping[str, int]) -> list[str]:
    """Every gate's kind, in random order."""
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    random.Random(SEED).shuffle(kinds)
    return kinds


def pilot_ratio(endless: Iterator[Launch]) -> Estimate:
    """How slow the pilot is; by ranks, which a disturbed launch does not upset."""
    taken: list[Launch] = []
    for launches in PILOT_LAUNCHES:
        taken += itertools.islice(endless, launches - len(taken))
        found = stats.signed_rank_ratio(gates.ratios(taken))
        if found.value is not None and found.interval is not None:
            low, high = found.interval
            if (high - low) / 2 <= PILOT_PRECISION * (found.value - 1):
                break
    return found


def layers_for(ratio: float) -> dict[str, int]:
    """How many layers make each slower model, if each costs as much as one of the pilot's."""
    each = (ratio - 1) / PILOT
    if each <= 0:
        sys.exit(f"{PILOT} added layers made no difference: x {ratio:.4f}")
    return {model: max(1, round(target / each)) for model, target in TARGETS.items()}


def calibrate(laboratory: Laboratory, count: int, found: Findings) -> None:
    """Make the slower models, and measure how slow they are."""
    for name, extra in (("baseline", 0), (SAME, 0), ("pilot", PILOT)):
        laboratory.add(name, extra)
    with closing(laboratory.launches("pilot")) as endless:
        pilot = pilot_ratio(endless)
    say(f"{PILOT} added layers: x {figures.shown(pilot)}")
    found.layers = layers_for(pilot.value or 0.0)
    for model, extra in found.layers.items():
        laboratory.add(model, extra)
        found.apart[model] = laboratory.take(model, min(60, 2 + count // 5))
        say(f"{model}: {extra} added layers: x {figures.shown(found.truth(model))}")


def measure(laboratory: Laboratory, setting: Setting, found: Findings) -> bool:
    """Fill in the findings; whether the time was enough for all."""
    end = time.monotonic() + setting.hours * 3600
    calibrate(laboratory, setting.gates, found)
    kinds = shuffled(trials(setting.gates))
    begun = time.monotonic()
    for done, kind in enumerate(kinds, start=1):
        if time.monotonic() > end:
            say(f"{setting.hours:g} h are over")
            return False
        found.gates.append(laboratory.gate(kind, setting.rule))
        left = (time.monotonic() - begun) / done * (len(kinds) - done)
        say(f"{done}/{len(kinds)} {figures.told(found.gates[-1])}; {left / 60:.0f} min left")
    return True


def say(line: str) -> None:
    """Tell those who wait."""
    print(line, file=sys.stderr, flush=True)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Take SIGTERM like an interrupt from the keyboard."""
    raise KeyboardInterrupt


def main() -> None:
    """Measure, print the table, and one JSON line last."""
    setting = Setting.read(os.environ)
    signal.signal(signal.SIGTERM, interrupt)
    found, complete, begun = Findings(), False, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as folder:
        try:
            laboratory = Laboratory(Path(folder), EFFORTS[setting.effort].timing)
            complete = measure(laboratory, setting, found)
        except KeyboardInterrupt:
            say("interrupted: these are the gates that were finished")
    if setting.keep:
        gates.keep(found, setting.keep)
    table = figures.rates(found)
    print("\n".join(figures.lines(found, table)))
    run = {"n": setting.gates, "effort": setting.effort, "complete": complete}
    run["wall_seconds"] = round(time.monotonic() - begun)
    print(json.dumps(figures.summary(found, table) | run | figures.details(found, table)))
    if not complete:
        sys.exit(1)


if __name__ == "__main__":
    main()
