"""The answer in words: which variants pay off, what passed, failed or could not be decided."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from reports.layout import Document, Section
from reports.names import LONGEST_LABEL, Names
from reports.text import clean, counted

ORDER = 10
MOST_NAMED = 6  # cells in one sentence
ANSWERS = {
    "pass": "PASS: every gate holds.",
    "fail": "FAIL: at least one gate is broken.",
    "inconclusive": "INCONCLUSIVE: no gate is broken, but not all could be decided.",
}

LEADS = {"fail": "Failed", "inconclusive": "Not decided", "pass": "Passed"}


def section(document: Document) -> Section:
    words = [_gates(document), *_by_gate(document)]
    lost = [row for row in document["results"] if row["status"] != "ok"]
    if lost:
        words.append(
            f"Without a result: {len(lost)} of {counted(len(document['results']), 'cell')}."
        )
    words += [
        f"Device {clean(device['name'])} failed: {clean(device['reason'] or 'no reason given')}."
        for device in document["devices"]
        if device["status"] == "failed"
    ]
    words += [*shipping(document), *_runtimes(document)]
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


def _by_gate(document: Document) -> Iterator[str]:
    """Which gates failed, were left open, or passed, and in how many cells."""
    asked = Counter(verdict["gate"] for verdict in document["verdicts"])
    for outcome, lead in LEADS.items():
        found = Counter(v["gate"] for v in document["verdicts"] if v["verdict"] == outcome)
        told = [f"{clean(gate)} ({count} of {asked[gate]})" for gate, count in found.items()]
        if told:
            yield f"{lead}: {', '.join(told)}."


def _gates(document: Document) -> str:
    found = Counter(verdict["verdict"] for verdict in document["verdicts"])
    if not found:
        return "The study sets no gates."
    counts = ", ".join(f"{found[word]} {word}" for word in ANSWERS if found[word])
    waived = sum(bool(v["waiver"] and v["waiver"]["in_force"]) for v in document["verdicts"])
    held = f", {waived} of them by a waiver's ceiling" if waived else ""
    return f"{ANSWERS[document['overall']]} Verdicts: {counts}{held}."
