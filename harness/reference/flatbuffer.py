"""A TFLite file under construction: tensors, constants and operators of one graph.

Written directly, because a dozen kinds of operators need no converter with its gigabytes of
dependencies, and because the padding and the tail of the graph then are what XNNPACK's sparse
kernels ask for.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

SCHEMA_VERSION = 3
SIGNATURE = "serving_default"
ALIGNMENT = 16  # of constants, as the schema asks; its Python code leaves them at 4


class Model:
    """A model of one graph. Tensors are known by their index."""

    def __init__(self, description: str) -> None:
        self._model = schema.ModelT()
        self._model.version, self._model.description = SCHEMA_VERSION, description
        self._model.operatorCodes, self._model.metadata = [], []
        self._model.buffers = [schema.BufferT()]  # buffer 0 is the empty one, by convention
        self._graph = schema.SubGraphT()
        self._graph.name, self._graph.tensors, self._graph.operators = "main", [], []
        self._model.subgraphs = [self._graph]
        self._codes: dict[tuple[int, int], int] = {}

    def activation(self, name: str, *shape: int) -> int:
        """Add a tensor computed at run time, of batch 1 that can be resized."""
        tensor = _tensor(name, [1, *shape], schema.TensorType.FLOAT32)
        tensor.shapeSignature = np.array([-1, *shape], dtype=np.int32)
        return self._add(tensor)

    def constant(self, name: str, value: npt.NDArray[Any]) -> int:
        """Add a tensor of float32 or int32 that the file stores."""
        kind = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32}
        tensor = _tensor(name, list(value.shape), kind[value.dtype.name])
        buffer = _AlignedBuffer()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), dtype=np.uint8)
        tensor.buffer = len(self._model.buffers)
        self._model.buffers.append(buffer)
        return self._add(tensor)

    def rename(self, tensor: int, name: str) -> None:
        """Give a tensor another name."""
        self._graph.tensors[tensor].name = name

    def operator(
        self,
        kind: str,
        inputs: list[int],
        outputs: list[int],
        options: Any = None,
        version: int = 1,
    ) -> None:
        """Add an operator of a kind that the schema's BuiltinOperator names."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(schema.BuiltinOperator, kind), version)
        operator.inputs, operator.outputs = inputs, outputs
        if options is not None:
            operator.builtinOptions = options
            table = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
        self._graph.operators.append(operator)

    def finish(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """Return the file, with a signature that names its inputs and outputs."""
        self._graph.inputs, self._graph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [_named(*item) for item in inputs.items()]
        signature.outputs = [_named(*item) for item in outputs.items()]
        self._model.signatureDefs = [signature]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _add(self, tensor: Any) -> int:
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _code(self, builtin: int, version: int) -> int:
        if (builtin, version) not in self._codes:
            made = schema.OperatorCodeT()
            made.builtinCode, made.deprecatedBuiltinCode = builtin, min(builtin, 127)
            made.version = version
            self._codes[builtin, version] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(made)
        return self._codes[builtin, version]


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]  # the base class is untyped
    def Pack(self, builder: Any) -> int:  # noqa: N802  the schema's name
        builder.Prep(ALIGNMENT, len(self.data))
        return int(super().Pack(builder))


def _tensor(name: str, shape: list[int], kind: int) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.buffer, tensor.hasRank = name, kind, 0, True
    tensor.shape = np.array(shape, dtype=np.int32)
    return tensor


def _named(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
