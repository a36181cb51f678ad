"""The one graph of a TFLite model by names and positions, and the edits that surgery needs."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.variants.network import Array
from harness.variants.networks.tflite_file import DTYPES, schema

CODES: dict[int, str] = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
}
CUSTOM = schema.BuiltinOperator.CUSTOM
TENSOR_TYPES = {dtype: kind for kind, dtype in DTYPES.items()}


class Model:
    """A model's tensors, which the file numbers, and its operators."""

    def __init__(self, file: Any) -> None:
        self.file = file
        graph = file.subgraphs[0]
        self.tensors: list[Any] = graph.tensors
        self.operators: list[Any] = graph.operators or []
        self.inputs = [int(index) for index in numbers(graph.inputs)]
        self.outputs = [int(index) for index in numbers(graph.outputs)]
        self.names = _unique(self.tensors)
        self.index = {name: index for index, name in enumerate(self.names)}
        self.makers = {
            int(output): operator
            for operator in self.operators
            for output in numbers(operator.outputs)
        }

    def code(self, operator: Any) -> str:
        """Return what the file calls an operator: CONV_2D, or the name of a custom one."""
        code = self.file.operatorCodes[operator.opcodeIndex]
        # Files of before 2020 have the code in the narrow field only.
        number = int(max(code.builtinCode, code.deprecatedBuiltinCode))
        if number == CUSTOM:
            return str((code.customCode or b"CUSTOM").decode("utf-8", "replace"))
        return CODES.get(number, str(number))

    def source(self, index: int) -> int:
        """Return the float16 constant behind its DEQUANTIZE, or the tensor itself."""
        maker = self.makers.get(index)
        if maker is None or self.code(maker) != "DEQUANTIZE":
            return index
        behind = int(maker.inputs[0])
        return behind if self.is_constant(behind) else index

    def is_constant(self, index: int) -> bool:
        """Tell whether a tensor's values are stored in the file."""
        tensor = self.tensors[index]
        if index in self.makers or index in self.inputs or tensor.isVariable:
            return False
        size = int(np.prod(numbers(tensor.shape), dtype=np.int64))
        data = self.file.buffers[tensor.buffer].data
        return tensor.type in DTYPES and (size == 0 or (data is not None and len(data) > 0))

    def constant(self, index: int) -> Array:
        """Return a copy of a constant's values."""
        tensor = self.tensors[index]
        data = self.file.buffers[tensor.buffer].data
        dtype = DTYPES[tensor.type]
        flat = np.empty(0, dtype) if data is None else np.array(data).view(dtype)
        return flat.reshape([int(size) for size in numbers(tensor.shape)])

    def put(self, index: int, values: Array) -> None:
        """Give a constant other values, of its own type; tensors with the same data keep theirs."""
        tensor = self.tensors[index]
        buffers = self.file.buffers
        if sum(other.buffer == tensor.buffer for other in self.tensors) > 1:
            tensor.buffer = len(buffers)
            buffers.append(schema.BufferT())
        cast = np.ascontiguousarray(values, DTYPES[tensor.type])
        buffers[tensor.buffer].data = np.frombuffer(cast.tobytes(), np.uint8)
        tensor.shape = np.array(values.shape, np.int32)

    def shape(self, index: int) -> tuple[int | None, ...] | None:
        """Return a shape; null if not even the rank is known.

        A free batch is the 1 that the file was exported with: its operators are those of batch 1.
        """
        tensor = self.tensors[index]
        sizes, signature = numbers(tensor.shape), numbers(tensor.shapeSignature)
        if not len(sizes) and not tensor.hasRank and not self.is_constant(index):
            return None
        free = [axis > 0 and size < 0 for axis, size in enumerate(signature)] or [False] * len(
            sizes
        )
        return tuple(None if f else int(size) for f, size in zip(free, sizes, strict=True))

    def resize(self, index: int, axis: int, size: int) -> None:
        """Change one axis of an activation's shape."""
        tensor = self.tensors[index]
        for field in ("shape", "shapeSignature"):
            sizes = np.array(numbers(getattr(tensor, field)), np.int32)
            if len(sizes) and sizes[axis] >= 0:
                sizes[axis] = size
                setattr(tensor, field, sizes)

    def set_parameter(self, operator: Any, at: int, values: Array) -> None:
        """Give a constant input of one operator other values; other operators keep theirs."""
        index = int(operator.inputs[at])
        used = Counter(int(item) for other in self.operators for item in numbers(other.inputs))
        if used[index] == 1 and index not in self.outputs:
            self.put(index, values)
        else:
            dtype = DTYPES[self.tensors[index].type]
            self.rewire(operator, at, self.add(f"{self.names[index]}_cut", values.astype(dtype)))

    def rewire(self, operator: Any, at: int, index: int) -> None:
        """Let an operator read another tensor."""
        inputs = np.array(numbers(operator.inputs), np.int32)
        inputs[at] = index
        operator.inputs = inputs

    def own_maker(self, operator: Any, at: int) -> Any:
        """Return the operator that computes an input; a copy for it alone if others read it."""
        index = int(operator.inputs[at])
        maker = self.makers[index]
        if sum(index in list(numbers(other.inputs)) for other in self.operators) == 1:
            return maker
        own = self._append(copy.copy(self.tensors[index]), f"{self.names[index]}_own")
        twin = copy.copy(maker)
        twin.outputs = np.array([own], np.int32)
        self.operators.insert(self.operators.index(maker) + 1, twin)
        self.makers[own] = twin
        self.rewire(operator, at, own)
        return twin

    def add(self, stem: str, values: Array) -> int:
        """Add a constant under a name that nothing else bears; returns its number."""
        tensor = schema.TensorT()
        tensor.type, tensor.hasRank = TENSOR_TYPES[values.dtype], True
        tensor.buffer = len(self.file.buffers)
        self.file.buffers.append(schema.BufferT())
        index = self._append(tensor, stem)
        self.put(index, values)
        return index

    def _append(self, tensor: Any, stem: str) -> int:
        index = len(self.tensors)
        name = stem if stem not in self.index else f"{stem}_{index}"
        tensor.name = name.encode()
        self.tensors.append(tensor)
        self.names.append(name)
        self.index[name] = index
        return index

    def change(self, operator: Any, code: str, inputs: Sequence[int], options: Any) -> None:
        """Make an operator of another kind of it, with the same outputs."""
        operator.opcodeIndex = self._code(getattr(schema.BuiltinOperator, code))
        operator.inputs = np.array(inputs, np.int32)
        operator.builtinOptions = options
        kind = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)

    def _code(self, number: int) -> int:
        codes = self.file.operatorCodes
        for index, code in enumerate(codes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
                return index
        made = schema.OperatorCodeT()
        made.builtinCode, made.deprecatedBuiltinCode, made.version = number, min(number, 127), 1
        codes.append(made)
        return len(codes) - 1


def numbers(vector: Any) -> Any:
    """Return a vector of the file, which has null for an empty one."""
    return () if vector is None else vector


def _unique(tensors: Sequence[Any]) -> list[str]:
    """Name every tensor; the number tells those apart that have no name or another's."""
    given = [(tensor.name or b"").decode("utf-8", "replace") for tensor in tensors]
    count, taken, names = Counter(given), set(given), []
    for index, name in enumerate(given):
        if not name or count[name] > 1:
            name = f"{name or 'tensor'}_{index}"
            while name in taken:
                name += "_"
            taken.add(name)
        names.append(name)
    return names
