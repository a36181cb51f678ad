"""The requirements file of `edgeproof select`: constraints, objective, prices, watts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness import documents
from harness.documents import Model, refused, unknown
from harness.errors import InputError
from harness.fields import Number, Slug, Text, distinct
from reports.gates import BOUNDS, Limit
from reports.selection.wanted import MOST_AXES, NAMES, unit

COMMAND_LINE = Path("command line")
ALWAYS = "always"  # the scenario of a price that holds in all


def _metric(name: str) -> str:
    if name not in NAMES:
        raise refused(unknown("metric", name, NAMES))
    return name


def _weighted(value: object) -> object:
    """One metric alone has all the weight."""
    return {value: 1.0} if isinstance(value, str) else value


def _by_scenario(value: object) -> object:
    """A price that is one number holds in every scenario."""
    return value if isinstance(value, dict) else {ALWAYS: value}


Metric = Annotated[Text, AfterValidator(_metric)]
Positive = Annotated[Number, Field(gt=0)]
Prices = Annotated[dict[Slug, Positive], Field(min_length=1), BeforeValidator(_by_scenario)]


class Bounds(Model):
    """Limits on one metric: at least one of max and min."""

    max: Number | None = None
    min: Number | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> Bounds:
        if self.max is None and self.min is None:
            raise refused("a constraint needs a number", "give max: NUMBER or min: NUMBER")
        if self.max is not None and self.min is not None and self.min > self.max:
            raise refused(f"min {self.min:g} is above max {self.max:g}: nothing keeps both")
        return self


class Requirements(Model):
    """What the hardware must keep, what is best among what keeps it, what everything costs.

    `price` (USD) and `watts` are by device, hardware or profile; a price may have scenarios.
    `delta` is how far from the best, relative, is as good as the best.
    """

    constraints: Annotated[dict[Metric, Bounds], Field(max_length=64)] = Field(default_factory=dict)
    objective: Annotated[
        dict[Metric, Positive], Field(min_length=1, max_length=16), BeforeValidator(_weighted)
    ] = Field(default_factory=lambda: {"latency_p95_ms": 1.0})
    delta: Annotated[Number, Field(ge=0, le=1)] = 0.05
    axes: Annotated[tuple[Metric, ...], Field(max_length=MOST_AXES), AfterValidator(distinct)] = ()
    price: dict[Text, Prices] = Field(default_factory=dict)
    watts: dict[Text, Positive] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _shares_are_shares(self) -> Requirements:
        for limit in self.limits:
            if unit(limit.metric) == "share" and abs(limit.value) > 1:
                raise refused(
                    f"{limit.metric} is a share of 1, not a percentage; it is {limit.value:g}"
                )
        return self

    @property
    def limits(self) -> list[Limit]:
        """Every bound, in the file's order."""
        return [
            Limit(metric, bound, float(value))
            for metric, bounds in self.constraints.items()
            for bound in BOUNDS
            if (value := getattr(bounds, bound)) is not None
        ]

    def with_options(self, others: Requirements) -> Requirements:
        """These requirements where others, of the command line, do not say otherwise."""
        merged: dict[str, Any] = {"price": {**self.price, **others.price}}
        merged["watts"] = {**self.watts, **others.watts}
        constraints = dict(self.constraints)
        for metric, bounds in others.constraints.items():
            old = constraints.get(metric, bounds)
            constraints[metric] = old.model_copy(update=bounds.model_dump(exclude_none=True))
        merged["constraints"] = constraints
        given = others.model_fields_set & {"objective", "delta"}
        merged |= {key: getattr(others, key) for key in given}
        return self.model_copy(update=merged)


def load_requirements(path: Path) -> Requirements:
    """Read a requirements file; every problem in it comes in one InputError."""
    return documents.validate(Requirements, documents.read(path))


def from_options(options: Mapping[str, Sequence[str]], delta: float | None) -> Requirements:
    """Requirements from METRIC=NUMBER and NAME=NUMBER of the command line.

    The keys of `options` are max, min, objective, price and watts.
    """
    data: dict[str, Any] = {"constraints": {}}
    for bound in BOUNDS:
        for metric, value in _pairs(bound, options[bound]):
            data["constraints"].setdefault(metric, {})[bound] = value
    for key in ("objective", "price", "watts"):
        if found := dict(_pairs(key, options[key], 1.0 if key == "objective" else None)):
            data[key] = found
    if delta is not None:
        data["delta"] = delta
    try:
        return documents.validate(Requirements, documents.Document(data, COMMAND_LINE))
    except InputError as error:
        help_of = "edgeproof select --help explains the options"
        raise InputError(error.what, where=error.where, next_step=help_of) from None


def _pairs(
    option: str, given: Sequence[str], otherwise: float | None = None
) -> list[tuple[str, float]]:
    """Read NAME=NUMBER; a name alone has the number `otherwise`, if there is one."""
    found = []
    for text in given:
        name, equals, number = text.partition("=")
        try:
            value = otherwise if otherwise is not None and not equals else float(number)
        except ValueError:
            raise InputError(
                f"'{documents.shortened(text)}' is not NAME=NUMBER",
                where=f"--{option}",
                next_step=f"for example --{option} {name or 'latency_p95_ms'}=33",
            ) from None
        found.append((name.strip(), value))
    return found


def price_scenarios(prices: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The scenarios that prices name, in their order; `always` alone where none does."""
    named = [name for each in prices.values() for name in each if name != ALWAYS]
    return list(dict.fromkeys(named)) or [ALWAYS]
