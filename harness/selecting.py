"""From stored runs and requirements to the question that a selection answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.devices import DEFAULT_PROFILE, DeviceProfile, load_profile, profile_kinds
from harness.documents import nearest, unknown
from harness.errors import InputError
from harness.selection_file import ALWAYS, Requirements, price_scenarios
from harness.store import Store
from reports.run import DeviceRecord, Run
from reports.selection.candidates import Session
from reports.selection.document import build
from reports.selection.wanted import Declared, Wanted

# What boards of one kind have in common, and one board has in every run.
_SAME = ("machine", "cpu_model", "board", "cpus")
_GIB = 1 << 20


def select(store: Store, names: Sequence[str], asked: Requirements) -> dict[str, Any]:
    """The document of a selection from runs by name; runs that do not fit are an InputError."""
    ids = dict.fromkeys(store.resolve(name) for name in names)
    runs = [store.load(each) for each in ids]
    _check_alike(runs, {each: store.dataset(each) for each in ids})
    devices = _devices(runs)
    hardware = _hardware(devices)
    wanted = _wanted(asked, devices, hardware)
    found = build([Session.of(run) for run in runs], hardware, wanted)
    if not found["candidates"] and found["left_out"]:
        first = found["left_out"][0]
        raise InputError(
            f"nothing of it can be chosen from; the first of {len(found['left_out'])} cells: "
            f"{first['variant']} in {first['runtime']}: {first['reason']}",
            where=f"run {runs[0].id}",
            next_step="measure what the constraints and the objective name, or name other metrics",
        )
    return found


def _check_alike(runs: Sequence[Run], datasets: Mapping[str, str | None]) -> None:
    """Refuse runs that hold nothing, or did not measure the same thing."""
    for run in runs:
        if not run.launches:
            raise InputError(
                "holds no launch, so there is nothing to choose from",
                where=f"run {run.id}",
                next_step=f"edgeproof run STUDY --resume {run.id}",
            )
    first, *others = runs
    for other in others:
        for what, ours, theirs in _differences(first, other, datasets):
            raise InputError(
                f"{what} is not the same in all runs: {ours} in {first.id}, {theirs} in {other.id}",
                where="runs",
                next_step="select from runs of one study with the same files, or measure again",
            )


def _differences(
    one: Run, other: Run, datasets: Mapping[str, str | None]
) -> Iterator[tuple[str, object, object]]:
    names = one.study.get("name"), other.study.get("name")
    if names[0] != names[1]:
        yield "the study", *names
    if one.study.get("baseline") != other.study.get("baseline"):
        yield "the baseline", one.study.get("baseline"), other.study.get("baseline")
    if datasets[one.id] != datasets[other.id]:
        yield "the dataset", _short(datasets[one.id]), _short(datasets[other.id])
    files, theirs = _files(one), _files(other)
    for (variant, form), sha in files.items():
        found = theirs.get((variant, form), sha)
        if found != sha:
            yield f"the {form} file of variant '{variant}'", _short(sha), _short(found)


def _files(run: Run) -> dict[tuple[str, str], str]:
    """The sha256 of each variant's file of each format."""
    cells = [record.cell for record in run.cells if record.cell["artifact"]]
    return {(cell["variant"], cell["format"]): cell["artifact"] for cell in cells}


def _short(sha: str | None) -> str:
    return sha[:12] if sha else "none"


def _devices(runs: Sequence[Run]) -> dict[str, DeviceRecord]:
    """Every device of the runs; a name that means two machines is an InputError."""
    found: dict[str, DeviceRecord] = {}
    for run in runs:
        for device in run.devices:
            known = found.setdefault(device.name, device)
            if not known.facts:
                found[device.name] = device
            elif device.facts and _kind(known) != _kind(device):
                raise InputError(
                    f"is one machine in {runs[0].id} and another in {run.id}: "
                    f"{known.facts.get('cpu_model')} and {device.facts.get('cpu_model')}",
                    where=f"device '{device.name}'",
                    next_step="select from runs of the same boards",
                )
    return found


