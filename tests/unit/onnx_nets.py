"""Small ONNX networks for tests of surgery, and the runtime that says what they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from harness.variants.network import Network, Node
from harness.variants.networks import onnx as networks

Array = npt.NDArray[Any]
FLOAT = TensorProto.FLOAT
ONE = ("n", 4, 6, 6)  # the shape of most inputs here
AT_RANDOM = np.random.default_rng(7)


def noise(*shape: int) -> Array:
    return AT_RANDOM.normal(size=shape).astype(np.float32)


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def build(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array],
    shape: Sequence[int | str | None] = ("n", 4, 6, 6),
    *,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    dtype: int = FLOAT,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    others = [helper.make_opsetid(name, 1) for name in ("com.microsoft", "own")]
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset), *others]
    )
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output
    for port, known in zip(model.graph.output, inferred, strict=True):
        port.CopyFrom(known)
        if not known.type.tensor_type.HasField("shape"):  # onnx infers nothing here
            port.CopyFrom(helper.make_tensor_value_info(port.name, FLOAT, shape))
    return model


def opened(model: onnx.ModelProto, folder: Path) -> Network:
    onnx.save(model, folder / "model.onnx")
    return networks.open(folder / "model.onnx")


def run(path: Path, x: Array) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, {"x": x})]


def node_of(network: Network, operator: str) -> Node:
    return next(node for node in network.graph.nodes if node.operator == operator)


def attention(batch: str | int | None) -> onnx.ModelProto:
    """Attention of two heads as exporters write it, its sizes computed from the input's."""
    add = helper.make_node
    nodes = [
        add("Shape", ["x"], ["dims"]),
        add("Gather", ["dims", "zero"], ["batch"]),
        add("Constant", [], ["first"], value=numpy_helper.from_array(ints(0))),
        add("Unsqueeze", ["batch", "first"], ["batch1"]),
        add("Concat", ["batch1", "length", "two", "four"], ["split"], axis=0),
        add("Concat", ["batch1", "rest", "eight"], ["joined"], axis=0),
        add("MatMul", ["x", "w"], ["qkv"]),
        add("Split", ["qkv"], ["q", "k", "v"], axis=-1),
    ]
    for name in "qkv":
        perm = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
        nodes.append(add("Reshape", [name, "split"], [f"{name}4"]))
        nodes.append(add("Transpose", [f"{name}4"], [f"{name}t"], perm=perm))
    nodes += [
        add("MatMul", ["qt", "kt"], ["scores"]),
        add("Softmax", ["scores"], ["shares"], axis=-1),
        add("MatMul", ["shares", "vt"], ["o"]),
        add("Transpose", ["o"], ["ot"], perm=[0, 2, 1, 3]),
        add("Reshape", ["ot", "joined"], ["oj"]),
        add("MatMul", ["oj", "w2"], ["y"]),
    ]
    sizes = {"zero": np.int64(0), "length": ints(6), "two": ints(2), "four": ints(4)}
    more = {"eight": ints(8), "rest": ints(-1), "w": noise(8, 24), "w2": noise(8, 5)}
    return build(nodes, {**sizes, **more}, (batch, 6, 8))
