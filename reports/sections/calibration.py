"""What the probabilities of a classifier are worth: calibration, and reliability by bins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from reports.charts import reliability_chart
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.lines import INVISIBLE, covering, covers
from reports.names import LONGEST_LABEL, Names
from reports.places import MOST_PLACES, WITHOUT, by_place, first, left_out, rows_of, table_of
from reports.text import NOTHING, clean, number, percent

ORDER = 66
TITLE = "Calibration"
MOST_PANELS = 9
LONGEST_TITLE = 26
COLUMNS = (
    *("ECE", "by chance", "mean confidence", "top-1", "Brier", "log-likelihood"),
    *("entropy, nats", "scores", "note"),
)

Line = Mapping[tuple[str, float], float]  # of each bin the mean confidence and the accuracy


def section(document: Document) -> Section:
    """Detail throughout: what is decided by it is in the verdicts."""
    found = [each for each in document["evaluations"] if each["reliability"]]
    if not found:
        return Section(TITLE, ["No evaluation gives probabilities."], detail=True)
    words = [
        "The expected calibration error (ECE) is the mean gap between confidence and accuracy in "
        "15 bins. Chance alone gives a perfectly calibrated model the error named beside it. Brier "
        "score: 0 is best. Log-likelihood: of the right class, natural log; what is too small for "
        "float32 is clipped."
    ]
    caption = "On the dataset, with 95% intervals"
    tables = [
        table_of(caption, Names(document), rows_of(document), _calibration),
        _bins(document, found),
    ]
    charts = list(_reliabilities(document, found))
    return Section(TITLE, words, tables=tables, charts=charts, detail=True)


def _calibration(row: Row) -> dict[str, str]:
    found = row["calibration"]
    if found is None:
        empty = dict.fromkeys(COLUMNS, "")
        return empty | {"note": clean(row["reasons"].get("calibration", ""))}
    told = (
        percent(found["ece"], found["ci"]["ece"]),
        percent(found["ece_by_chance"]),
        percent(found["confidence"]),
        percent(row["accuracy"]["top1"]),
        number(found["brier"]),
        number(found["log_likelihood"]) + _clipped(found["clipped"]),
        number(found["entropy"]),
        clean(found["scores"] or NOTHING),
        clean(row["reasons"].get("calibration.brier", "")),
    )
    return dict(zip(COLUMNS, told, strict=True))


def _clipped(count: int) -> str:
    return f" ({count} clipped)" if count else ""


def _reliabilities(document: Document, calibrated: Sequence[Row]) -> Iterator[Chart]:
    """A chart a place, a panel a variant; what would look the same is drawn once."""
    seen: dict[str, list[Line]] = {}
    for place, found in first(by_place(document, calibrated), MOST_PLACES):
        bins = {clean(each["variant"], LONGEST_LABEL): each["reliability"] for each in found}
        lines = {name: _heights(each) for name, each in bins.items()}
        new = {
            name: line
            for name, line in lines.items()
            if not any(covers(other, line, INVISIBLE) for other in seen.get(name, []))
        }
        for name, line in new.items():
            seen.setdefault(name, []).append(line)
        alike = covering(new, INVISIBLE)
        points = [
            point
            for variant, names in first(alike, MOST_PANELS)
            for point in _panel(_title(names), bins[variant])
        ]
        if points:
            only = "" if len(new) == len(lines) else "; only what differs from the above"
            caption = (
                f"Reliability: accuracy against confidence, with 95% intervals ({place}{only})"
            )
            yield Chart(caption + left_out(alike, MOST_PANELS), partial(reliability_chart, points))


def _title(names: Sequence[str]) -> str:
    """The name of a panel, no wider than the panel."""
    whole = ", ".join(names)
    if len(whole) <= LONGEST_TITLE or len(names) == 1:
        return clean(whole, LONGEST_TITLE)
    return f"{clean(names[0], LONGEST_TITLE - 5)} +{len(names) - 1}"


def _heights(bins: Sequence[Row]) -> Line:
    keys = ("confidence", "accuracy")
    return {(key, item["from"]): item[key] for item in bins for key in keys}


def _panel(variant: str, bins: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for end in (0, 1):
        yield {"variant": variant, "confidence": end, "diagonal": end}
    for item in bins:
        yield {
            "variant": variant,
            "confidence": item["confidence"],
            "accuracy": item["accuracy"],
            "low": item["ci"][0],
            "high": item["ci"][1],
            "samples": item["samples"],
            "diagonal": item["confidence"],
        }


def _bins(document: Document, calibrated: Sequence[Row]) -> Table:
    names = Names(document)
    columns = [
        *names.columns(WITHOUT),
        Column("bin", "number"),
        Column("samples", "number"),
        Column("mean confidence", "number"),
        Column("accuracy", "number"),
    ]
    body = [
        [
            *names.values(each, WITHOUT),
            f"{100 * item['from']:.0f} to {100 * item['to']:.0f}%",
            str(item["samples"]),
            percent(item["confidence"]),
            percent(item["accuracy"], item["ci"]),
        ]
        for each in calibrated
        for item in each["reliability"]
    ]
    return Table("Reliability by bins of confidence, with 95% intervals", columns, body, True)