def _kind(device: DeviceRecord) -> tuple[Any, ...]:
    """What tells kinds of boards apart: the profile and what the board says of itself."""
    gib = round((device.facts.get("memory_kib") or 0) / _GIB)
    return (device.profile, *(device.facts.get(key) for key in _SAME), gib)


def _hardware(devices: Mapping[str, DeviceRecord]) -> dict[str, str]:
    """What each device is a board of: the profile where several are alike, else itself.

    The profile of any Linux machine says nothing of what the machine is.
    """
    kinds: dict[tuple[Any, ...], list[str]] = {}
    for name, device in devices.items():
        alone = device.profile == DEFAULT_PROFILE or not device.facts
        kinds.setdefault((name,) if alone else _kind(device), []).append(name)
    several = [key for key, names in kinds.items() if len(names) > 1]
    profiles = [key[0] for key in several]
    named = {}
    for key, names in kinds.items():
        for name in names:
            twice = profiles.count(key[0]) > 1
            label = f"{key[0]} ({key[-1]} GiB)" if twice else str(key[0])
            named[name] = label if key in several else name
    return named


def _wanted(
    asked: Requirements, devices: Mapping[str, DeviceRecord], hardware: Mapping[str, str]
) -> Wanted:
    known = {*devices, *hardware.values(), *(device.profile for device in devices.values())}
    for key, given in (("price", asked.price), ("watts", asked.watts)):
        for name in given:
            if name not in known and name not in profile_kinds():
                raise InputError(
                    unknown("device or profile", name, known),
                    where=key,
                    next_step=_rename(key, name, known),
                )
    prices = {
        scenario: {
            label: _price(scenario, asked, _of(label, devices, hardware))
            for label in dict.fromkeys(hardware.values())
        }
        for scenario in price_scenarios(asked.price)
    }
    watts = {
        label: _watts(asked, _of(label, devices, hardware))
        for label in dict.fromkeys(hardware.values())
    }
    return Wanted(asked.limits, asked.objective, asked.delta, asked.axes, prices, watts)


def _rename(key: str, name: str, known: set[str]) -> str:
    close = nearest(name, known)
    return f"write {key} of {close or 'a device of these runs: ' + ', '.join(sorted(known))}"


def _of(
    label: str, devices: Mapping[str, DeviceRecord], hardware: Mapping[str, str]
) -> tuple[list[str], DeviceProfile | None]:
    """The names that a hardware goes by, the closest first, and its profile if it is known."""
    boards = [name for name, of in hardware.items() if of == label]
    kind = devices[boards[0]].profile
    profile = load_profile(kind) if kind in profile_kinds() else None
    return list(dict.fromkeys([label, *boards, kind])), profile


def _price(
    scenario: str, asked: Requirements, of: tuple[list[str], DeviceProfile | None]
) -> Declared:
    names, profile = of
    name = next((name for name in names if name in asked.price), None)
    if name is not None:
        prices = asked.price[name]
        value = prices.get(scenario, prices.get(ALWAYS))
        if value is None:
            return Declared(None, f"no price of {name} in the scenario '{scenario}'")
        return Declared(value, f"given for {name}")
    if profile and profile.price_usd:
        told = profile.price_usd
        return Declared(told.value, f"profile {profile.kind}: {told.of}, {told.as_of}")
    return Declared(None, f"no price is known; give price: {{{names[0]}: USD}}")


def _watts(asked: Requirements, of: tuple[list[str], DeviceProfile | None]) -> Declared:
    names, profile = of
    name = next((name for name in names if name in asked.watts), None)
    if name is not None:
        return Declared(asked.watts[name], f"given for {name}, not measured")
    modes = [mode.watts for mode in profile.power.modes if mode.watts] if profile else []
    if profile and profile.power.pl1_watts:
        limit = f"profile {profile.kind}: the sustained limit, not measured"
        return Declared(profile.power.pl1_watts, limit, at_most=True)
    if profile and modes:
        mode = f"profile {profile.kind}: its highest mode, not measured"
        return Declared(max(modes), mode, at_most=True)
    return Declared(None, f"power was not measured; give watts: {{{names[0]}: W}}")
