"""Accuracy under corruptions, what the probabilities are worth, and samples from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from reports.charts import reliability_chart, severity_chart
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.names import LONGEST_LABEL, Names
from reports.text import NOTHING, clean, number, percent

ORDER = 65
TITLE = "Robustness and calibration"
MOST_PLACES = 4  # that are drawn; the tables have all
_WITHOUT = ("batch", "threads", "scenario")
_MEASURES = {"top1": "Top-1", "map50": "mAP@0.5", "miou": "mIoU"}


def section(document: Document) -> Section:
    """Detail throughout: what is decided by it is in the verdicts."""
    found = document["evaluations"]
    tried = [each for each in found if each["corruptions"]]
    calibrated = [each for each in found if each["reliability"]]
    strange = [each for each in found if each["out_of_distribution"]]
    if not (tried or calibrated or strange):
        return Section(TITLE, ["No evaluation gives probabilities."], detail=True)
    words = [*_on_robustness(tried), *_on_calibration(calibrated), *_on_strangers(strange)]
    tables = [
        *_overviews(document, tried, calibrated),
        *_side_by_side(document, tried),
        *([_sets(document, tried)] if tried else []),
        *([_strangers(document, strange)] if strange else []),
    ]
    charts = [*_severities(document, tried), *_reliabilities(document, calibrated)]
    return Section(TITLE, words, tables=tables, charts=charts, detail=True)


def _on_robustness(tried: Sequence[Row]) -> Iterator[str]:
    if not tried:
        yield "The study asks for no corruptions, so nothing is known of robustness."
        return
    yield (
        "Under corruptions the same first samples are fed again, changed in a seeded way that is "
        "the same on every device. Means give every corruption the same weight; their intervals "
        "are across samples. Relative error is the mean corruption error over the baseline's: "
        "above 1 is less robust (Hendrycks and Dietterich 2019, there against AlexNet). An arrow "
        "marks a set whose own 95% interval of the drop from the baseline leaves 0 out."
    )


def _on_calibration(calibrated: Sequence[Row]) -> Iterator[str]:
    if calibrated:
        yield (
            "The expected calibration error (ECE) is the mean gap between confidence and accuracy "
            "in 15 bins. Chance alone gives a perfectly calibrated model the error named beside "
            "it. Brier score: 0 is best. Log-likelihood: of the right class, natural log."
        )


def _on_strangers(strange: Sequence[Row]) -> Iterator[str]:
    if strange:
        yield (
            "Samples from elsewhere should get less confidence. AUROC is the chance that a sample "
            "of the dataset gets more of it than one from elsewhere: 50% tells nothing."
        )


def _overviews(
    document: Document, tried: Sequence[Row], calibrated: Sequence[Row]
) -> Iterator[Table]:
    """A row an evaluation, from the rows of results, which have the intervals."""
    names, rows = Names(document), _rows(document)
    keys = [_key(each) for each in document["evaluations"]]
    known = [rows[key] for key in keys if key in rows]
    if tried:
        chosen = [row for row in known if row["robustness"] and row["robustness"]["sets"]]
        yield _table("Under corruptions: means, with 95% intervals", names, chosen, _means)
    if calibrated:
        chosen = [row for row in known if row["calibration"]]
        yield _table("Calibration on the dataset, with 95% intervals", names, chosen, _calibration)


def _table(caption: str, names: Names, rows: Sequence[Row], values: Any) -> Table:
    told = [values(row) for row in rows]
    columns = [Column(name, "number") for name in (told[0] if told else {})]
    body = [
        [*names.values(row, _WITHOUT), *each.values()] for row, each in zip(rows, told, strict=True)
    ]
    return Table(caption, [*names.columns(_WITHOUT), *columns], body).filled()


def _means(row: Row) -> dict[str, str]:
    found, ends = row["robustness"], row["robustness"]["ci"]
    return {
        "top-1": percent(row["accuracy"]["top1"]),
        "under corruption": percent(found["top1"], ends["top1"]),
        "lost to corruption": percent(found["clean_drop"], ends["clean_drop"]),
        "drop from baseline": _or_nothing(found, "top1_drop"),
        "relative error": "" if found["mce"] is None else _ratio(found["mce"], ends["mce"]),
        "sets": str(found["sets"]),
    }


def _or_nothing(found: Row, key: str) -> str:
    return "" if found[key] is None else percent(found[key], found["ci"][key])


def _ratio(value: float, ends: Sequence[float]) -> str:
    return f"{value:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"


def _calibration(row: Row) -> dict[str, str]:
    found, ends = row["calibration"], row["calibration"]["ci"]
    return {
        "ECE": percent(found["ece"], ends["ece"]),
        "by chance": percent(found["ece_by_chance"]),
        "mean confidence": percent(found["confidence"]),
        "top-1": percent(row["accuracy"]["top1"]),
        "Brier": number(found["brier"]),
        "log-likelihood": f"{found['log_likelihood']:.3f}" + _clipped(found["clipped"]),
        "entropy, nats": number(found["entropy"]),
        "scores": clean(found["scores"] or NOTHING),
    }


def _clipped(count: int) -> str:
    return f" ({count} clipped)" if count else ""


def _side_by_side(document: Document, tried: Sequence[Row]) -> Iterator[Table]:
    """Corruption x severity, a column a variant, a table a place."""
    for place, found in _places(document, tried).items():
        variants = [clean(each["variant"], LONGEST_LABEL) for each in found]
        columns = [Column("corruption"), Column("severity", "number")]
        columns += [Column(variant, "number") for variant in variants]
        sets = [_by_key(each) for each in found]
        body = [
            [clean(key[0]), str(key[1]), *(_cell(own.get(key)) for own in sets)]
            for key in dict.fromkeys(key for own in sets for key in own)
        ]
        caption = f"{_measure(found)} under each corruption, side by side ({place})"
        yield Table(caption, columns, body, detail=True)


def _measure(found: Sequence[Row]) -> str:
    """What the sets of a place are measured by."""
    sets = [item for each in found for item in each["corruptions"]]
    told = (
        name for key, name in _MEASURES.items() if any(item.get(key) is not None for item in sets)
    )
    return next(told, "Top-1")


def _cell(found: Row | None) -> str:
    """The value, marked where the drop from the baseline is certain by its own interval."""
    if found is None:
        return ""
    key = next((key for key in _MEASURES if found.get(key) is not None), None)
    if key is None:
        return NOTHING
    ends = found.get("top1_drop_ci")
    mark = " ↓" if ends and ends[0] > 0 else " ↑" if ends and ends[1] < 0 else ""
    return percent(found[key]) + mark


def _sets(document: Document, tried: Sequence[Row]) -> Table:
    """Every set with all that is known of it."""
    names = Names(document)
    columns = [
        *names.columns(_WITHOUT),
        Column("corruption"),
        Column("severity", "number"),
        Column("top-1", "number"),
        Column("95% interval (Wilson, frequentist)", "number"),
        Column("95% credible (Jeffreys, Bayesian)", "number"),
        Column("lost to corruption", "number"),
        Column("drop from baseline", "number"),
        Column("ECE", "number"),
        Column("note"),
    ]
    body = [
        [*names.values(each, _WITHOUT), clean(item["corruption"]), *_details(item)]
        for each in tried
        for item in each["corruptions"]
    ]
    return Table("Every corrupted set, with 95% intervals", columns, body, detail=True).filled()


def _details(item: Row) -> list[str]:
    return [
        str(item["severity"]),
        percent(item["top1"]) if item["top1"] is not None else "",
        _span(item["ci"]),
        _span(item["credible"]),
        _with(item, "clean_drop"),
        _with(item, "top1_drop"),
        _with(item, "ece"),
        clean(item["reason"] or ""),
    ]


def _with(item: Row, key: str) -> str:
    return "" if item[key] is None else percent(item[key], item[f"{key}_ci"])


def _span(ends: Sequence[float] | None) -> str:
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}" if ends else ""


def _strangers(document: Document, strange: Sequence[Row]) -> Table:
    names = Names(document)
    columns = [
        *names.columns(_WITHOUT),
        Column("set"),
        Column("samples", "number"),
        Column("confidence in the dataset", "number"),
        Column("confidence elsewhere", "number"),
        Column("AUROC", "number"),
        Column("note"),
    ]
    body = [
        [
            *names.values(each, _WITHOUT),
            clean(item["name"]),
            "" if item["samples"] is None else str(item["samples"]),
            *(_with(item, key) for key in ("confidence_in", "confidence_out", "auroc")),
            clean(item["reason"] or ""),
        ]
        for each in strange
        for item in each["out_of_distribution"]
    ]
    return Table("Samples from elsewhere, with 95% intervals", columns, body).filled()


def _severities(document: Document, tried: Sequence[Row]) -> Iterator[Chart]:
    for place, found in _drawn(document, tried):
        points = [point for each in found for point in _curve(each)]
        if points:
            caption = f"Top-1 against the severity of each corruption ({place}); 0: without any"
            yield Chart(caption, partial(severity_chart, points))


def _curve(each: Row) -> Iterator[dict[str, Any]]:
    """A variant's points; what it loses to a set gives its value on the same clean samples."""
    variant = clean(each["variant"], LONGEST_LABEL)
    sets = [item for item in each["corruptions"] if item["top1"] is not None]
    for item in sets:
        point = {"variant": variant, "corruption": clean(item["corruption"])}
        yield point | {"severity": item["severity"], "top1": item["top1"]}
    first = {item["corruption"]: item for item in reversed(sets)}
    for corruption, item in first.items():
        if item["clean_drop"] is not None:
            before = item["top1"] + item["clean_drop"]
            yield {
                "variant": variant,
                "corruption": clean(corruption),
                "severity": 0,
                "top1": before,
            }


