"""The scenarios of a study: how requests come to a cell, and what each may be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_serializer, model_validator

from agents import wire
from harness.documents import Model, refused, shortened, unknown

# What each scenario takes, and the defaults. 8 samples a query are those of MLPerf's inference
# rules for multi-stream; streams null are as many as the device's cores hold.
PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    wire.SINGLE_STREAM: {},
    wire.MULTI_STREAM: {"streams": 8},
    wire.OFFLINE: {"streams": None, "requests": 32},
    wire.SERVER: {"target_p99_ms": None, "streams": None, "seconds": 2.0},
    wire.COLD_START: {},
    wire.SUSTAINED: {"minutes": 5},
}


class Scenario(Model):
    """One scenario with its parameters; those that it does not take are null."""

    name: Annotated[str, Field(strict=True)]
    streams: Annotated[int, Field(strict=True, ge=1, le=64)] | None = None
    requests: Annotated[int, Field(strict=True, ge=1, le=4096)] | None = None
    seconds: Annotated[float, Field(strict=True, gt=0, le=600)] | None = None
    minutes: Annotated[int, Field(strict=True, ge=2, le=120)] | None = None
    # From a microsecond to a minute.
    target_p99_ms: Annotated[float, Field(strict=True, ge=0.001, le=60_000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_its_kind(cls, data: object) -> object:
        """Turn a name into a mapping, refuse what the scenario does not take, fill in the rest."""
        if isinstance(data, str):
            data = {"name": data}
        if not isinstance(data, Mapping):
            raise refused("must be the name of a scenario, or a mapping with `name`")
        name = data.get("name")
        if not isinstance(name, str):
            return data
        if name not in PARAMETERS:
            raise refused(unknown("scenario", name, PARAMETERS))
        takes = PARAMETERS[name]
        foreign = [key for key in data if key in _ALL_PARAMETERS and key not in takes]
        if foreign:
            others = f"; it takes {' and '.join(takes)}" if takes else ""
            raise refused(f"{name} takes no {foreign[0]}{others}")
        given = {key: value for key, value in data.items() if value is not None}
        if name == wire.SERVER and "target_p99_ms" not in given:
            raise refused(
                "server needs target_p99_ms, the time that 99% of its answers must keep",
                "write {name: server, target_p99_ms: 20}",
            )
        return {**takes, **given}

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        """Write the name and the parameters that the scenario takes."""
        return {"name": self.name} | {key: getattr(self, key) for key in PARAMETERS[self.name]}


_ALL_PARAMETERS = frozenset(key for takes in PARAMETERS.values() for key in takes)


def distinct(scenarios: tuple[Scenario, ...]) -> tuple[Scenario, ...]:
    """Refuse a scenario that is listed twice: cells are named after it."""
    names = [scenario.name for scenario in scenarios]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise refused(f"'{shortened(name)}' is listed twice")
    return scenarios
