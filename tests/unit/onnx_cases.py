"""ONNX operators, each with what its node must say."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx_nets import (
    ONE,
    Array,
    build,
    ints,
    noise,
)


class Case(NamedTuple):
    """One operator with its input's shape `onnx_nets.ONE`."""

    operator: str
    attributes: dict[str, Any]
    constants: dict[str, Array]  # the other inputs in order; "" for one that is left out
    opset: int
    said: dict[str, Any]

    def model(self) -> onnx.ModelProto:
        """Return a network of this operator alone."""
        node = helper.make_node(
            self.operator, ["x", *self.constants], ["y"], "it", **self.attributes
        )
        given = {name: values for name, values in self.constants.items() if name}
        return build([node], given, ONE, opset=self.opset)


CASES = [
    Case("Relu", {}, {}, 17, {"kind": "elementwise"}),
    Case("Clip", {}, {"low": np.float32(0), "high": np.float32(6)}, 17, {"kind": "elementwise"}),
    Case("HardSwish", {}, {}, 17, {"kind": "elementwise"}),
    Case("Mish", {}, {}, 18, {"kind": "elementwise"}),
    Case("Gelu", {}, {}, 20, {"kind": "elementwise"}),
    Case("Cast", {"to": TensorProto.DOUBLE}, {}, 17, {"kind": "elementwise"}),
    Case("Mul", {}, {"b": noise(4, 1, 1)}, 17, {"kind": "elementwise"}),
    Case("Pow", {}, {"b": np.float32(2)}, 17, {"kind": "elementwise"}),
    Case("PRelu", {}, {"slope": noise(4, 1, 1)}, 17, {"kind": "elementwise"}),
    Case("Identity", {}, {}, 17, {"kind": "identity"}),
    Case("Dropout", {}, {}, 17, {"kind": "identity"}),
    Case(
        "BatchNormalization",
        {},
        {"s": noise(4), "b": noise(4), "m": noise(4), "v": abs(noise(4)) + 1},
        17,
        {"kind": "per_channel", "axis": 1},
    ),
    Case(
        "InstanceNormalization",
        {},
        {"s": noise(4), "b": noise(4)},
        17,
        {"kind": "per_channel", "axis": 1, "axes": (2, 3)},
    ),
    Case(
        "GroupNormalization",
        {"num_groups": 2},
        {"s": noise(4), "b": noise(4)},
        21,
        {"kind": "mix", "axes": (1, 2, 3)},
    ),
    Case("LayerNormalization", {}, {"s": noise(6)}, 17, {"kind": "mix", "axes": (3,)}),
    Case(
        "LayerNormalization", {"axis": 2}, {"s": noise(6, 6)}, 17, {"kind": "mix", "axes": (2, 3)}
    ),
    Case("LayerNormalization", {}, {"s": noise(4, 1, 6)}, 17, {"kind": "unknown"}),
    Case("LpNormalization", {"axis": 1}, {}, 17, {"kind": "mix", "axes": (1,)}),
    Case("LRN", {"size": 3}, {}, 17, {"kind": "mix", "axes": (1,)}),
    Case("MeanVarianceNormalization", {}, {}, 17, {"kind": "mix", "axes": (0, 2, 3)}),
    Case("CumSum", {}, {"axis": np.int64(-1)}, 17, {"kind": "mix", "axes": (3,)}),
    Case("Softmax", {"axis": 1}, {}, 17, {"kind": "mix", "axes": (1,)}),
    Case("Softmax", {}, {}, 17, {"kind": "mix", "axes": (3,)}),
    Case("Softmax", {"axis": 2}, {}, 11, {"kind": "mix", "axes": (2, 3)}),
    Case("LogSoftmax", {"axis": -3}, {}, 17, {"kind": "mix", "axes": (1,)}),
    Case("MaxPool", {"kernel_shape": [2, 2]}, {}, 17, {"kind": "mix", "axes": (2, 3)}),
    Case("AveragePool", {"kernel_shape": [3, 3]}, {}, 17, {"kind": "mix", "axes": (2, 3)}),
    Case("LpPool", {"kernel_shape": [3, 3]}, {}, 17, {"kind": "mix", "axes": (2, 3)}),
    Case("GlobalAveragePool", {}, {}, 17, {"kind": "reduce", "axes": (2, 3), "keepdims": True}),
    Case("GlobalMaxPool", {}, {}, 17, {"kind": "reduce", "axes": (2, 3)}),
    Case("Pad", {}, {"pads": ints(0, 1, 0, 2, 0, 0, 0, 0)}, 17, {"kind": "mix", "axes": (1, 3)}),
    Case(
        "Pad",
        {"mode": "reflect"},
        {"pads": ints(1, 1), "": np.zeros(0), "axes": ints(-1)},
        18,
        {"kind": "mix", "axes": (3,)},
    ),
    Case(
        "Resize",
        {"mode": "linear"},
        {"": np.zeros(0), "scales": np.array([1, 1, 2, 1.5], np.float32)},
        17,
        {"kind": "mix", "axes": (2, 3)},
    ),
    Case("ReduceMean", {"axes": [1], "keepdims": 0}, {}, 17, {"kind": "reduce", "keepdims": False}),
    Case("ReduceSum", {}, {"axes": ints(-1, 2)}, 17, {"kind": "reduce", "axes": (2, 3)}),
    Case("ReduceMax", {}, {}, 17, {"kind": "reduce", "axes": (0, 1, 2, 3)}),
    Case("ReduceSum", {"noop_with_empty_axes": 1}, {}, 17, {"kind": "identity"}),
    Case("ArgMax", {"axis": -1, "keepdims": 0}, {}, 17, {"kind": "reduce", "axes": (3,)}),
    Case(
        "Slice",
        {},
        {"starts": ints(3), "ends": ints(-9), "axes": ints(1), "steps": ints(-2)},
        17,
        {"kind": "gather", "axis": 1, "positions": [3, 1]},
    ),
    Case(
        "Slice",
        {},
        {"starts": ints(0, 0, 1), "ends": ints(2**63 - 1, 4, 5), "axes": ints(0, 1, 3)},
        17,
        {"kind": "gather", "axis": 3, "positions": [1, 2, 3, 4]},
    ),
    Case(
        "Slice",
        {},
        {"starts": ints(1, 1), "ends": ints(3, 5), "axes": ints(1, 2)},
        17,
        {"kind": "mix", "axes": (1, 2)},
    ),
    Case(
        "Gather",
        {"axis": 1},
        {"i": ints(-1, 0, 0)},
        17,
        {"kind": "gather", "axis": 1, "positions": [3, 0, 0]},
    ),
    Case("Gather", {"axis": 2}, {"i": np.int64(1)}, 17, {"kind": "reduce", "axes": (2,)}),
    Case("Gather", {"axis": 1}, {"i": np.zeros((2, 2), np.int64)}, 17, {"kind": "unknown"}),
    Case("Tile", {}, {"repeats": ints(1, 1, 2, 1)}, 17, {"kind": "mix", "axes": (2,)}),
    Case("Transpose", {"perm": [0, 2, 3, 1]}, {}, 17, {"kind": "transpose", "perm": (0, 2, 3, 1)}),
    Case("Transpose", {}, {}, 17, {"kind": "transpose", "perm": (3, 2, 1, 0)}),
    Case("Flatten", {}, {}, 17, {"kind": "reshape"}),
    Case("Reshape", {}, {"shape": ints(0, -1, 36)}, 17, {"kind": "reshape"}),
    Case("Unsqueeze", {}, {"axes": ints(1)}, 17, {"kind": "reshape"}),
    Case("DepthToSpace", {"blocksize": 2}, {}, 17, {"kind": "unknown"}),
    Case("Shape", {}, {}, 17, {"kind": "unknown"}),
]
