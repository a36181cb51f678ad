"""An OpenVINO model by names, and the edits that surgery needs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino import passes

from harness.errors import InputError
from harness.variants.network import Array

QUANTISED = ("FakeQuantize", "FakeConvert")
# Types of stored weights that something scales before use.
SCALED = {"i8", "u8", "i4", "u4", "i2", "u2", "u1", "nf4", "f4e2m1", "f8e4m3", "f8e5m2", "f8e8m0"}
FLOATS = {"f16", "bf16", "f32", "f64"}
RESHAPES = ("Reshape", "Squeeze", "Unsqueeze")


class Model:
    """A model whose operators have names of their own, and its tensors and constants by name.

    A tensor is called like the operator that makes it. A constant behind a Convert, as weights in
    half precision are, is called like the Convert, so that it has one name in all precisions.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        _name_apart(model)
        _fold_integers(model)
        _state_shapes(model)
        self._reshape_constants()
        _name_apart(model)
        self.refresh()

    def refresh(self) -> None:
        """Infer all shapes anew, and index what is there."""
        self.model.validate_nodes_and_infer_types()
        self.operators = list(self.model.get_ordered_ops())
        self.constants: dict[str, Any] = {}
        self._called: dict[str, str] = {}  # constant or its Convert -> name of the constant
        for op in self.operators:
            if kind(op) == "Constant":
                self._called[op.get_friendly_name()] = op.get_friendly_name()
        for op in self.operators:
            if widens(op):
                stored = op.input_value(0).get_node().get_friendly_name()
                if self._called[stored] == stored:
                    self._called[stored] = op.get_friendly_name()
                self._called[op.get_friendly_name()] = self._called[stored]
        for op in self.operators:
            if kind(op) == "Constant":
                self.constants[self._called[op.get_friendly_name()]] = op

    def name(self, output: Any) -> str:
        """Return what a tensor is called."""
        node = output.get_node()
        name = str(node.get_friendly_name())
        if name in self._called:
            return self._called[name]
        return f"{name}:{output.get_index()}" if node.get_output_size() > 1 else name

    def source(self, op: Any, at: int) -> str:
        """Return what an input of an operator is called."""
        return self.name(op.input_value(at))

    def is_own(self, op: Any) -> bool:
        """Tell whether it is an operator, and no constant, its Convert, or port of the model."""
        name = op.get_friendly_name()
        return name not in self._called and kind(op) not in ("Parameter", "Result")

    def constant(self, name: str) -> Array:
        """Return a copy of a constant's values; bfloat16 ones as float32."""
        return values(self.constants[name])

    def put(self, name: str, array: Array) -> None:
        """Give a constant other values, of its own type, for all that read it."""
        old = self.constants[name]
        made = ops.constant(_cast(old, array), old.get_element_type())
        made.set_friendly_name(old.get_friendly_name())
        for target in old.output(0).get_target_inputs():
            target.replace_source_output(made.output(0))
        self.constants[name] = made

    def set_parameter(self, op: Any, at: int, array: Array) -> None:
        """Give a constant input of one operator other values; others keep theirs."""
        old = op.input_value(at).get_node()
        made = ops.constant(np.asarray(array), old.get_element_type())
        made.set_friendly_name(f"{op.get_friendly_name()}/input{at}")
        op.input(at).replace_source_output(made.output(0))

    def reshaped(self, output: Any, array: Array) -> Any:
        """Return a constant like the one behind `output`, and its Convert, of another shape."""
        node = output.get_node()
        stored = node.input_value(0).get_node() if widens(node) else node
        made = ops.constant(_cast(stored, array), stored.get_element_type())
        made.set_friendly_name(stored.get_friendly_name())
        if widens(node):
            made = ops.convert(made, node.get_output_element_type(0).to_string())
            made.set_friendly_name(node.get_friendly_name())
        return made

    def _reshape_constants(self) -> None:
        """Store constants in the shape in which they are used.

        OpenVINO's reader of ONNX leaves a reshape before weights of depthwise convolutions.
        """
        for op in self.model.get_ordered_ops():
            if kind(op) not in RESHAPES or op.get_output_partial_shape(0).is_dynamic:
                continue
            source = op.input_value(0)
            stored = _behind(source)
            if kind(stored) == "Constant" and stored.get_element_type().get_type_name() in FLOATS:
                made = self.reshaped(source, values(stored).reshape(tuple(op.get_output_shape(0))))
                made.output(0).get_tensor().set_names(op.output(0).get_tensor().get_names())
                for target in op.output(0).get_target_inputs():
                    target.replace_source_output(made.output(0))

    def exchange(self, old: Any, new: Any) -> None:
        """Put an operator in the place of another, with its names and outputs."""
        new.set_friendly_name(old.get_friendly_name())
        for was, now in zip(old.outputs(), new.outputs(), strict=True):
            now.get_tensor().set_names(was.get_tensor().get_names())
            for target in was.get_target_inputs():
                target.replace_source_output(now)


