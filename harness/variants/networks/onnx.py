"""ONNX files opened for surgery."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.variants.network import Array, Feeds, Graph, Kept, Network
from harness.variants.networks import onnx_keep, onnx_kinds, onnx_read, onnx_run
from harness.variants.networks.onnx_file import File


def open(path: Path) -> Network:
    """Open a float ONNX file with its weights embedded; InputError for one that cannot be pruned.

    Constants and shape arithmetic are folded first, so that sizes are constants of the graph.
    """
    network = OnnxNetwork(path, onnx_read.read(path))
    _check_finite(network, path)
    return network


class OnnxNetwork:
    """An ONNX model whose protobuf is edited in place."""

    format = "onnx"

    def __init__(self, path: Path, file: File) -> None:
        self._path = path
        self._file = file
        self._graph = _graph(file)

    @property
    def graph(self) -> Graph:
        """Return the graph as it is now."""
        return self._graph

    def constant(self, name: str) -> Array:
        """Return a copy of a constant's values."""
        return self._file.constant(name)

    def replace(self, name: str, values: Array) -> None:
        """Give a constant other values of the same shape; they are cast to its type."""
        if np.shape(values) != tuple(self._file.constants[name].dims):
            expected = list(self._file.constants[name].dims)
            raise ValueError(f"'{name}' has shape {expected}, not {list(np.shape(values))}")
        self._file.put(name, values)

    def keep(self, kept: Kept) -> None:
        """Cut the graph down to the positions that stay; InputError if they do not fit together."""
        onnx_keep.cut(self._file, self._graph.nodes, kept)
        onnx_read.check(self._file.model, str(self._path))
        self._graph = _graph(self._file)

    def values(self, tensors: Sequence[str], feeds: Feeds) -> Iterator[dict[str, Array]]:
        """Run the samples one by one in onnxruntime; yields tensors by name, batch 1 first."""
        return onnx_run.values(self._file, tensors, feeds, str(self._path))

    def save(self, path: Path) -> None:
        """Check the model and write it; a file that was there stays whole until the end."""
        onnx_read.check(self._file.model, str(path))
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(self._file.model.SerializeToString())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _graph(file: File) -> Graph:
    nodes = onnx_kinds.nodes(file)
    touched = {name for node in nodes for name in (*node.inputs, *node.outputs) if name}
    names = {*touched, *file.dimensions}
    return Graph(
        nodes=nodes,
        inputs=[port.name for port in file.graph.input],
        outputs=[port.name for port in file.graph.output],
        # A tensor of unknown rank is touched by unknown operators alone.
        shapes={name: file.shape(name) or () for name in names},
        constants=frozenset(file.constants),
    )


def _check_finite(network: OnnxNetwork, path: Path) -> None:
    """Refuse infinite weights; other constants may be infinite, as attention masks are."""
    graph = network.graph
    names = [name for layer in graph.layers() for name in (layer.weight, layer.bias) if name]
    names += [
        name for node in graph.nodes if node.kind == "per_channel" for name in node.inputs[1:]
    ]
    spoiled = [
        name
        for name in dict.fromkeys(names)
        if not np.isfinite(network.constant(name).astype(np.float64)).all()
    ]
    if spoiled:
        onnx_read.refuse_numbers(path, "infinite", spoiled)
