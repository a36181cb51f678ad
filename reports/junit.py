"""The verdicts as JUnit XML, which CI systems show: a suite a device, a case a gate and cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from reports.layout import Document, Row
from reports.sessions.drift import told
from reports.text import clean, shorten, with_interval

LONGEST_TEXT, LONGEST_NAME, LONGEST_MESSAGE = 4000, 600, 400
NO_GATES = "no gate in this study: it measures and decides nothing"
ADD_GATES = "add gates to the study, such as gates: [{metric: peak_rss_mib, max: 350}]"
BROKEN = "failed"  # the state of a cell, or of a device, that gave no answer at all


def xml(document: Document, advisory: bool = False) -> str:
    """The verdicts of a run; `advisory` says that an open gate stops nothing.

    What GitLab and Jenkins read decides the form (the text of an element; unique names). An open
    gate is a failure, for a dashboard shows a skipped test as if all were well; where open gates
    are advisory it is skipped. A cell that broke is an error, and one that passes by its waiver's
    ceiling is skipped, with the reason; so is a drift since the last release beyond what a gate
    allows for one step, which proves nothing and shall be seen. Without a gate a device has one
    skipped case that says so: Jenkins fails a build where no suite holds a case, and GitLab shows
    nothing.
    """
    states = {(row["device"], row["cell"]): row["status"] for row in document["results"]}
    states |= {(device["name"], None): device["status"] for device in document["devices"]}
    suites = JUnitXml("edgeproof")
    for device in document["devices"]:
        mine = [row for row in document["verdicts"] if row["device"] == device["name"]]
        cases = [_case(document, row, states, advisory) for row in mine]
        cases = [*(cases or [_nothing(document, device)]), *_drifted(document, device["name"])]
        suites.add_testsuite(_suite(document, device, cases))
    suites.update_statistics()  # type: ignore[no-untyped-call]
    text: str = suites.tostring().decode()  # type: ignore[no-untyped-call]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(document: Document, device: Row, cases: Iterable[TestCase]) -> TestSuite:
    suite = TestSuite(clean(f"{document['study']} on {device['name']}"))
    suite.timestamp = clean(document["started"])
    suite.add_property("run", clean(document["run"]))
    suite.add_property("profile", clean(device["profile"]))
    for case in cases:
        suite.add_testcase(case)
    return suite


def _nothing(document: Document, device: Row) -> TestCase:
    """What stands in a suite without a verdict, so that nobody takes silence for a pass."""
    case = TestCase("no gate was asked", _place(document, device["name"]), 0.0)
    found = Skipped(NO_GATES, "no gate")
    found.text = f"{NO_GATES}\nnext: {ADD_GATES}"
    case.result = [found]
    return case


def _drifted(document: Document, device: str) -> Iterator[TestCase]:
    """A case for each cell's drift: of a property CI systems show nothing."""
    drift = document["drift"]
    for row in drift["cells"]:
        if row["device"] == device:
            where = clean(row["cell"], LONGEST_NAME)
            name = f"drift since the last release, {clean(row['gate'] or row['metric'])}: {where}"
            case = TestCase(name, _place(document, device), 0.0)
            if row["beyond"]:
                text = f"since {clean(drift['release']['name'])}: {told(row)}"
                found = Skipped(shorten(text, LONGEST_MESSAGE), "drift")
                found.text = shorten(text, LONGEST_TEXT)
                case.result = [found]
            yield case


def _place(document: Document, device: str) -> str:
    return f"{clean(document['study'])}.{clean(device)}"  # cut apart: of two alike one is lost


def _case(
    document: Document, row: Row, states: dict[tuple[str, str | None], str], advisory: bool
) -> TestCase:
    where = clean(row["cell"] or "no cell", LONGEST_NAME)  # whole: of two alike one would be lost
    case = TestCase(f"{clean(row['gate'])}: {where}", _place(document, row["device"]), 0.0)
    found = _result(row, states.get((row["device"], row["cell"])), advisory)
    if found is not None:
        found.text = _told(document, row)
        case.result = [found]
    return case


def _result(row: Row, state: str | None, advisory: bool) -> Error | Failure | Skipped | None:
    message = clean(row["reason"], 400)
    if row["verdict"] == "fail":
        return Failure(message, "fail")
    if row["verdict"] == "inconclusive":
        if state == BROKEN:
            return Error(message, state)
        return Skipped(message, "inconclusive") if advisory else Failure(message, "inconclusive")
    waiver = row["waiver"]
    if waiver and waiver["in_force"]:
        until = f"waived up to {waiver['ceiling']:g} until {waiver['expires']}"
        return Skipped(clean(f"{until}: {waiver['reason']}", 400), "waived")
    return None


def _told(document: Document, row: Row) -> str:
    """What a person needs who sees nothing but this test."""
    value = "has no value"
    if row["value"] is not None:
        value = f"{with_interval(row['value'], row['ci'])} {row['unit']}"
    lines = [
        f"{row['verdict']}: {row['metric']} {value}, limit {row['limit']:g}",
        row["reason"],
        f"next: edgeproof report {document['run']}",
    ]
    return "\n".join(clean(line, LONGEST_TEXT) for line in lines)
