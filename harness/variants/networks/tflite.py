"""TFLite files opened for surgery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.variants.files import written
from harness.variants.network import Array, Feeds, Graph, Kept
from harness.variants.networks import finite, tflite_file, tflite_run
from harness.variants.networks.tflite_keep import cut
from harness.variants.networks.tflite_kinds import translate
from harness.variants.networks.tflite_model import Model


def open(path: Path) -> TfliteNetwork:
    """Open a float file of one graph; an InputError says why another cannot be pruned."""
    network = TfliteNetwork(path, Model(tflite_file.read(path)))
    finite.check(network, path)
    return network


class TfliteNetwork:
    """A TFLite model, open.

    Activations are fused into the operators before them, so the output of a product is what comes
    after its activation. A float16 constant goes by its own name, as if not dequantised.
    """

    format = "tflite"

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
        return self._model.constant(self._constant(name))

    def replace(self, name: str, values: Array) -> None:
        """Give a constant other values of the same shape; they are cast to its type."""
        index = self._constant(name)
        if self._model.shape(index) != values.shape:
            raise ValueError(f"'{name}' is {self._model.shape(index)}, not {values.shape}")
        self._model.put(index, values)

    def keep(self, kept: Kept) -> None:
        """Cut constants and activations down to the positions that stay."""
        cut(self._model, self._graph, kept)
        self._graph = translate(self._model)

    def values(self, tensors: Sequence[str], feeds: Feeds) -> Iterator[dict[str, Array]]:
        """Run the samples one by one in LiteRT; yields tensors by name, batch 1 first."""
        return tflite_run.values(self._model, self._graph, tensors, feeds, self._path)

    def save(self, path: Path) -> None:
        """Write the network as a TFLite file, which appears whole or not at all."""
        with written(path) as draft:
            tflite_file.write(self._model.file, draft)

    def _constant(self, name: str) -> int:
        if name not in self._graph.constants:
            raise KeyError(f"no constant '{name}' in {self._path}")
        return self._model.index[name]
