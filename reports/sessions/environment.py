"""What differs between the surroundings of two runs, and whether their times can be compared.

A time belongs to the board, its system, its clocks and its runtime as much as to the model. Where
one of them differs, a difference in time has two explanations and the runs cannot tell which holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reports import conditions
from reports.flags import CLOCK_CHANGE, TEMPERATURE_RISE_C
from reports.run import DeviceRecord, LaunchRecord, Run
from reports.scenarios import parameters

# Of the memory that a kernel sees, a little depends on what it set aside while it booted.
MEMORY_SHARE = 0.02
UNRECORDED = "not recorded"
# Path in a device's facts, and what it is called: a difference in any of them forbids times.
_FACTS: Mapping[str, str] = {
    "machine": "architecture",
    "board": "kind of board",
    "cpu_model": "processor",
    "cpus": "processors",
    "cpus_allowed": "processors allowed",
    "cpu_flags": "instruction sets",
    "kernel": "kernel",
    "system": "system",
    "libc_version": "C library",
    "python": "Python",
    "clocks.scaling_governor": "clock governor",
    "clocks.scaling_min_freq": "lowest clock, kHz",
    "clocks.scaling_max_freq": "highest clock, kHz",
    "agent_sha256": "edgeproof's agent",
}
BOARD = "board"


@dataclass(frozen=True)
class Difference:
    """One thing that two runs do not share; `forbids` is what it takes from the comparison.

    `device`, `runtime` and `scenario` say which cells it is about; null: all of them.
    """

    fact: str
    first: str
    second: str
    forbids: str | None = None  # times | accuracy
    device: str | None = None
    runtime: str | None = None
    scenario: str | None = None

    def about(self, row: Mapping[str, Any]) -> bool:
        """Whether it is about a cell."""
        wanted = {"device": self.device, "runtime": self.runtime, "scenario": self.scenario}
        return all(value in (None, row[key]) for key, value in wanted.items())

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        where = " ".join(filter(None, (self.device, self.runtime, self.scenario)))
        text = f"{self.fact} {self.first} against {self.second}"
        return f"{where}: {text}" if where else text


def differences(first: Run, second: Run) -> list[Difference]:
    """All that differs around what two runs measured, what forbids a comparison first."""
    theirs = {device.name: device for device in second.devices}
    found = [*_studies(first, second)]
    for device in first.devices:
        if device.name in theirs:
            found += of_device(device, theirs[device.name])
            heat = [_thermal(run, device.name) for run in (first, second)]
            found += _thermal_states(device.name, *heat)
            runtimes = [runtimes_of(run, device.name) for run in (first, second)]
            found += _runtime_states(device.name, *runtimes)
    return sorted(found, key=lambda each: each.forbids is None)


def _studies(first: Run, second: Run) -> Iterator[Difference]:
    if first.dataset != second.dataset:
        shown = [(run.dataset or "none")[:12] for run in (first, second)]
        yield Difference("dataset", shown[0], shown[1], "accuracy")
    efforts = [str((run.study.get("measure") or {}).get("effort")) for run in (first, second)]
    if efforts[0] != efforts[1]:
        yield Difference("effort", efforts[0], efforts[1])
    for name in dict.fromkeys(record.cell["scenario"] for record in first.cells):
        ours, theirs = (_known(parameters(run.study, name)) for run in (first, second))
        if ours != theirs:
            shown = [_told(each) for each in (ours, theirs)]
            yield Difference("parameters", shown[0], shown[1], "times", scenario=name)


def _known(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {k: value for k, value in entry.items() if k != "name" and value is not None}


def _told(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(entry.items())) or "none"


def of_device(first: DeviceRecord, second: DeviceRecord) -> Iterator[Difference]:
    """All that differs between a device as it was twice; nothing where one was never reached."""
    name = first.name
    if not first.facts or not second.facts:
        return  # never reached in one of them: no cell of it has times
    yield from _boards(name, first.facts, second.facts)
    if first.profile != second.profile:
        yield Difference("profile", first.profile, second.profile, "times", name)
    for path, fact in _FACTS.items():
        ours, theirs = (_at(facts, path) for facts in (first.facts, second.facts))
        if ours != theirs:
            unknown = ours is None or theirs is None
            shown = _shown(ours, theirs)
            yield Difference(fact, *shown, None if unknown else "times", name)
    yield from _memory(name, first.facts, second.facts)


def _boards(name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    """Whether it is the same board, by the surest mark that both runs know.

    A serial number is the board's own; a machine id is the installed system's; within one boot it
    is the same machine whatever else is known.
    """
    if first.get("boot_id") and first.get("boot_id") == second.get("boot_id"):
        return
    for mark in ("identity.serial", "identity.machine_id", "hostname"):
        ours, theirs = _at(first, mark), _at(second, mark)
        if ours is not None and theirs is not None:
            if ours != theirs:
                yield Difference(BOARD, f"{mark} {ours}", f"{mark} {theirs}", "times", name)
            elif mark == "hostname":
                told = f"only the host name is known: {ours}"
                yield Difference(BOARD, told, told, None, name)
            else:
                boots = [str(facts.get("boot_id"))[:8] for facts in (first, second)]
                yield Difference("boot", boots[0], boots[1], None, name)
            return
    yield Difference(BOARD, UNRECORDED, UNRECORDED, None, name)


def _memory(name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    ours, theirs = first.get("memory_kib"), second.get("memory_kib")
    if ours and theirs and abs(theirs / ours - 1) > MEMORY_SHARE:
        shown = [f"{size / 1024:.0f} MiB" for size in (ours, theirs)]
        yield Difference("memory", shown[0], shown[1], "times", name)


def _launches(run: Run, device: str) -> list[LaunchRecord]:
    return [record for record in run.launches if record.device == device]


@dataclass(frozen=True)
class _Thermal:
    """How a device bore the launches of a run, by the probes' readings around them."""

    throttled: str | None  # "2 of 8"; null where it never was
    hottest_c: float | None  # median over launches
    clock_mhz: float | None  # the highest


