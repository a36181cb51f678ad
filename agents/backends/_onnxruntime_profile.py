"""ONNX Runtime's own profile: what ran each node of the optimised graph, and for how long."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any, Dict, List, Optional

from agents import wire

# The operators whose arithmetic decides what precision a network runs in.
COMPUTE = (
    *("Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "QLinearConv", "ConvInteger"),
    *("MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"),
    *("Gemm", "FusedGemm", "QGemm", "DynamicQuantizeMatMul"),
)
# They take reals and quantise them on the fly, or integers that their inputs' types do not show.
INTEGER = ("QLinear", "QGemm", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul")
PRECISIONS = {
    "float": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "double": "fp64",
    "int8": "int8",
    "uint8": "int8",
}
# A node of theirs is a part of the graph, compiled; of what they do inside nothing is known.
OPAQUE = ("OpenVINOExecutionProvider", "TensorrtExecutionProvider")
NESTING = ("If", "Loop", "Scan")  # they hold graphs, whose nodes are their own part


def taken(path: str) -> List[Dict[str, Any]]:
    """Read the events of a profile, and remove its file."""
    with open(path, encoding="utf-8") as file:
        events: List[Dict[str, Any]] = json.load(file)
    os.unlink(path)
    return events


def layers(events: List[Dict[str, Any]]) -> List[wire.LayerRun]:
    """List the nodes that ran, in order; times, kept in whole us, are of all runs but the first."""
    runs = inferences(events)
    nodes = {key(event): layer(event) for run in runs for event in run}
    warm = runs[1:]
    if warm:
        spent = Counter(dict.fromkeys(nodes, 0))
        for event in (event for run in warm for event in run):
            spent[key(event)] += event["dur"]
        for at, node in nodes.items():
            node["ns"] = round(1000 * spent[at] / len(warm))
    return list(nodes.values())


def warm(events: List[Dict[str, Any]]) -> int:
    """Count the inferences but the first."""
    return max(0, len(inferences(events)) - 1)


def activation_bytes(events: List[Dict[str, Any]]) -> Optional[int]:
    """The most in use in the arena beyond what was before the first node, as packed weights are.

    Null without a run, and of a release that does not tell.
    """
    nodes = [event["args"] for run in inferences(events) for event in run]
    if not nodes or not all("mem_bytes_in_use" in node for node in nodes):
        return None
    before = int(nodes[0]["mem_bytes_in_use"]) - int(nodes[0]["mem_in_use_delta"])
    return max(int(node["mem_bytes_in_use"]) for node in nodes) - before


def inferences(events: List[Dict[str, Any]]) -> List[List[Dict[str, Any]]]:
    """The outermost nodes of each inference, in order of their end."""
    found: List[List[Dict[str, Any]]] = []
    nodes: List[Dict[str, Any]] = []
    for event in events:
        if event.get("name") == "model_run":
            found.append(nodes)
            nodes = []
        elif event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            if event["args"].get("op_name") in NESTING:
                nodes = [node for node in nodes if node["ts"] < event["ts"]]
            nodes.append(event)
    return found


def key(event: Dict[str, Any]) -> Any:
    """What tells a node from others: names alone may be equal."""
    return event["name"], event["args"].get("node_index")


def layer(event: Dict[str, Any]) -> wire.LayerRun:
    """Describe a node; its time is still to come."""
    details = event["args"]
    operator, provider = details.get("op_name", ""), details.get("provider")
    types = details.get("input_type_shape") or []
    return {
        "name": event["name"][: -len("_kernel_time")],
        "operator": operator,
        "kernel": None,  # the runtime does not name them
        "provider": provider,
        "precision": None if provider in OPAQUE else precision_of(operator, types),
        "ns": None,
    }


def precision_of(operator: str, inputs: List[Dict[str, Any]]) -> Optional[str]:
    """Precision of a node: by its operator, else by the first of its inputs that has one."""
    if operator.startswith(INTEGER):
        return "int8"
    types = (next(iter(one), "") for one in inputs)
    return next((PRECISIONS[name] for name in types if name in PRECISIONS), None)


def opaque_note(found: List[wire.LayerRun]) -> Optional[str]:
    """Say when parts of a graph ran as one node each."""
    count = sum(one["provider"] in OPAQUE for one in found)
    if not count:
        return None
    return "{} of {} nodes are compiled parts whose precision is not told".format(count, len(found))


def precisions(found: List[wire.LayerRun]) -> Dict[str, int]:
    """Count the compute layers by precision."""
    ran = (one["precision"] for one in found if one["operator"] in COMPUTE)
    return dict(Counter(precision for precision in ran if precision))
