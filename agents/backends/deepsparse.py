"""DeepSparse: ONNX files compiled into sparse CPU kernels, the rest run by its own ONNX Runtime."""

from __future__ import annotations

import os
from copy import copy
from typing import Any, Dict, List

from agents import wire
from agents.backends import UnsupportedError, _deepsparse, by_name, dominant, onnxruntime
from agents.backends._traced import Traced

# Importing DeepSparse looks up where it is and reports its use, which no measured board should do.
os.environ["NM_DISABLE_ANALYTICS"] = "1"

MODULE = "deepsparse"
# The last release; 1.9.0 is an empty package. It brings its own numpy 1.26 and onnx 1.14.
REQUIRES = (
    "deepsparse==1.8.0; python_version >= '3.8' and python_version < '3.12'"
    " and platform_machine == 'x86_64'",
)
FORMATS = ("onnx",)
# An ONNX Runtime 1.15 inside it reads the file, and runs what is not compiled.
LACKS = (*onnxruntime.LACKS, "Unable to determine instruction set", "ai.onnx.ml")
TARGETS = ("cpu",)

DTYPES = tuple(onnxruntime.TYPES.values())


class DeepSparseSession:
    """One engine, compiled for the cell's batch; streams share it and run side by side."""

    infer: Any
    native_ns = None  # the engine has no clock of its own

    def __init__(self, path: str, cell: wire.Cell, streams: int, trace: bool) -> None:
        import deepsparse

        self.cell, self.trace = cell, trace
        self.version: str = deepsparse.__version__
        self.path = path
        cores = streams * cell["threads"]
        scheduler = "single_stream" if streams == 1 else "multi_stream"
        self.engine = deepsparse.Engine(path, cell["batch"], cores, streams, scheduler)
        self.order = by_name(cell["inputs"], self.engine.input_names)
        for spec, at in zip(cell["inputs"], self.order):
            if list(self.engine.input_shapes[at]) != spec["shape"]:
                raise UnsupportedError(
                    "DeepSparse sets the first dimension of an input and no other: '{}' must "
                    "have the shape {} in the file".format(spec["name"], spec["shape"])
                )
        # The engine does not tell types; the file does.
        self.input_dtypes = {spec["name"]: spec["dtype"] for spec in cell["inputs"]}
        self.inputs: List[Any] = [None] * len(cell["inputs"])
        self.results: List[Any] = []

    def bind(self, arrays: Dict[str, Any]) -> None:
        """Keep the inputs in the engine's order; every call returns new outputs."""
        self.inputs = list(self.inputs)  # a further stream has its own
        for spec, at in zip(self.cell["inputs"], self.order):
            self.inputs[at] = arrays[spec["name"]]
        run, inputs = self.engine.run, self.inputs

        def infer() -> None:
            self.results = run(inputs, False)  # not looked through: types and shapes are known

        self.infer = Traced(infer) if self.trace else infer

    def outputs(self) -> List[Any]:
        """Return the outputs of the last call."""
        return self.results

    def layers(self) -> List[_deepsparse.Layer]:
        """Have the file analysed: compiled once more, it runs as often with its layers timed."""
        from deepsparse.engine import model_debug_analysis

        batch, threads, runs = self.cell["batch"], self.cell["threads"], self.infer.warm
        told = model_debug_analysis(self.path, self.inputs, batch, threads, runs, 1)
        return _deepsparse.layers(self.path, told)

    def another(self) -> DeepSparseSession:
        """Share the engine, whose scheduler runs requests of several threads at the same time."""
        return copy(self)

    def executed(self) -> wire.Executed:
        """Report the share of operators that were compiled; of a traced session each layer."""
        share = self.engine.fraction_of_supported_ops
        traced = self.infer.warm if self.trace else 0
        layers = self.layers() if traced else []
        precision, note = dominant(_deepsparse.precisions(layers))
        rest = "{:.0%} of operators are compiled, the rest runs in a precision that is not told"
        notes = [note, rest.format(share) if share < 1 else None]
        return {
            "precision": precision,
            "threads": None,  # the engine does not tell
            "provider": ",".join(["DeepSparse"] * (share > 0) + [_deepsparse.INNER] * (share < 1)),
            "runtime_version": self.version,
            "note": "; ".join(text for text in notes if text) or None,
            "layers": [layer.run for layer in layers] if traced else None,
            "traced": traced or None,
        }


def load(path: str, cell: wire.Cell, streams: int, trace: bool) -> DeepSparseSession:
    """Load an ONNX file."""
    for spec in cell["inputs"]:
        if spec["dtype"] not in DTYPES:
            raise UnsupportedError("input type {} cannot be fed".format(spec["dtype"]))
    return DeepSparseSession(path, cell, streams, trace)
