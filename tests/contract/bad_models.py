"""Models that a runtime reads and then cannot run: endless, hungry, huge, foreign, crashing."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.unit.model_files import Shape, onnx_model

Values = dict[str, tuple[int, Shape]]
FEATURES, CLASSES = 24, 7
X: Values = {"x": (TensorProto.FLOAT, ("n", FEATURES))}
Y: Values = {"y": (TensorProto.FLOAT, ("n", CLASSES))}
WEIGHTS = np.random.default_rng(5).standard_normal((FEATURES, CLASSES)).astype("float32")
FOR_EVER = 2**62
FLOATS_IN_64_MIB = 2**24


def save(folder: Path, name: str, nodes: Sequence[NodeProto], inputs: Values, **more: Any) -> Path:
    """Write an ONNX file whose only output is `y`; `more` are its constants."""
    path = folder / f"{name}.onnx"
    onnx.save(onnx_model(nodes, {"w": WEIGHTS, **more}, inputs, Y), path)
    return path


def product(given: str = "x") -> NodeProto:
    """What makes the scores of all of these."""
    return helper.make_node("MatMul", [given, "w"], ["y"])


def good(folder: Path) -> Path:
    return save(folder, "good", [product()], X)


def foreign(folder: Path) -> Path:
    """It parses, but nobody knows its operator."""
    nodes = [helper.make_node("Frobnicate", ["x"], ["z"], domain="com.acme"), product("z")]
    path = save(folder, "foreign", nodes, X)
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    onnx.save(model, path)
    return path


def huge(folder: Path) -> Path:
    """It asks for 16 TiB at once."""
    value = numpy_helper.from_array(np.ones(1, "float32"))
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["ones"], value=value),
        helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["z"]),
        product("z"),
    ]
    return save(folder, "huge", nodes, X, size=np.array([2**42]))


def endless(folder: Path) -> Path:
    """A loop whose condition stays true."""
    return _loop(folder, "endless", [helper.make_node("Cos", ["a"], ["b"])], [])


def hungry(folder: Path) -> Path:
    """A loop that keeps 64 MiB more in every round."""
    value = numpy_helper.from_array(np.ones(1, "float32"))
    size = helper.make_tensor("size", TensorProto.INT64, [1], [FLOATS_IN_64_MIB])
    nodes = [
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Constant", [], ["size"], value=size),
        helper.make_node("ConstantOfShape", ["size"], ["kept"], value=value),
    ]
    return _loop(folder, "hungry", nodes, ["kept"])


def _loop(folder: Path, name: str, nodes: Sequence[NodeProto], kept: Sequence[str]) -> Path:
    """A loop over the scores that takes `a` to `b`."""
    info, float32 = helper.make_tensor_value_info, TensorProto.FLOAT
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), *nodes],
        "body",
        [
            info("round", TensorProto.INT64, []),
            info("on", TensorProto.BOOL, []),
            info("a", float32, ["n", FEATURES]),
        ],
        [
            info("still", TensorProto.BOOL, []),
            info("b", float32, ["n", FEATURES]),
            *(info(value, float32, None) for value in kept),
        ],
    )
    rounds = {"rounds": np.array(FOR_EVER), "true": np.array(True)}
    outputs = ["z", *(f"all-{value}" for value in kept)]
    loop = helper.make_node("Loop", ["rounds", "true", "x"], outputs, body=body)
    return save(folder, name, [loop, product("z")], X, **rounds)


def tokens(folder: Path) -> Path:
    """Token ids and a mask, int64 and bool, of a length that the file leaves open."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("Cast", ["mask"], ["reals"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["reals", "last"], ["column"]),
        helper.make_node("Mul", ["words", "column"], ["kept"]),
        helper.make_node("ReduceMean", ["kept"], ["mean"], axes=[1], keepdims=0),
        product("mean"),
    ]
    inputs: Values = {
        "ids": (TensorProto.INT64, ("n", "length")),
        "mask": (TensorProto.BOOL, ("n", "length")),
    }
    table = np.random.default_rng(6).standard_normal((100, FEATURES)).astype("float32")
    return save(folder, "tokens", nodes, inputs, table=table, last=np.array([2]))


def image(folder: Path) -> Path:
    """An image of any size."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        product("flat"),
    ]
    inputs: Values = {"x": (TensorProto.FLOAT, ("n", FEATURES, None, None))}
    return save(folder, "image", nodes, inputs)


def strings(folder: Path) -> Path:
    """Words."""
    nodes = [
        helper.make_node("Equal", ["x", "x"], ["same"]),
        helper.make_node("Cast", ["same"], ["z"], to=TensorProto.FLOAT),
        product("z"),
    ]
    return save(folder, "strings", nodes, {"x": (TensorProto.STRING, ("n", FEATURES))})


def crashing(folder: Path) -> Path:
    """An ncnn network that reads far beyond its four scales; ncnn does not look."""
    path = folder / "crashing.param"
    layers = ["Input in0 0 1 in0 0=4000000", "Scale far 1 1 in0 out0 0=4 1=0"]
    path.write_text("\n".join(["7767517", "2 2", *layers, ""]))
    path.with_suffix(".bin").write_bytes(struct.pack("<4f", 1, 1, 1, 1))
    return path
