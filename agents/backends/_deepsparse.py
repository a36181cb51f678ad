"""DeepSparse's analysis of a model, layer by layer, told in the words of the file."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional

from agents import wire

INNER = "ONNX Runtime inside DeepSparse"
# By ONNX's number of a weight's type; of other types it is not known what becomes of them.
PRECISIONS = {1: "fp32", 2: "int8", 3: "int8"}
# Operators whose arithmetic decides what precision a network runs in, and where their weights are.
WEIGHTS = {"Conv": 1, "Gemm": 1, "MatMul": 1, "ConvInteger": 1, "MatMulInteger": 1}
WEIGHTS.update({"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3})


class Node(NamedTuple):
    """One operator of the file."""

    operator: str
    precision: Optional[str]  # of its weights


class Layer(NamedTuple):
    """What DeepSparse made of some operators."""

    nodes: List[Node]
    run: wire.LayerRun


def layers(path: str, told: Dict[str, Any]) -> List[Layer]:
    """Translate the layers of an analysis, in order of execution."""
    makers = nodes(path)
    return [layer(one, makers) for one in told["layer_info"]]


def precisions(found: List[Layer]) -> Dict[str, int]:
    """Count the compute operators that were compiled by their precision."""
    told = (node.precision for layer in found for node in layer.nodes)
    return dict(Counter(precision for precision in told if precision))


def nodes(path: str) -> Dict[str, Node]:
    """Find the operator that makes each tensor of a file."""
    import onnx

    graph = onnx.load(path).graph
    types = {tensor.name: PRECISIONS.get(tensor.data_type) for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        weights = node.input[WEIGHTS[node.op_type]] if node.op_type in WEIGHTS else ""
        found.update(dict.fromkeys(node.output, Node(node.op_type, types.get(weights))))
    return found


def layer(told: Dict[str, Any], makers: Dict[str, Node]) -> Layer:
    """Translate one layer; a "naive subgraph" is what ONNX Runtime runs."""
    names = [name for name in told["canonical_name"].split(",") if name in makers]
    members = [makers[name] for name in names]
    weights = {node.precision for node in members} - {None}
    run: wire.LayerRun = {
        "name": ",".join(names) or told["name"],
        "operator": ",".join(sorted({node.operator for node in members})),
        "kernel": re.sub(r"_\d+$", "", told["name"]),  # ks_...: sparse, with the weights' sparsity
        "provider": INNER if told["name"].startswith("Naive") else "DeepSparse",
        "precision": weights.pop() if len(weights) == 1 else None,
        "ns": round(told["average_run_time_in_ms"] * 1e6),
    }
    return Layer(members, run)
