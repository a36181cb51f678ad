"""The operators of a TFLite file as an interpreter holds them: who runs them, how precisely."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Set, Tuple

from agents import wire
from agents.backends._litert_delegates import BUILTIN

COMPUTE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
PRECISIONS = {"float32": "fp32", "float16": "fp16", "int8": "int8", "uint8": "int8"}


def layers(
    operators: List[Dict[str, Any]], names: Dict[int, str], dtypes: Dict[int, str], delegate: str
) -> List[wire.LayerRun]:
    """List the operators of the file in their order; the interpreter does not time them.

    `names` and `dtypes` are those of tensors; an operator is called after what it makes.
    """
    by_delegate = taken(operators)
    return [
        {
            "name": " ".join(names[int(made)] for made in operator["outputs"][:1])
            or str(operator["index"]),
            "operator": operator["op_name"],
            "kernel": None,
            "provider": delegate if operator["index"] in by_delegate else BUILTIN,
            "precision": precision_of(operator, dtypes),
            "ns": None,
        }
        for operator in of_the_file(operators)
    ]


def described(interpreter: Any) -> Tuple[Dict[int, Any], Dict[int, str]]:
    """Read the types and the names of tensors, by index.

    The interpreter's own list of details kills tflite-runtime where a tensor is sparse.
    """
    inner = interpreter._interpreter
    types: Dict[int, Any] = {}
    for at in range(inner.NumTensors(0)):
        try:
            types[at] = inner.TensorType(at, 0)
        except ValueError:  # scratch space has no type
            continue
    return types, {at: inner.TensorName(at, 0) for at in types}


def of_the_file(operators: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Leave out the nodes that stand for a delegate."""
    return [operator for operator in operators if operator["op_name"] != "DELEGATE"]


def taken(operators: List[Dict[str, Any]]) -> Set[int]:
    """Find the operators that delegates run."""
    return set().union(*parts(operators))


def parts(operators: List[Dict[str, Any]]) -> List[Set[int]]:
    """Find the operators of each delegate: from what it gives back to what it takes.

    The interpreter lists a node for each delegate after the operators, which stay in the list.
    """
    makers = {int(made): one for one in of_the_file(operators) for made in one["outputs"]}
    found: List[Set[int]] = []
    for node in (one for one in operators if one["op_name"] == "DELEGATE"):
        part: Set[int] = set()
        given, wanted = {int(at) for at in node["inputs"]}, [int(at) for at in node["outputs"]]
        while wanted:
            maker = makers.get(wanted.pop())
            if maker is None or maker["index"] in part:
                continue
            part.add(maker["index"])
            wanted += [int(at) for at in maker["inputs"] if int(at) not in given]
        found.append(part)
    return found


def precision_of(operator: Dict[str, Any], dtypes: Dict[int, str]) -> Optional[str]:
    """Precision of an operator by the type of its activations."""
    inputs = list(operator["inputs"])
    at = activations_at(operator)
    return PRECISIONS.get(dtypes.get(inputs[at], "")) if at < len(inputs) else None


def layer_precisions(compute: List[Dict[str, Any]], dtypes: Dict[int, str]) -> Dict[str, int]:
    """Count the compute layers by the type of their activations."""
    ran = (precision_of(layer, dtypes) for layer in compute)
    return dict(Counter(precision for precision in ran if precision))


def hybrid_note(compute: List[Dict[str, Any]], dtypes: Dict[int, str]) -> Optional[str]:
    """Say when reals meet int8 weights (dynamic-range quantisation).

    Kernels differ in what they make of such a layer: they widen the weights, or quantise the
    activations on the fly. The same file then gives other outputs in another runtime.
    """
    hybrid = sum(
        dtypes.get(layer["inputs"][activations_at(layer)]) == "float32"
        and dtypes.get(layer["inputs"][1]) == "int8"
        for layer in compute
    )
    return "{} of {} layers have int8 weights".format(hybrid, len(compute)) if hybrid else None


def activations_at(layer: Dict[str, Any]) -> int:
    """Position of a layer's activations among its inputs: third in a transposed convolution."""
    return 2 if layer["op_name"] == "TRANSPOSE_CONV" else 0
