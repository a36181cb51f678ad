"""Candidates against their baselines, measured side by side, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from reports.charts import ratio_chart
from reports.comparison import RATIOS, THROUGHPUT
from reports.layout import Chart, Column, Document, Row, Section, Table
from reports.names import Names
from reports.text import clean, counted, number, with_interval

ORDER = 30
MOST_DRAWN = 40
_TITLES = {
    "variant": "Variants against each other, same runtime",
    "runtime": "Runtimes against each other, same variant",
}
_P50, _P95 = "latency_p50_ratio", "latency_p95_ratio"
_WORDED = (_P50, _P95, THROUGHPUT)  # the others say the same less clearly


def section(document: Document) -> Section:
    names = Names(document)
    words = [
        "The ratio is the candidate's over the baseline's: of times, below 1 is faster; of "
        "throughput, above 1. Each 95% interval, across launches in which both ran side by side, "
        "stands alone; faster and slower are said only where they hold for all comparisons of the "
        "metric at once (Holm, 5%)."
    ]
    tables, charts = [], []
    for kind, title in _TITLES.items():
        rows = [row for row in document["comparisons"] if row["kind"] == kind]
        tables += list(_tables(title, names, kind, rows))
        drawn, note = _drawable(rows)
        if drawn:
            charts.append(_chart(f"{title}: p50 ratio with its interval{note}", names, kind, drawn))
    if not tables:
        return Section("Comparison", ["Nothing was compared: no group holds a baseline and more."])
    if all(row["ratio"] is None for row in document["comparisons"]):
        words.append("No ratio could be formed, so there is no chart; the table says why.")
    return Section("Comparison", words, tables=tables, charts=charts)


def _drawable(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """The p50 ratios that exist, fastest first; of very many, both ends."""
    ratios = [r for r in rows if r["metric"] == _P50 and r["ratio"] is not None]
    ratios.sort(key=lambda row: float(row["ratio"]))
    if len(ratios) <= MOST_DRAWN:
        return ratios, ""
    half = MOST_DRAWN // 2
    note = f" (the {half} lowest and {half} highest of {len(ratios)}; the table has all)"
    return ratios[:half] + ratios[-half:], note


def _chart(caption: str, names: Names, kind: str, rows: Sequence[Row]) -> Chart:
    points = [
        {
            "label": _label(names, kind, row),
            "ratio": row["ratio"],
            "low": row["ci"][0] if row["ci"] else row["ratio"],
            "high": row["ci"][1] if row["ci"] else row["ratio"],
            "finding": row["finding"],
        }
        for row in rows
    ]
    return Chart(caption, lambda: ratio_chart(points))


def _label(names: Names, kind: str, row: Row) -> str:
    if kind == "runtime":
        first = f"{clean(row['variant'], 32)}: {row['candidate']} against {row['baseline']}"
        return names.label(row, clean(first))
    return names.label(row)


def _tables(title: str, names: Names, kind: str, rows: Sequence[Row]) -> Iterator[Table]:
    """Pairs that have times, and those of a scenario that has throughput alone."""
    pairs: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        key = (row["device"], row["group"], row["candidate_cell"])
        pairs.setdefault(key, {})[row["metric"]] = row
    timed = [pair for pair in pairs.values() if _P50 in pair]
    rest = [pair for pair in pairs.values() if _P50 not in pair]
    if timed:
        further = [metric for metric in RATIOS if metric not in (_P50, _P95)]
        yield _table(title, names, kind, timed, (_P50, _P95))
        yield _table(f"{title}, further ratios", names, kind, timed, further, detail=True)
    if rest:
        yield _table(f"{title}, throughput", names, kind, rest, (THROUGHPUT,))


def _table(
    caption: str,
    names: Names,
    kind: str,
    pairs: Sequence[Mapping[str, Row]],
    metrics: Sequence[str],
    *,
    detail: bool = False,
) -> Table:
    """One row a pair of cells: some of its ratios side by side, all but the first with detail."""
    without = (kind,)
    against = dict.fromkeys(clean(row["baseline"]) for pair in pairs for row in pair.values())
    columns = [
        Column(kind),
        *([Column("against")] if len(against) > 1 else []),
        *names.columns(without),
        *(column for metric in metrics for column in _columns(metric, metrics[0])),
        Column("launches", "number", detail=True),
        Column("board time", "number", detail=True),
        Column("note", detail=True),
    ]
    body = [_cells(names, without, pair, metrics, len(against) > 1) for pair in pairs]
    if len(against) == 1:
        caption += f": against {next(iter(against))}"
    caption += f" ({counted(len(body), 'pair')}), with 95% intervals"
    return replace(Table(caption, columns, body).filled(), detail=detail)


def _columns(metric: str, first: str) -> list[Column]:
    """A ratio and, for those that have one, its word; the word of the first has no other name."""
    heading = Column(f"{_short(metric)} ratio", "number")
    if metric not in _WORDED:
        return [heading]
    word = "finding" if metric == first else f"{_short(metric)} finding"
    return [heading, Column(word, "word", detail=metric != first)]


def _short(metric: str) -> str:
    return RATIOS[metric].replace("_", " ")


def _cells(
    names: Names,
    without: Sequence[str],
    pair: Mapping[str, Row],
    metrics: Sequence[str],
    against: bool,
) -> list[str]:
    first = next(iter(pair.values()))
    ratios: list[str] = []
    for metric in metrics:
        row = pair.get(metric)
        ratios.append(with_interval(row["ratio"], row["ci"]) if row else "")
        if metric in _WORDED:
            ratios.append(row["finding"] if row else "")
    return [
        clean(first["candidate"]),
        *([clean(first["baseline"])] if against else []),
        *names.values(first, without),
        *ratios,
        str(max(row["launches"] for row in pair.values())),
        f"{number(first['seconds'])} s",
        "; ".join(_notes({metric: row for metric, row in pair.items() if metric in metrics})),
    ]


def _notes(pair: Mapping[str, Row]) -> list[str]:
    """Why a ratio or its interval is missing, the ratios with one reason together."""
    told: dict[str, list[str]] = {}
    for metric, row in pair.items():
        if row["reason"]:
            told.setdefault(clean(row["reason"]), []).append(_short(metric))
    return [f"{', '.join(metrics)}: {reason}" for reason, metrics in told.items()]
