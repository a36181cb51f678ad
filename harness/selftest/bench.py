"""One study of small networks on the device under test, through the way that `gate` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents import backends
from harness import controller
from harness.devices import Device
from harness.errors import DeviceError, InputError
from harness.inputs import Inputs, look_into
from harness.progress import Display
from harness.selftest import network
from harness.store import Store
from harness.study import Effort, parse_study
from reports.run import Run

BASELINE = "baseline"
METRIC, LIMIT = "latency_p50_ratio", 1.01
FORMAT = "onnx"


class EndedError(Exception):
    """No more is measured: the budget is spent, or a person has said stop."""

    def __init__(self, what: str, *, by_hand: bool = False) -> None:
        super().__init__(what)
        self.by_hand = by_hand


@dataclass
class Bench:
    """The device, its budget, and a store for the launches of this self-test alone."""

    device: Device
    runtime: str
    folder: Path
    show: Display
    budget_s: float
    spent_s: float = 0.0  # board time
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(f"sqlite:///{self.folder / 'launches.db'}")

    def measure(self, models: Mapping[str, int], effort: Effort, gated: bool = False) -> Run:
        """Measure networks (variant -> added layers) beside the baseline; returns what came back.

        `gated`: each has a gate on its ratio, and its launches end where that is decided. Raises
        EndedError when the budget is spent or after Ctrl-C, DeviceError when the device fails.
        """
        if self.spent_s >= self.budget_s:
            raise EndedError("the board-time budget is spent")
        inputs = self._inputs(models, effort, gated)
        run = controller.create(inputs, [self.device], self.store, None)
        [outcome] = controller.execute(run, inputs, [self.device], self.store, self.show)
        found = self.store.load(run)
        self.spent_s += found.devices[0].seconds or 0.0
        self._check(found, outcome)
        return found

    def _inputs(self, models: Mapping[str, int], effort: Effort, gated: bool) -> Inputs:
        files = {name: self._file(name, n) for name, n in {BASELINE: 0, **models}.items()}
        study = {
            "name": "selftest",
            "baseline": BASELINE,
            "variants": {name: {"model": {FORMAT: file}} for name, file in files.items()},
            "runtimes": [self.runtime],
            "compare": ["variants"],
            "measure": {"effort": effort, "budget": self.budget_s - self.spent_s},
            "devices": [self.device.name],
            "gates": [{"metric": METRIC, "max": LIMIT}] * gated,
        }
        return look_into(parse_study(study, self.folder))

    def _file(self, name: str, layers: int) -> str:
        """The sides of a pair are files of their own, as they are in a release."""
        path = self.folder / f"{name}-{layers}.{FORMAT}"
        if not path.is_file():
            network.save(path, layers)
        return path.name

    def _check(self, run: Run, outcome: str) -> None:
        """Refuse a run that is not whole, and one in which a network did not run at all."""
        if outcome == "stopped":
            raise EndedError("stopped", by_hand=True)
        lost = [item.reason for item in run.cells if item.status != "ok"]
        failed = self.store.failed_evaluations(run.id, self.device.name)
        if outcome == "failed":  # the reason names the next command itself
            raise DeviceError(run.devices[0].reason or "it failed", where=self.device.name)
        reason = next(filter(None, [*lost, *failed.values()]), None)
        if reason:
            raise DeviceError(
                f"the self-test cannot run there: {reason}",
                where=self.device.name,
                next_step=f"edgeproof devices check {self.device.name}",
            )


def whole(run: Run) -> Run:
    """The run, if it has every launch that was planned: what ends it earlier is the budget."""
    if len({record.ordinal for record in run.launches}) < run.groups[0].group["launches"]:
        raise EndedError("the board-time budget is spent")
    return run


def check_runtime(label: str) -> None:
    """Refuse a runtime that does not exist or does not read the networks' files."""
    reading = [name for name in backends.names() if FORMAT in backends.find(name).FORMATS]
    if backends.name_of(label) not in reading:
        raise InputError(
            f"the self-test's networks are ONNX files, which {label} does not read",
            where="--runtime",
            next_step=f"give one of {', '.join(reading)}",
        )
