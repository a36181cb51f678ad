"""JUnit XML against what GitLab and Jenkins read: the elements, their order, their texts.

GitLab: https://docs.gitlab.com/ci/testing/unit_test_reports/ (testsuite name and time; testcase
classname, name, file, time; the text of failure, error and skipped). Jenkins: junit-10.xsd of its
xunit plugin, whose order and attributes these are. A schema of JSON says the same of the tree.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from report_runs import POOR, document

from reports.junit import xml

TEXT = {"type": "string"}
COUNT = {"type": "string", "pattern": "^[0-9]+$"}
SECONDS = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}
NAME = {"type": "string", "minLength": 1, "pattern": r"^[^\x00-\x1f]*$"}
# ISO 8601, as xs:dateTime has it.
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)?$"}


def element(
    tag: str, required: dict[str, Any], *children: Any, text: bool = False
) -> dict[str, Any]:
    """An element with exactly these attributes, and children of these kinds in this order."""
    inside = {"type": "array", "items": False, "prefixItems": list(children)}
    return {
        "type": "object",
        "properties": {
            "tag": {"const": tag},
            "attributes": {
                "type": "object",
                "properties": required,
                "required": list(required),
                "additionalProperties": False,
            },
            "children": inside,
            "text": {"type": "string", "minLength": 1} if text else {"const": ""},
        },
    }


def many(each: dict[str, Any], least: int) -> dict[str, Any]:
    """Any number of an element inside another."""
    return {"type": "array", "items": each, "minItems": least}


TALLY = {"tests": COUNT, "failures": COUNT, "errors": COUNT, "skipped": COUNT, "time": SECONDS}
PROPERTY = element("property", {"name": NAME, "value": TEXT})
PROPERTIES = element("properties", {})
PROPERTIES["properties"]["children"] = many(PROPERTY, 1)
OUTCOMES = [
    element(tag, {"message": NAME, "type": NAME}, text=True)
    for tag in ("failure", "error", "skipped")
]
CASE = element("testcase", {"name": NAME, "classname": NAME, "time": SECONDS})
CASE["properties"]["children"] = {"type": "array", "items": {"anyOf": OUTCOMES}, "maxItems": 1}
SUITE = element("testsuite", {"name": NAME, "timestamp": MOMENT, **TALLY})
SUITE["properties"]["children"] = {
    "type": "array",
    "prefixItems": [PROPERTIES],
    "items": CASE,
    "minItems": 2,
}
SUITES = element("testsuites", {"name": NAME, **TALLY})
SUITES["properties"]["children"] = many(SUITE, 1)
VALIDATOR = jsonschema.Draft202012Validator(SUITES)


def tree(found: ElementTree.Element) -> dict[str, Any]:
    return {
        "tag": found.tag,
        "attributes": dict(found.attrib),
        "children": [tree(child) for child in found],
        "text": (found.text or "").strip(),
    }


def refused(text: str) -> list[str]:
    found = VALIDATOR.iter_errors(tree(ElementTree.fromstring(text)))
    return [f"{error.json_path}: {error.message}" for error in found]


@pytest.mark.parametrize("advisory", [False, True])
@pytest.mark.parametrize("name", [*POOR, "several-boards"])
def test_what_is_written_keeps_the_schema(name: str, advisory: bool) -> None:
    text = xml(document(name), advisory)
    assert refused(text) == []
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>')


def test_the_tallies_are_those_of_the_cases() -> None:
    root = ElementTree.fromstring(xml(document("several-boards")))
    for suite in [root, *root]:
        cases = list(suite.iter("testcase"))
        tally = {"tests": len(cases)}
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            tally[name] = sum(case.find(tag) is not None for case in cases)
        assert {name: int(suite.get(name, "-1")) for name in tally} == tally
    assert sum(int(suite.get("tests", "0")) for suite in root) == int(root.get("tests", "-1"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<testcase name=", "<testcase nom="),
        ("<failure ", "<failed "),
        ('tests="', 'tests="-'),
        ('timestamp="', 'timestamp="on '),
        ("<properties>", "<system-out/><properties>"),
        ("</testsuite>", "<system-out/></testsuite>"),
    ],
)
def test_what_breaks_the_schema_is_refused(old: str, new: str) -> None:
    text = xml(document("one-launch"))
    spoiled = text.replace(old, new)
    if new == "<failed ":
        spoiled = spoiled.replace("</failure>", "</failed>")
    assert spoiled != text and refused(spoiled)
