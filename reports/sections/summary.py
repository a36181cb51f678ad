"""The answer in words: which variants pay off, what passed, failed or could not be decided."""

from __future__ import annotations

from collections import Counter

from reports.layout import Document, Section
from reports.text import clean, counted

ORDER = 10
ANSWERS = {
    "pass": "PASS: every gate holds.",
    "fail": "FAIL: at least one gate is broken.",
    "inconclusive": "INCONCLUSIVE: no gate is broken, but not all could be decided.",
}


def section(document: Document) -> Section:
    words = [_gates(document)]
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


def _gates(document: Document) -> str:
    found = Counter(verdict["verdict"] for verdict in document["verdicts"])
    if not found:
        return "The study sets no gates."
    counts = ", ".join(f"{found[word]} {word}" for word in ANSWERS if found[word])
    return f"{ANSWERS[document['overall']]} Verdicts: {counts}."