def _thermal(run: Run, device: str) -> _Thermal:
    records = _launches(run, device)
    slowed = sum(conditions.throttled_within(record) is not None for record in records)
    heats = [conditions.temperature_c(record.conditions) for record in records]
    clocks = [conditions.clock_mhz(each.conditions, each.launch["cpus"]) for each in records]
    known = [span[1] for span in heats if span]
    return _Thermal(
        f"{slowed} of {len(records)}" if slowed else None,
        float(np.median(known)) if known else None,
        max((span[1] for span in clocks if span), default=None),
    )


def _thermal_states(name: str, first: _Thermal, second: _Thermal) -> Iterator[Difference]:
    """Throttled in one alone, much hotter, or otherwise clocked."""
    if (first.throttled is None) != (second.throttled is None):
        shown = first.throttled or "none", second.throttled or "none"
        yield Difference("launches throttled", *shown, "times", name)
    heat = first.hottest_c, second.hottest_c
    if heat[0] is not None and heat[1] is not None and abs(heat[1] - heat[0]) > TEMPERATURE_RISE_C:
        yield Difference("temperature", f"{heat[0]:.0f} °C", f"{heat[1]:.0f} °C", "times", name)
    clock = first.clock_mhz, second.clock_mhz
    if clock[0] and clock[1] and abs(clock[1] / clock[0] - 1) > CLOCK_CHANGE:
        yield Difference("clock", f"{clock[0]:.0f} MHz", f"{clock[1]:.0f} MHz", "times", name)


def runtimes_of(run: Run, device: str) -> dict[str, dict[str, str]]:
    """Of each runtime that a device was asked to run: its options, and the version that ran."""
    cells = {r.cell["id"]: r.cell for r in run.cells if r.device == device}
    told: dict[str, dict[str, str]] = {}
    for cell in cells.values():
        told[cell["runtime"]] = {"options": _told(cell.get("options") or {})}
    for record in _launches(run, device):
        version = record.launch["executed"].get("runtime_version")
        if version is not None:
            told[cells[record.launch["cell"]]["runtime"]]["version"] = str(version)
    return told


def _runtime_states(
    device: str, first: Mapping[str, Mapping[str, str]], second: Mapping[str, Mapping[str, str]]
) -> Iterator[Difference]:
    for runtime in first:
        for fact in ("version", "options"):
            ours, theirs = (side.get(runtime, {}).get(fact) for side in (first, second))
            if ours is not None and theirs is not None and ours != theirs:
                yield Difference(fact, ours, theirs, "times", device, runtime)


def _at(facts: Mapping[str, Any], path: str) -> Any:
    place: Any = facts
    for key in path.split("."):
        place = place.get(key) if isinstance(place, Mapping) else None
    return place


def _shown(first: Any, second: Any) -> tuple[str, str]:
    """Both values as text; of two lists what only one of them holds."""
    if isinstance(first, list) and isinstance(second, list):
        only = [
            [item for item in a if item not in b] for a, b in ((first, second), (second, first))
        ]
        return _listed(only[0]), _listed(only[1])
    return _one(first), _one(second)


def _one(value: Any) -> str:
    """A value as text; of a sha256 its beginning."""
    text = UNRECORDED if value is None else str(value)
    return text[:12] if len(text) == 64 and " " not in text else text


def _listed(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items)) or "nothing more"
