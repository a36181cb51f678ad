"""ExecuTorch programs (.pte), read without ExecuTorch: inputs and outputs of `forward`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from flatbuffers import encode, number_types
from flatbuffers.table import Table

from harness.formats import Contents, Port, Stored, UncountableError, UnreadableError

IDENTIFIER, EXTENDED, HEADER_WITH_WEIGHTS = b"ET12", b"eh00", 32
NOT_COUNTED = (
    "weights of ExecuTorch files are not counted: delegates keep them in forms of their own"
)
# Fields by their place in the tables of executorch/schema/program.fbs.
PLANS, NAME, VALUES, INPUTS, OUTPUTS = 1, 0, 2, 3, 4
KIND, VALUE, TENSOR = 0, 1, 5
DTYPE, SIZES, DYNAMISM = 0, 2, 8
DTYPES = {
    **dict(enumerate(("uint8", "int8", "int16", "int32", "int64"))),
    **dict(enumerate(("float16", "float32", "float64"), 5)),
    11: "bool",
    15: "bfloat16",
}
KINDS = ("unknown", "null", "int", "bool", "double", "tensor", "string")
# What the flatbuffers reader raises when offsets point outside the file.
DAMAGE = (struct.error, IndexError, ValueError, TypeError, OverflowError)


def read(path: Path) -> Contents:
    """Read a .pte; inputs have no names, so they are called by their place.

    Of a tensor whose shape may change the file has the largest sizes, and not which of them change:
    the first is taken to be the one, for it is the batch.
    """
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise UnreadableError(f"is no ExecuTorch program of the format {IDENTIFIER.decode()}")
    try:
        _check_size(data)
        plan = _forward(data)
        values = _tables(plan, VALUES)
        ports = [
            [_port(values[index], f"{what}_{at}") for at, index in enumerate(_numbers(plan, field))]
            for what, field in (("input", INPUTS), ("output", OUTPUTS))
        ]
    except DAMAGE:
        raise UnreadableError("is damaged or cut short") from None
    return Contents(tuple(ports[0]), tuple(ports[1]), None, NOT_COUNTED)


def stored(path: Path) -> list[Stored]:
    """Raise UncountableError: most weights are inside delegates."""
    raise UncountableError(NOT_COUNTED)


def _check_size(data: bytes) -> None:
    """Hold the file against its extended header, which says where the weights after it end."""
    if data[8:12] == EXTENDED:
        length, program, base, weights = struct.unpack_from("<IQQQ", data, 12)
        if len(data) < max(program, base + weights if length >= HEADER_WITH_WEIGHTS else base):
            raise UnreadableError("is damaged or cut short")


def _forward(data: bytes) -> Table:
    root = Table(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))
    for plan in _tables(root, PLANS):
        if plan.String(plan.Pos + _field(plan, NAME)) == b"forward":
            return plan
    raise UnreadableError("holds no method named forward")


def _field(table: Table, place: int) -> int:
    """Offset of a field in its table; 0 when it is absent."""
    return int(table.Offset(4 + 2 * place))


def _vector(table: Table, place: int, width: int) -> Iterator[int]:
    """Positions of the elements of a vector; an absent one is empty."""
    offset = _field(table, place)
    if offset:
        start = table.Vector(offset)
        if start + width * table.VectorLen(offset) > len(table.Bytes):
            raise ValueError("a vector that ends outside the file")
        for at in range(table.VectorLen(offset)):
            yield start + width * at


def _tables(table: Table, place: int) -> list[Table]:
    return [Table(table.Bytes, table.Indirect(at)) for at in _vector(table, place, 4)]


def _numbers(table: Table, place: int) -> list[int]:
    flags = number_types.Int32Flags
    return [int(table.Get(flags, at)) for at in _vector(table, place, 4)]


def _byte(table: Table, place: int) -> int:
    offset = _field(table, place)
    return int(table.Get(number_types.Int8Flags, table.Pos + offset)) if offset else 0


def _port(value: Table, name: str) -> Port:
    kind = _byte(value, KIND)
    if kind != TENSOR:
        return Port(name, KINDS[kind] if 0 <= kind < len(KINDS) else "unknown", None)
    tensor = Table(value.Bytes, 0)
    value.Union(tensor, _field(value, VALUE))
    sizes: list[int | None] = [*_numbers(tensor, SIZES)]
    if sizes and _byte(tensor, DYNAMISM):
        sizes[0] = None
    return Port(name, DTYPES.get(_byte(tensor, DTYPE), "unknown"), tuple(sizes))
