"""The answer in words: which variants pay off, what passed, failed or could not be decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from reports.layout import Document, Row, Section
from reports.names import LONGEST_LABEL, Names
from reports.text import clean, counted, valued, with_interval

ORDER = 10
MOST_NAMED = 6  # cells in one sentence
MOST_FAILED = 3  # with their values
ANSWERS = {
    "pass": "PASS: every gate holds.",
    "fail": "FAIL: at least one gate is broken.",
    "inconclusive": "INCONCLUSIVE: no gate is broken, but not all could be decided.",
}

LEADS = {"fail": "Failed", "inconclusive": "Not decided", "pass": "Passed"}


def section(document: Document) -> Section:
    words = [_gates(document), *_by_gate(document, "fail"), *shipping(document)]
    words += [*_by_gate(document, "inconclusive"), *_to_decide(document)]
    words += [*_by_gate(document, "pass"), *_drifted(document)]
    lost, cells = document["counts"]["without_result"], document["counts"]["cells"]
    if lost:
        words.append(f"Without a result: {lost} of {counted(cells, 'cell')}.")
    words += [
        f"Device {clean(device['name'])} failed: {clean(device['reason'] or 'no reason given')}."
        for device in document["devices"]
        if device["status"] == "failed"
    ]
    words += _runtimes(document)
    several = len({row["device"] for row in document["results"]}) > 1
    points = []
    for row in document["findings"]:
        place = f" on {clean(row['device'])}" if several else ""
        points.append((f"{clean(row['variant'])}{place}", clean(row["text"], 1000)))
    if not points:
        words.append("There is no variant to hold against the baseline.")
    return Section("Summary", words, points)


def shipping(document: Document) -> Iterator[str]:
    """Which variant to ship where, if the study says what it must meet; the why is told later."""
    found = [row for row in document["recommendations"] if row["variant"]]
    several = len({row["device"] for row in found}) > 1
    told = []
    for row in found:
        place = clean(row["runtime"]) + (f" on {clean(row['device'])}" if several else "")
        sure = "" if row["proven"] else " (not proven)"
        told.append(f"{clean(row['variant'])} in {place}{sure}")
    if told:
        rest = f" and {len(told) - MOST_NAMED} more" if len(told) > MOST_NAMED else ""
        yield f"To ship, within the targets: {', '.join(told[:MOST_NAMED])}{rest}."


def _runtimes(document: Document) -> Iterator[str]:
    """Which runtime serves which cells best, a sentence for each answer."""
    names, answers = Names(document), defaultdict(list)
    for row in document["fastest_runtimes"]:
        answer = row["runtime"] or f"not decided between {' and '.join(row['between'])}"
        answers[answer].append(names.label(row, clean(row["variant"], LONGEST_LABEL)))
    compared, known = (
        {(row["device"], row["variant"]) for row in document[key]}
        for key in ("fastest_runtimes", "results")
    )
    for answer, cells in answers.items():
        told = ", ".join(cells[:MOST_NAMED])
        rest = f" and {len(cells) - MOST_NAMED} more" if len(cells) > MOST_NAMED else ""
        every = len(answers) == 1 and len(cells) > 1 and compared == known
        yield f"Fastest runtime: {clean(answer)}, for {'every variant' if every else told + rest}."


def _by_gate(document: Document, outcome: str) -> Iterator[str]:
    """Which gates failed, were left open, or passed, and in how many cells; where they failed."""
    found = [row for row in document["counts"]["gates"] if row[outcome]]
    told = [f"{clean(row['gate'])} ({_share(row, outcome)})" for row in found]
    if outcome == "fail":
        told = [f"{text}: {_where(document, row)}" for text, row in zip(told, found, strict=True)]
    if told:
        yield f"{LEADS[outcome]}: {('; ' if outcome == 'fail' else ', ').join(told)}."


def _where(document: Document, counts: Row) -> str:
    """The cells that fail a gate, with their values."""
    names = Names(document)
    told = [
        f"{names.label(row)} at {valued(row['value'], row['ci'], row['unit'])}"
        for row in document["verdicts"]
        if (row["gate"], row["verdict"]) == (counts["gate"], "fail")
    ]
    return ", ".join(told[:MOST_FAILED]) + (" and more" if len(told) > MOST_FAILED else "")


def _drifted(document: Document) -> Iterator[str]:
    """Small steps since the last release that together are more than one gate allows."""
    found = [row for row in document["drift"]["cells"] if row["beyond"]]
    if found:
        names = Names(document)
        told = [f"{names.label(row)} at {with_interval(row['ratio'], row['ci'])}" for row in found]
        rest = f" and {len(told) - MOST_FAILED} more" if len(told) > MOST_FAILED else ""
        since = clean(document["drift"]["release"]["name"])
        yield (
            f"Drifted since {since} by more than one gate allows: "
            f"{', '.join(told[:MOST_FAILED])}{rest}."
        )


def _to_decide(document: Document) -> Iterator[str]:
    """What would decide one of the gates that are open; the table of verdicts has all."""
    opened = [row for row in document["verdicts"] if row["verdict"] == "inconclusive"]
    told = [row for row in opened if row["prescription"]]
    if told:
        first = told[0]
        what = f"{clean(first['gate'])} of {Names(document).label(first)}"
        yield f"To decide {what}: {clean(first['prescription'], 400)}."


def _gates(document: Document) -> str:
    found = document["counts"]["verdicts"]
    if not found["asked"]:
        return "The study sets no gates."
    waived = f" ({found['by_waiver']} by a waiver's ceiling)" if found["by_waiver"] else ""
    counts = ", ".join(
        f"{found[word]} {word}{waived if word == 'pass' else ''}" for word in ANSWERS if found[word]
    )
    return f"{ANSWERS[document['overall']]} Verdicts: {counts}."


def _share(counts: Row, outcome: str) -> str:
    """How many of a gate's verdicts: 2 of 3, 1 by a waiver."""
    waived = counts["by_waiver"] if outcome == "pass" else 0
    return f"{counts[outcome]} of {counts['asked']}" + (f", {waived} by a waiver" if waived else "")
