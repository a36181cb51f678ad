"""Accuracy under corruptions, and what a model makes of samples from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from reports.assessment import IS_BASELINE
from reports.charts import severity_chart
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.lines import INVISIBLE, covering
from reports.names import LONGEST_LABEL, Names
from reports.places import MOST_PLACES, by_place, first, left_out, rows_of, table_of
from reports.text import NOTHING, clean, counted, percent

ORDER = 65
MOST_LINES = 8  # that are drawn; the tables have all
_AGAINST = ("top1_drop", "mce")  # what needs a baseline
_MEASURES = {"top1": "Top-1", "map50": "mAP@0.5", "miou": "mIoU"}
_SHOWN = {
    "map50": "mAP@0.5",
    "map50_drop": "mAP@0.5 drop",
    "miou": "mIoU",
    "miou_drop": "mIoU drop",
    "top1": "top-1",
}

Line = Mapping[tuple[str, int], float]  # (corruption, severity) -> top-1


def section(document: Document) -> Section:
    """Detail throughout: what is decided by it is in the verdicts."""
    found = document["evaluations"]
    tried = [each for each in found if each["corruptions"]]
    strange = [each for each in found if each["out_of_distribution"]]
    words = [*_on_robustness(tried), *_on_missing(tried), *_on_strangers(strange)]
    tables = [
        *_overview(document),
        *_side_by_side(document, tried),
        *([_sets(document, tried)] if tried else []),
        *([_strangers(document, strange)] if strange else []),
    ]
    charts = list(_severities(document, tried))
    return Section("Robustness", words, tables=tables, charts=charts, detail=True)


def _on_robustness(tried: Sequence[Row]) -> Iterator[str]:
    if not tried:
        yield "The study asks for no corruptions, so nothing is known of robustness."
        return
    samples = sorted({item["samples"] for each in tried for item in each["corruptions"]} - {0})
    these = f"the first {samples[0]} samples" if len(samples) == 1 else "the same first samples"
    yield (
        f"Under corruptions {these} are fed again, changed in a seeded way that is the same on "
        "every device; what is lost is lost against these samples as they were. Means give every "
        "corruption the same weight; their intervals are across samples. Relative error is the "
        "mean corruption error over the baseline's: above 1 is less robust (Hendrycks and "
        "Dietterich 2019, there against AlexNet). An arrow marks a set whose own 95% interval of "
        "the drop from the baseline leaves 0 out."
    )


def _on_missing(tried: Sequence[Row]) -> Iterator[str]:
    """Sets without any value, by their reason."""
    sets = [(each, item) for each in tried for item in each["corruptions"]]
    lost: dict[str, list[str]] = {}
    for each, item in sets:
        if item["reason"] and all(item.get(key) is None for key in _MEASURES):
            name = f"{each['variant']} in {each['runtime']}, {item['corruption']}"
            lost.setdefault(item["reason"], []).append(f"{name} {item['severity']}")
    for reason, names in lost.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        told = clean("; ".join(names[:3]), 3 * LONGEST_LABEL)
        yield (
            f"Without a value: {len(names)} of {len(sets)} corrupted sets ({told}{more}): "
            f"{clean(reason)}."
        )


def _on_strangers(strange: Sequence[Row]) -> Iterator[str]:
    if strange:
        yield (
            "Samples from elsewhere should get less confidence. AUROC is the chance that a sample "
            "of the dataset gets more of it than one from elsewhere: 50% tells nothing."
        )


def _overview(document: Document) -> Iterator[Table]:
    """The means of each evaluation, where any has one."""
    chosen = [row for row in rows_of(document) if row["robustness"]]
    sets = {row["robustness"]["sets"] for row in chosen}
    if any(sets):
        over = f" over {counted(next(iter(sets)), 'set')}" if len(sets) == 1 else ""
        caption = f"Under corruptions: means{over}, with 95% intervals"
        yield table_of(caption, Names(document), chosen, partial(_means, several=not over))


def _means(row: Row, several: bool) -> dict[str, str]:
    """The means of a row; `several` says that rows differ in their number of sets."""
    found, ends = row["robustness"], row["robustness"]["ci"]
    reasons = (row["reasons"].get(f"robustness.{key}") for key in ("top1", "clean_drop", *_AGAINST))
    return {
        "under corruption": percent(found["top1"], ends["top1"]),
        "lost to corruption": percent(found["clean_drop"], ends["clean_drop"]),
        "drop from baseline": _or_nothing(found, "top1_drop"),
        "relative error": "" if found["mce"] is None else _ratio(found["mce"], ends["mce"]),
        "sets": str(found["sets"]) if several else "",
        "note": clean("; ".join(dict.fromkeys(r for r in reasons if r and r != IS_BASELINE))),
    }


def _or_nothing(found: Row, key: str) -> str:
    return "" if found[key] is None else percent(found[key], found["ci"][key])


def _ratio(value: float, ends: Sequence[float]) -> str:
    return f"{value:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"


def _side_by_side(document: Document, tried: Sequence[Row]) -> Iterator[Table]:
    """Corruption x severity, a column a variant, a table a place."""
    for place, found in by_place(document, tried).items():
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
    caption = "Every corrupted set, with 95% intervals"
    return table_of(caption, Names(document), _each(tried, "corruptions"), _details, detail=True)


def _each(found: Sequence[Row], key: str) -> list[Row]:
    """A row for each set of each evaluation."""
    return [{**each, "set": item} for each in found for item in each[key]]


def _details(row: Row) -> dict[str, str]:
    item = row["set"]
    return {
        "corruption": clean(item["corruption"]),
        "severity": str(item["severity"]),
        **{name: _with(item, key) for key, name in _SHOWN.items()},
        "95% interval (Wilson, frequentist)": _span(item["ci"]),
        "95% credible (Jeffreys, Bayesian)": _span(item["credible"]),
        "lost to corruption": _with(item, "clean_drop"),
        "drop from baseline": _with(item, "top1_drop"),
        "ECE": _with(item, "ece"),
        "note": clean(item["reason"] or ""),
    }


def _with(item: Row, key: str) -> str:
    value = item.get(key)
    return "" if value is None else percent(value, item.get(f"{key}_ci"))


def _span(ends: Sequence[float] | None) -> str:
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}" if ends else ""


def _strangers(document: Document, strange: Sequence[Row]) -> Table:
    caption = "Samples from elsewhere, with 95% intervals"
    return table_of(caption, Names(document), _each(strange, "out_of_distribution"), _stranger)


def _stranger(row: Row) -> dict[str, str]:
    item = row["set"]
    return {
        "set": clean(item["name"]),
        "samples": "" if item["samples"] is None else str(item["samples"]),
        "confidence in the dataset": _with(item, "confidence_in"),
        "confidence elsewhere": _with(item, "confidence_out"),
        "AUROC": _with(item, "auroc"),
        "note": clean(item["reason"] or ""),
    }


def _severities(document: Document, tried: Sequence[Row]) -> Iterator[Chart]:
    """A chart a place, a line a variant; places and lines that would look alike are one."""
    curves = {
        place: {clean(each["variant"], LONGEST_LABEL): _curve(each) for each in found}
        for place, found in by_place(document, tried).items()
    }
    flat = {place: _flat(lines) for place, lines in curves.items()}
    for place, names in first(covering(flat, INVISIBLE), MOST_PLACES):
        lines = {name: line for name, line in curves[place].items() if line}
        alike = covering(lines, INVISIBLE)
        points = [
            {"variant": ", ".join(shared), "corruption": name, "severity": severity, "top1": top1}
            for variant, shared in first(alike, MOST_LINES)
            for (name, severity), top1 in lines[variant].items()
        ]
        if points:
            where = clean(", ".join(names), 2 * LONGEST_LABEL)
            caption = f"Top-1 against the severity of each corruption ({where}); 0: without any"
            yield Chart(caption + left_out(alike, MOST_LINES), partial(severity_chart, points))


def _flat(lines: Mapping[str, Line]) -> dict[tuple[str, str, int], float]:
    """All lines of a place as one."""
    return {(name, *x): value for name, line in lines.items() for x, value in line.items()}


def _curve(each: Row) -> Line:
    """A variant's values; what it loses to a set gives its value on the same clean samples."""
    sets = [item for item in each["corruptions"] if item["top1"] is not None]
    found = {(clean(item["corruption"]), item["severity"]): item["top1"] for item in sets}
    for item in sets:
        if item["clean_drop"] is not None:
            found[clean(item["corruption"]), 0] = item["top1"] + item["clean_drop"]
    return found


def _by_key(each: Row) -> Mapping[tuple[str, int], Row]:
    return {(item["corruption"], item["severity"]): item for item in each["corruptions"]}