def _reliabilities(document: Document, calibrated: Sequence[Row]) -> Iterator[Chart]:
    for place, found in _drawn(document, calibrated):
        points = [point for each in found for point in _bins(each)]
        caption = f"Reliability: accuracy against confidence, with 95% intervals ({place})"
        yield Chart(caption, partial(reliability_chart, points))


def _bins(each: Row) -> Iterator[dict[str, Any]]:
    variant = clean(each["variant"], LONGEST_LABEL)
    for end in (0, 1):
        yield {"variant": variant, "confidence": end, "diagonal": end}
    for item in each["reliability"]:
        yield {
            "variant": variant,
            "confidence": item["confidence"],
            "accuracy": item["accuracy"],
            "low": item["ci"][0],
            "high": item["ci"][1],
            "samples": item["samples"],
            "diagonal": item["confidence"],
        }


def _drawn(document: Document, found: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    return list(_places(document, found).items())[:MOST_PLACES]


def _places(document: Document, found: Sequence[Row]) -> dict[str, list[Row]]:
    """The evaluations of one device, runtime and precision, the baseline first."""
    names = Names(document)
    places: dict[str, list[Row]] = {}
    baseline = document["baseline"]
    for each in sorted(found, key=lambda each: each["variant"] != baseline):
        label = " · ".join(names.values(each, ("variant", *_WITHOUT)))
        places.setdefault(label, []).append(each)
    return places


def _by_key(each: Row) -> Mapping[tuple[str, int], Row]:
    return {(item["corruption"], item["severity"]): item for item in each["corruptions"]}


def _key(row: Row) -> tuple[str, str]:
    return row["device"], row["evaluation"]


def _rows(document: Document) -> dict[tuple[str, str], Row]:
    """A row of results for each evaluation; all of them say the same of it."""
    return {_key(row): row for row in reversed(document["results"])}
