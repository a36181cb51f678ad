"""JSON Schemas of the files that people write, for editors, and of the report, for programs.

A schema accepts all that edgeproof does; what hangs together (a baseline that is a variant, files
that are there) only edgeproof itself can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.contract import Report
from harness.devices import DeviceProfile, Inventory
from harness.scenarios import PARAMETERS
from harness.study import Study

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def of(kind: str) -> Schema:
    """Return the schema of a study, an inventory, a profile or a report."""
    return {"$schema": DIALECT, **KINDS[kind](), "title": f"edgeproof: {kind}"}


def _study() -> Schema:
    schema = Study.model_json_schema()
    parts = schema["$defs"]
    # Short forms, which are spelled out before the models see them.
    variant = parts["Variant"]["properties"]
    variant["from"] = {"anyOf": [variant["from"], {"type": "array", "items": {"type": "string"}}]}
    parts["Scenario"] = {"anyOf": [{"enum": list(PARAMETERS)}, parts["Scenario"]]}
    return schema


def _inventory() -> Schema:
    schema = Inventory.model_json_schema()
    device = schema["$defs"]["Device"]
    # The key of an entry is its name; `local:` may stand alone.
    del device["properties"]["name"]
    device["required"] = [key for key in device.get("required", []) if key != "name"]
    schema["$defs"]["Device"] = {"anyOf": [device, {"type": "null"}]}
    return schema


KINDS: Mapping[str, Callable[[], Schema]] = {
    "study": _study,
    "inventory": _inventory,
    "profile": DeviceProfile.model_json_schema,
    "report": Report.model_json_schema,
}
