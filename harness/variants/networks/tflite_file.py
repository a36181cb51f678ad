"""A TFLite file as objects: read whole, checked for what pruning cannot work on, written back."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from harness.errors import InputError
from harness.formats.tflite import DAMAGE, IDENTIFIER
from harness.variants.network import Array
from harness.variants.networks.tflite_densify import densify

try:
    from ai_edge_litert import schema_py_generated as schema
except ModuleNotFoundError as missing:  # part of the extra `build`
    raise InputError(
        "TFLite files need ai-edge-litert to be pruned",
        next_step="pip install 'edgeproof[build]'",
    ) from missing

__all__ = ["DTYPES", "pack", "read", "schema", "write"]

ALIGNMENT = 16  # of constants: `force_align` of Buffer.data in TFLite's schema
# A flatbuffer ends below 2 GiB: beyond, constants follow it and their offsets say where.
MAX_FLATBUFFER = (1 << 31) - (64 << 20)
DTYPES = {
    getattr(schema.TensorType, name): np.dtype(name.lower())
    for name in (
        *("FLOAT16", "FLOAT32", "FLOAT64", "INT8", "INT16", "INT32", "INT64"),
        *("UINT8", "UINT16", "UINT32", "UINT64", "BOOL"),
    )
}


def read(path: Path) -> Any:
    """Read the file as a ModelT; whatever cannot be pruned is an InputError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    if data[4:8] != IDENTIFIER:
        raise InputError("is no TFLite file", where=str(path))
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        _embed(model, data)
        densify(model)
    except (*DAMAGE, struct.error):
        raise InputError("is damaged or cut short", where=str(path)) from None
    _check(model, path)
    return model


def write(model: Any, path: Path) -> None:
    """Write the file; constants are aligned as TFLite's schema demands."""
    path.write_bytes(pack(model))


def pack(model: Any) -> bytes:
    """Return the bytes of the file."""
    size = sum(buffer.data.nbytes for buffer in model.buffers if _stored(buffer))
    return _flatbuffer(model) if size < MAX_FLATBUFFER else _with_constants_behind(model)


def _embed(model: Any, data: bytes) -> None:
    """Bring in what lies behind the flatbuffer, and check that all of it is there."""
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.array(_behind(data, buffer.offset, buffer.size))
        buffer.offset = buffer.size = 0
    for operator in model.subgraphs[0].operators or [] if model.subgraphs else []:
        if operator.largeCustomOptionsOffset > 1:
            found = _behind(
                data, operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
            )
            operator.customOptions = np.array(found)
        operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0


def _behind(data: bytes, offset: int, size: int) -> Array:
    if offset + size > len(data):
        raise ValueError("cut short")
    return np.frombuffer(data, np.uint8, size, offset)


def _check(model: Any, path: Path) -> None:
    def refused(what: str, advice: str | None = None) -> InputError:
        return InputError(what, where=str(path), next_step=advice)

    if len(model.subgraphs or []) != 1:
        count = len(model.subgraphs or [])
        raise refused(f"has {count} subgraphs (control flow); only files of one can be pruned")
    for tensor in model.subgraphs[0].tensors:
        name = (tensor.name or b"").decode("utf-8", "replace")
        if _quantised(tensor):
            advice = "give the float model it was made from: prune that, then quantise"
            raise refused(f"is quantised (tensor '{name}'), which cannot be pruned", advice)
        if tensor.sparsity is not None:
            advice = "give the model it was made from, with dense weights"
            raise refused(f"keeps tensor '{name}' in sparse form, of an unknown type", advice)
        if tensor.externalBuffer:
            raise refused(f"keeps tensor '{name}' in another file")
        _check_size(model, tensor, name, refused)


def _quantised(tensor: Any) -> bool:
    # Float tensors may carry the range that was seen in training; only scales make integers.
    found = tensor.quantization
    return found is not None and found.scale is not None and len(found.scale) > 0


def _check_size(model: Any, tensor: Any, name: str, refused: Any) -> None:
    buffer, dtype = model.buffers[tensor.buffer], DTYPES.get(tensor.type)
    if dtype is None or not _stored(buffer):
        return
    if buffer.data.nbytes != dtype.itemsize * int(np.prod(tensor.shape, dtype=np.int64)):
        raise refused(f"is damaged: tensor '{name}' does not fit its data")


def _stored(buffer: Any) -> bool:
    return buffer.data is not None and len(buffer.data) > 0


class _Builder(flatbuffers.Builder):  # type: ignore[misc]  # ships no types
    """A builder that aligns vectors of bytes, which Python's generated code does not."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
        return super().StartVector(elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment)


def _flatbuffer(model: Any) -> bytes:
    builder = _Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _with_constants_behind(model: Any) -> bytes:
    moved = [(buffer, buffer.data) for buffer in model.buffers if _stored(buffer)]
    try:
        for buffer, _ in moved:
            buffer.data, buffer.offset, buffer.size = None, 1, 1
        # The offsets, which are of fixed width, follow from the length of what is before them.
        at = len(_flatbuffer(model))
        for buffer, data in moved:
            at += -at % ALIGNMENT
            buffer.offset, buffer.size = at, data.nbytes
            at += data.nbytes
        return b"".join(_laid_out(_flatbuffer(model), moved))
    finally:
        for buffer, data in moved:
            buffer.data, buffer.offset, buffer.size = data, 0, 0


def _laid_out(head: bytes, moved: list[tuple[Any, Array]]) -> Iterator[bytes]:
    yield head
    at = len(head)
    for buffer, data in moved:
        yield bytes(buffer.offset - at)
        yield data.tobytes()
        at = buffer.offset + buffer.size
