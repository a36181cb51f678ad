"""ncnn on the CPU, as phones have it: one sample at a time, threads by OpenMP."""

from __future__ import annotations

from collections import Counter
from copy import copy
from typing import Any, Callable, Dict, List, Optional, cast

from agents import wire
from agents.backends import UnsupportedError, by_name, dominant

MODULE = "ncnn"
REQUIRES = ("ncnn", "numpy")
FORMATS = ("ncnn",)
LACKS = ()  # its reasons are in the log alone
TARGETS = ("cpu",)
OPTIONS = {"use_fp16_" + what: "fp16" for what in ("packed", "storage", "arithmetic")}
OPTIONS.update({"use_bf16_" + what: "bf16" for what in ("packed", "storage")})
# Layers that decide what precision a network runs in, and the parameter that makes one int8.
COMPUTE = {"Convolution": "8", "ConvolutionDepthWise": "8", "InnerProduct": "8", "Gemm": "18"}


class NcnnSession:
    """One network; each inference takes an extractor of its own, as ncnn wants it."""

    infer: Callable[[], Any]
    native_ns = None  # no clock of its own

    def __init__(self, path: str, cell: wire.Cell, trace: bool) -> None:
        import ncnn

        self.ncnn, self.path, self.cell, self.trace = ncnn, path, cell, trace
        for line in lines(path):
            if ncnn.layer_to_index(line[0]) < 0:
                raise UnsupportedError("ncnn has no layer '{}'".format(line[0]))
        self.net = ncnn.Net()
        self.net.opt.num_threads = cell["threads"]  # of each stream
        self.net.opt.use_vulkan_compute = False
        for option, precision in OPTIONS.items():
            setattr(self.net.opt, option, precision == cell["precision"])
        if self.net.load_param(path) or self.net.load_model(path[: -len("param")] + "bin"):
            raise RuntimeError("ncnn cannot load the network; the log says why")
        inputs = self.net.input_names()
        order = by_name(cell["inputs"], inputs)
        self.names = {spec["name"]: inputs[at] for spec, at in zip(cell["inputs"], order)}
        self.wanted = list(self.net.output_names())
        self.input_dtypes = {spec["name"]: spec["dtype"] for spec in cell["inputs"]}
        self.results: List[Any] = []

    def bind(self, arrays: Dict[str, Any]) -> None:
        """Wrap the only sample of each input; the matrices share the arrays' memory."""
        mat, names = self.ncnn.Mat, self.names
        kept = [(names[name], mat(array[0]), array) for name, array in arrays.items()]
        create = self.net.create_extractor

        def infer() -> None:
            extractor = create()
            for name, matrix, _ in kept:
                extractor.input(name, matrix)
            self.results = [extractor.extract(name) for name in self.wanted]

        self.infer = infer

    def outputs(self) -> List[Any]:
        """Copy the outputs of the last inference and give them a batch of one."""
        import numpy as np

        for name, (code, _) in zip(self.wanted, self.results):
            if code:
                raise RuntimeError("ncnn cannot compute '{}': code {}".format(name, code))
        return [np.array(matrix)[None] for _, matrix in self.results]

    def another(self) -> NcnnSession:
        """Share the network, from which several threads may extract."""
        return copy(self)

    def executed(self) -> wire.Executed:
        """List the layers; ncnn tells neither their times nor which reals of fewer bits it took."""
        asked = self.cell["precision"]
        real = asked if asked == "fp32" else None
        layers = [layer_run(line, real) for line in lines(self.path)]
        told = [layer["precision"] for layer in layers if layer["precision"]]
        precision, note = dominant(dict(Counter(told)))
        return {
            "precision": precision,
            "threads": self.net.opt.num_threads,
            "provider": "CPU",
            "runtime_version": self.ncnn.__version__,
            "note": note if real else "ncnn does not tell which layers it ran in " + asked,
            "layers": layers if self.trace else None,
            "traced": None,
        }


def lines(path: str) -> List[List[str]]:
    """Read the layers of a .param: type, name, counts and names of tensors, parameters."""
    with open(path, encoding="ascii") as file:
        return [line.split() for line in list(file)[2:] if line.strip()]


def layer_run(line: List[str], real: Optional[str]) -> wire.LayerRun:
    """Describe a layer; `real` is the precision of one that is not int8, null if not told."""
    what, name = line[:2]
    ran = None
    if what in COMPUTE:
        scaled = [word for word in line if word.startswith(COMPUTE[what] + "=")]
        ran = "int8" if scaled and not scaled[0].endswith("=0") else real
    run = {"name": name, "operator": what, "provider": "CPU", "precision": ran}
    return cast("wire.LayerRun", {**run, "kernel": None, "ns": None})


def load(path: str, cell: wire.Cell, streams: int, trace: bool) -> NcnnSession:
    """Load a .param beside its .bin; any number of streams may extract from it."""
    if cell["batch"] != 1:
        raise UnsupportedError("ncnn takes one sample at a time: its tensors have no batch axis")
    for spec in cell["inputs"]:
        if spec["dtype"] != "float32":
            raise UnsupportedError("input type {} cannot be fed".format(spec["dtype"]))
    return NcnnSession(path, cell, trace)
