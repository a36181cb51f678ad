"""Verdicts as lines of a CI job's log: the answer, and the annotations that GitHub shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from reports.gates import overall
from reports.layout import Document, Row
from reports.sessions.drift import told as told_drift
from reports.text import clean, shorten, with_interval

MOST_SHOWN = 10  # annotations of one kind that GitHub shows of a step
LONGEST = 600


def answer(document: Document) -> str:
    """The verdict of the run in one line: how many gates said so, and the first of them."""
    found = document["verdicts"]
    if not found:
        return "no gate was asked of any cell"
    outcome = overall(found)
    counts = Counter(row["verdict"] for row in found)
    told = f"{outcome}: {counts[outcome]} of {len(found)} verdicts"
    first = next((row for row in found if row["verdict"] == outcome != "pass"), None)
    return f"{told}, such as {_subject(first)}: {_told(first)}" if first else told


def github(document: Document, advisory: bool = False) -> str:
    """Workflow commands for the gates that do not pass, at most as many as GitHub shows.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions has the form. An
    `advisory` open gate is a warning; a cell that passes by its waiver's ceiling is a notice. So is
    what has drifted since the last release, and a warning where that is more than one gate allows.
    """
    kinds = {"fail": "error", "inconclusive": "warning" if advisory else "error"}
    shown: Counter[str] = Counter()
    lines = []
    told = [(kind, _subject(row), _told(row)) for row, kind in _kinds(document, kinds)]
    for kind, title, text in [*told, *_drifted(document)]:
        shown[kind] += 1
        if shown[kind] <= MOST_SHOWN:
            lines.append(f"::{kind} title={_property(title)}::{_data(text)}")
    more = {kind: count - MOST_SHOWN for kind, count in shown.items() if count > MOST_SHOWN}
    lines += [f"and {count} more of kind {kind}: see the report" for kind, count in more.items()]
    return "".join(f"{line}\n" for line in lines)


def drifted(document: Document, study: str = "STUDY") -> Iterator[str]:
    """How far each cell has drifted since the last release; `study` is the file of its gate."""
    for row in document["drift"]["cells"]:
        yield f"{_since(document)}: {told_drift(row, study)}"


def _drifted(document: Document) -> Iterator[tuple[str, str, str]]:
    for row in document["drift"]["cells"]:
        kind = "warning" if row["beyond"] else "notice"
        yield kind, _since(document), shorten(told_drift(row), LONGEST)


def _since(document: Document) -> str:
    return f"drift since {clean(document['drift']['release']['name'])}"


def _kinds(document: Document, kinds: dict[str, str]) -> Iterator[tuple[Row, str]]:
    for row in document["verdicts"]:
        if row["verdict"] in kinds:
            yield row, kinds[row["verdict"]]
        elif row["waiver"] and row["waiver"]["in_force"]:
            yield row, "notice"


def _subject(row: Row) -> str:
    where = row["cell"] or "no cell"
    return clean(f"{row['verdict']}: {row['gate']} of {where} on {row['device']}", LONGEST)


def _told(row: Row) -> str:
    waiver = row["waiver"]
    waived = f"; {_waived(waiver)}" if waiver else ""
    value = "no value"
    if row["value"] is not None:
        value = f"{with_interval(row['value'], row['ci'])} {row['unit']}"
    return clean(f"{value}, limit {row['limit']:g}: {row['reason']}{waived}", LONGEST)


def _waived(waiver: Row) -> str:
    said = "waived until" if waiver["in_force"] else "its waiver does not hold since it ended on"
    return f"{said} {waiver['expires']}: {waiver['reason']}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