def read(path: Path) -> Any:
    """Read an IR; whatever cannot be pruned is an InputError."""
    if not path.is_file():
        raise InputError("no such file", where=str(path))
    if not path.with_suffix(".bin").is_file():
        raise InputError(f"has no {path.stem}.bin with its weights beside it", where=str(path))
    try:
        model = ov.Core().read_model(str(path))
    except RuntimeError as error:
        said = " ".join(str(error).split())[-200:]
        raise InputError(f"is damaged or no OpenVINO IR: {said}", where=str(path)) from None
    for op in model.get_ops():
        stored = kind(op) == "Convert" and kind(op.input_value(0).get_node()) == "Constant"
        scaled = stored and op.get_input_element_type(0).get_type_name() in SCALED
        if kind(op) in QUANTISED or scaled:
            raise InputError(
                f"is quantised ('{op.get_friendly_name()}'), which cannot be pruned",
                where=str(path),
                next_step="give the float model it was made from: prune that, then quantise",
            )
    return model


def kind(op: Any) -> str:
    """Return what the file calls an operator: Convolution, MatMul, ..."""
    return str(op.get_type_name())


def widens(op: Any) -> bool:
    """Tell whether it only converts a constant."""
    return kind(op) == "Convert" and kind(op.input_value(0).get_node()) == "Constant"


def values(constant: Any) -> Array:
    """Return a copy of what a Constant holds."""
    if constant.get_element_type() == ov.Type.bf16:
        return np.array(constant.get_data(dtype=np.float32))
    return np.array(constant.data)


def shape(output: Any) -> tuple[int | None, ...] | None:
    """Return a tensor's shape, null if not even its rank is known."""
    partial = output.get_partial_shape()
    if partial.rank.is_dynamic:
        return None
    return tuple(size.get_length() if size.is_static else None for size in partial)


def _cast(old: Any, array: Array) -> Array:
    if old.get_element_type() == ov.Type.bf16:
        return np.ascontiguousarray(array, np.float32)
    return np.ascontiguousarray(array, old.data.dtype)


def _name_apart(model: Any) -> None:
    """Number the operators that share a name."""
    operators = model.get_ordered_ops()
    count = Counter(op.get_friendly_name() for op in operators)
    taken = set(count)
    for index, op in enumerate(operators):
        name = op.get_friendly_name()
        if count[name] > 1:
            while (name := f"{name}_{index}") in taken:
                pass
            taken.add(name)
            op.set_friendly_name(name)


def _fold_integers(model: Any) -> None:
    """Give axes, sizes and positions that are computed from constants alone their values.

    OpenVINO does so too, but with weights as well, which lose their names and half precision.
    """
    folded = model.clone()
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(folded)
    known = {op.get_friendly_name(): op for op in folded.get_ops() if kind(op) == "Constant"}
    for op in model.get_ordered_ops():
        found = known.get(op.get_friendly_name())
        if found is None or kind(op) == "Constant" or op.get_output_size() > 1:
            continue
        if found.get_element_type().is_integral_number():
            made = ops.constant(found.data, found.get_element_type())
            made.set_friendly_name(op.get_friendly_name())
            for target in op.output(0).get_target_inputs():
                target.replace_source_output(made.output(0))


def _state_shapes(model: Any) -> None:
    """Give reshapes a constant for a shape that is computed, where all but one size is known.

    The one that is not, most often the batch, follows from the others (-1).
    """
    for op in model.get_ordered_ops():
        if kind(op) != "Reshape" or kind(_behind(op.input_value(1))) == "Constant":
            continue
        sizes = shape(op.output(0))
        if sizes is not None and sizes.count(None) <= 1:
            stated = np.array([-1 if size is None else size for size in sizes], np.int64)
            made = ops.constant(stated)
            made.set_friendly_name(f"{op.get_friendly_name()}/shape")
            op.input(1).replace_source_output(made.output(0))


def _behind(output: Any) -> Any:
    node = output.get_node()
    return node.input_value(0).get_node() if widens(node) else node
