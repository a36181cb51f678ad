"""OpenVINO's fused attention as the products and the softmax that it is made of."""

from __future__ import annotations

from harness.variants.network import Node
from harness.variants.networks.openvino_operator import Operator, Shape

OPERATOR = "ScaledDotProductAttention"


def attended(operator: Operator) -> list[Node]:
    """Return softmax(q k^T + mask) v as neutral nodes; the last one has the operator's name.

    Heads are positions of the axes before the last two, which products of two activations batch
    over. The scale, one number, does not matter here, nor does a causal mask.
    """
    name, (query, key, value, *mask) = operator.name, operator.inputs[:4]
    raw, masked, shares = _tensors(operator)
    last = len(operator.result()) - 1
    nodes = [Node(raw, OPERATOR, "matmul", (query, key), (raw,), transposed=(False, True))]
    if mask:
        nodes.append(Node(masked, OPERATOR, "elementwise", (raw, *mask), (masked,)))
    scored = masked if mask else raw
    nodes.append(Node(shares, OPERATOR, "mix", (scored,), (shares,), axes=(last,)))
    return [*nodes, Node(name, OPERATOR, "matmul", (shares, value), operator.outputs)]


def scores(operator: Operator) -> dict[str, Shape]:
    """Return the shapes of the tensors that only `attended` names: [..., queries, keys]."""
    shape = (*operator.result()[:-2], operator.shape(0)[-2], operator.shape(1)[-2])
    return dict.fromkeys(_tensors(operator), shape)


def _tensors(operator: Operator) -> tuple[str, str, str]:
    name = operator.name
    return f"{name} (scores)", f"{name} (masked)", f"{name} (shares)"
