"""OpenVINO IR files opened for surgery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import openvino as ov

from harness.variants.files import written
from harness.variants.network import Array, Feeds, Graph, Kept
from harness.variants.networks import finite, openvino_run
from harness.variants.networks.openvino_keep import cut
from harness.variants.networks.openvino_kinds import translate
from harness.variants.networks.openvino_model import Model, read


def open(path: Path) -> OpenvinoNetwork:
    """Open a float IR (.xml beside .bin); an InputError says why another cannot be pruned."""
    network = OpenvinoNetwork(path, Model(read(path)))
    finite.check(network, path)
    return network


class OpenvinoNetwork:
    """An OpenVINO model, open. Biases are operators of their own (Add)."""

    format = "openvino"

    def __init__(self, path: Path, model: Model) -> None:
        self._path = path
        self._model = model
        self._graph = translate(model)

    @property
    def graph(self) -> Graph:
        """Return the graph as it is now."""
        return self._graph

    def constant(self, name: str) -> Array:
        """Return a copy of a constant's values."""
        return self._model.constant(name)

    def replace(self, name: str, values: Array) -> None:
        """Give a constant other values of the same shape; they are cast to its type."""
        if self._graph.shapes[name] != values.shape:
            raise ValueError(f"'{name}' is {self._graph.shapes[name]}, not {values.shape}")
        self._model.put(name, values)

    def keep(self, kept: Kept) -> None:
        """Cut constants and activations down to the positions that stay."""
        cut(self._model, self._graph, kept)
        self._graph = translate(self._model)

    def values(self, tensors: Sequence[str], feeds: Feeds) -> Iterator[dict[str, Array]]:
        """Run the samples one by one in OpenVINO; yields tensors by name, batch 1 first."""
        return openvino_run.values(self._model, tensors, feeds, self._path)

    def save(self, path: Path) -> None:
        """Write the network as an IR; constants keep the precision they have."""
        with written(path, ".bin") as draft:
            ov.save_model(self._model.model, str(draft), compress_to_fp16=False)
