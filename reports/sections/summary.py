"""The answer in words: which variants pay off, what passed, failed or could not be decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from reports.layout import Document, Section
from reports.text import clean, counted

ORDER = 10
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
    several = len({row["device"] for row in document["results"]}) > 1
    points = []
    for row in document["findings"]:
        place = f" on {clean(row['device'])}" if several else ""
        points.append((f"{clean(row['variant'])}{place}", clean(row["text"], 1000)))
    if not points:
        words.append("There is no variant to hold against the baseline.")
    return Section("Summary", words, points)


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
    return f"{ANSWERS[document['overall']]} Verdicts: {counts}."
