"""The size of the weights in an ONNX file, read without the onnx package.

The runtime's profile has sizes, too, but not of weights that it packed for its kernels. The numbers
are those of the fields in onnx.proto (github.com/onnx/onnx).
"""

from __future__ import annotations

import mmap
from math import prod
from typing import Any, Iterator, List, Tuple

GRAPH = 7  # of a model
NODE, INITIALIZER = 1, 5  # of a graph
ATTRIBUTE = 5  # of a node
TENSOR = 5  # of an attribute
DIMS, DATA_TYPE = 1, 2  # of a tensor
# TensorProto.DataType -> bits of an element; a string has no fixed size.
BITS = {
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20), 8),
    **dict.fromkeys((21, 22, 23), 4),
    15: 128,
}


def weight_bytes(path: str) -> int:
    """Sum up the initializers of a model and the constants among its nodes, bytes.

    Of subgraphs it counts nothing. Data outside the file counts by its shape.
    """
    with open(path, "rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return sum(size(tensor) for graph in of(whole, GRAPH) for tensor in tensors(graph))


def tensors(graph: memoryview) -> Iterator[memoryview]:
    """Yield the tensors of a graph."""
    for number, value in fields(graph):
        if number == INITIALIZER:
            yield value
        elif number == NODE:
            for attribute in of(value, ATTRIBUTE):
                yield from of(attribute, TENSOR)


def size(tensor: memoryview) -> int:
    """Size of a tensor by its shape and type, bytes."""
    dims: List[int] = []
    bits = 0
    for number, value in fields(tensor):
        if number == DIMS:
            dims += [value] if isinstance(value, int) else packed(value)
        elif number == DATA_TYPE:
            bits = BITS.get(value, 0)
    return -(-prod(dims) * bits // 8)


def of(message: memoryview, wanted: int) -> List[memoryview]:
    """The submessages of a message in one of its fields."""
    return [value for number, value in fields(message) if number == wanted]


def fields(message: memoryview) -> Iterator[Tuple[int, Any]]:
    """Yield the fields of a message: an int for a varint, else a view of the bytes.

    The encoding: https://protobuf.dev/programming-guides/encoding.
    """
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(message, at)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind)
        if length is None:
            length, at = varint(message, at)
        yield key >> 3, message[at : at + length]
        at += length


def packed(data: memoryview) -> List[int]:
    """Read varints that follow each other."""
    found, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        found.append(value)
    return found


def varint(data: memoryview, at: int) -> Tuple[int, int]:
    """Read a varint at a position; returns it and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
