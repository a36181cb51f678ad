"""Transfer: how the gain of one recipe moves over networks, devices and runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.families import recipe_of
from reports.findings import lead
from reports.gates import Ratios
from reports.places import one_each
from reports.targets import Measured

Row = Mapping[str, Any]


def transfer(measured: Measured) -> list[dict[str, Any]]:
    """One entry for each recipe that was measured in several places; empty without any.

    A place is a network (the baseline that a variant was made from) on a device in a runtime.
    `spread` is the largest over the smallest ratio, null with fewer than two.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in one_each(measured.rows):
        network = measured.baseline(row)
        if network != row["variant"] and row["artifact"]:
            recipe = recipe_of(measured.study, row["variant"]) or row["variant"]
            found.setdefault(recipe, []).append(_place(row, network, measured.ratios))
    several = len({(p["network"], p["device"]) for places in found.values() for p in places}) > 1
    return [_entry(recipe, places) for recipe, places in found.items()] if several else []


def _place(row: Row, network: str, ratios: Ratios) -> dict[str, Any]:
    metric = lead(row["scenario"])
    compared = ratios.get((row["device"], row["cell"], metric))
    return {
        "network": network,
        "variant": row["variant"],
        "device": row["device"],
        "runtime": row["runtime"],
        "precision": row["precision_requested"],
        "metric": metric,
        "ratio": compared["ratio"] if compared else None,
        "ci": compared["ci"] if compared else None,
        "finding": compared["finding"] if compared else None,
        "top1_drop": row["accuracy"]["top1_drop"],
        "top1_drop_ci": row["accuracy"]["ci"]["top1_drop"],
        "top1_drop_reason": row["reasons"].get("accuracy.top1_drop"),
        "reason": _reason(row, compared),
    }


def _reason(row: Row, compared: Row | None) -> str | None:
    if row["status"] != "ok":
        return f"{row['status']}: {row['reason']}"
    return compared["reason"] if compared else "it was not compared with its baseline"


def _entry(recipe: str, places: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ratios = [place["ratio"] for place in places if place["ratio"] is not None]
    return {
        "recipe": recipe,
        "places": list(places),
        "spread": max(ratios) / min(ratios) if len(ratios) > 1 else None,
    }
