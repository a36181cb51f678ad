"""Gates decided on this machine, again and again: how often they are wrong, and what they cost.

    make bench NAME=validity N=300

Everything is measured in the run itself, by the agent's own code: fresh workers that run a small
convolutional network in ONNX Runtime, interleaved. A gate is a sequence of launches of its own,
`max: 1.01` on the ratio of p50, ended where `reports/sequential.py` decides it. N is the number of
gates on two cells of the very same model; the other numbers follow from it. The kinds of gates come
in random order, so that the hours of the day hit all of them alike.

- Slower models have layers really added. How many make +1, +3, +5 and +10% is fitted in the run;
  how slow a model then is, is estimated from all of its calm launches: those made for that alone
  and those of its gates.
- Every core is a lane that measures gates of its own, so that the machine is never quiet; LANES
  sets how many. Board time is that of one lane.
- Coverage: how often the 95% interval at the stop holds the truth: 1 for identical models, that
  estimate for slower ones.
- Under hogs: busy loops on the lane's core start and stop at random times while a gate is measured.
  These gates come last, so that all cores have hogs at once.
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
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from benchmarks.trials import figures, gates
from benchmarks.trials.gates import HOGS, LIMIT, METRIC, SAME, TARGETS, Findings
from benchmarks.trials.lanes import Lanes
from harness.errors import DeviceError
from harness.selftest.fit import PILOT, layers_for
from reports import stats
from reports.sequential import Rule, ratio_rule
from reports.verdicts import LOOKS

SEED = 11
FIRST_GATE = 1000  # seeds of gates count from here
DEFAULT_GATES = 12
PILOT_LAUNCHES = 20
# Gates of each kind, as a share of those on identical models.
SHARES = {
    "slow1": 1 / 30,
    "slow3": 1 / 5,
    "slow5": 2 / 3,
    "slow10": 1 / 30,
    HOGS + SAME: 1 / 6,
    HOGS + "slow5": 1 / 6,
}


@dataclass(frozen=True)
class Setting:
    """How much is measured."""

    gates: int
    effort: str
    hours: float
    lanes: int
    keep: Path | None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Setting:
        """Read N, EFFORT, HOURS, LANES and KEEP; ends the program when one makes no sense."""
        effort = environment.get("EFFORT") or "standard"
        if effort not in ("standard", "thorough"):
            sys.exit(f"EFFORT is standard or thorough, not {effort}")
        count = whole(environment, "N", DEFAULT_GATES)
        cores = len(os.sched_getaffinity(0))
        lanes = whole(environment, "LANES", cores)
        if lanes > cores:
            sys.exit(f"LANES is at most the number of cores, {cores}, not {lanes}")
        keep = environment.get("KEEP")
        hours = number(environment, "HOURS", 24)
        return cls(count, effort, hours, lanes, Path(keep) if keep else None)

    @property
    def rule(self) -> Rule:
        """The rule of every gate."""
        return ratio_rule(LIMIT, METRIC, LOOKS[self.effort])


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


def whole(environment: Mapping[str, str], name: str, default: int) -> int:
    """A whole positive number from the environment; ends the program when it is none."""
    value = number(environment, name, default)
    if value != int(value):
        sys.exit(f"{name} is a whole number, not {value}")
    return int(value)


def trials(count: int) -> dict[str, int]:
    """How many gates of each kind."""
    return {SAME: count} | {kind: max(1, round(count * share)) for kind, share in SHARES.items()}


def ordered(counts: Mapping[str, int]) -> list[str]:
    """Every gate's kind, in random order, those under hogs last."""
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    random.Random(SEED).shuffle(kinds)
    return sorted(kinds, key=lambda kind: kind.startswith(HOGS))


def calibrate(lanes: Lanes, count: int, found: Findings) -> None:
    """Choose the slower models, and measure how slow they are."""
    pilot = stats.signed_rank_ratio(taken_apart(lanes, PILOT, PILOT_LAUNCHES))
    say(f"{PILOT} added layers: x {figures.shown(pilot)}")
    found.layers = layers_for(pilot.value or 0.0, PILOT, TARGETS)
    for model, extra in found.layers.items():
        futures = [lanes.take(extra, 3 + count // 30, seed) for seed in (SEED, SEED + 1)]
        found.apart[model] = [taken for future in futures for taken in future.result()]
        say(f"{model}: {extra} added layers: x {figures.shown(found.truth(model))}")


def taken_apart(lanes: Lanes, extra: int, count: int) -> list[float]:
    """Log ratios of launches that no gate sees; without any, something here is broken."""
    found = gates.ratios(lanes.take(extra, count, SEED).result())
    if len(found) < count:
        sys.exit(f"{count - len(found)} of {count} launches of a model gave no samples")
    return found


def measure(lanes: Lanes, setting: Setting, found: Findings) -> bool:
    """Fill in the findings; whether the time was enough for all."""
    end = time.monotonic() + setting.hours * 3600
    calibrate(lanes, setting.gates, found)
    kinds = ordered(trials(setting.gates))
    begun = time.monotonic()
    coming = itertools.takewhile(lambda _: time.monotonic() < end, kinds)
    asked = ((kind, found.layers.get(kind.removeprefix(HOGS), 0)) for kind in coming)
    for gate in lanes.gates(asked, setting.rule, FIRST_GATE):
        found.gates.append(gate)
        left = (time.monotonic() - begun) / len(found.gates) * (len(kinds) - len(found.gates))
        done = f"{len(found.gates)}/{len(kinds)}"
        say(f"{done} {figures.told(gate)}; {left / 60:.0f} min left")
    return len(found.gates) == len(kinds)


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
    with (
        tempfile.TemporaryDirectory(prefix="edgeproof-") as folder,
        closing(Lanes(Path(folder), setting.effort, setting.lanes)) as lanes,
    ):
        try:
            complete = measure(lanes, setting, found)
        except DeviceError as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            say("interrupted: these are the gates that were finished")
    if setting.keep:
        gates.keep(found, setting.keep)
    table = figures.rates(found)
    print("\n".join(figures.lines(found, table)))
    run: dict[str, Any] = {"n": setting.gates, "effort": setting.effort, "lanes": setting.lanes}
    run["complete"] = complete
    run["wall_seconds"] = round(time.monotonic() - begun)
    print(json.dumps(figures.summary(found, table) | run | figures.details(found, table)))
    if not complete:
        sys.exit(1)


if __name__ == "__main__":
    main()
