"""ONNX Runtime on the CPU: inputs and outputs bound once, so that a call copies nothing."""

from __future__ import annotations

import json
import os
from collections import Counter
from copy import copy
from functools import partial
from typing import Any, Callable, Dict, List, Optional

from agents import wire
from agents.backends import UnsupportedError, by_name, dominant

MODULE = "onnxruntime"
REQUIRES = ("onnxruntime",)
FORMATS = ("onnx",)
LACKS = (
    "is not a registered function/op",
    "No Op registered for",
    "Could not find an implementation",
    "Unsupported model IR version",
    "only *guarantees* support for models stamped with",
    # The batch is fixed, at the input or by a Reshape inside.
    "Got invalid dimensions for input",
    "cannot be reshaped to the requested shape",
)

PROVIDER = "CPUExecutionProvider"
# The operators whose arithmetic decides what precision a network runs in.
COMPUTE = ("Conv", "MatMul", "Gemm", "FusedConv", "FusedMatMul", "FusedGemm", "NhwcFusedConv")
TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
PRECISIONS = {"float": "fp32", "float16": "fp16", "double": "fp64", "int8": "int8", "uint8": "int8"}


class OrtSession:
    """One InferenceSession with an IO binding; each further stream has a binding of its own."""

    infer: Callable[[], Any]
    native_ns = None  # the runtime has no clock of its own

    def __init__(self, path: str, cell: wire.Cell, streams: int, trace: bool) -> None:
        import onnxruntime as ort

        self.ort = ort
        self.cell = cell
        options = ort.SessionOptions()
        # A stream computes in the thread that calls; the rest of its threads are in the pool.
        options.intra_op_num_threads = 1 + streams * (cell["threads"] - 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = trace
        # Beside the model, in the job's folder: it goes with the job if this process is killed.
        options.profile_file_prefix = path + ".trace"
        self.trace = trace
        before = len(os.listdir("/proc/self/task"))
        self.session = ort.InferenceSession(path, options, providers=[PROVIDER])
        # The pool of n threads is the calling one and n - 1 more, which begin with the session.
        self.threads = 1 + (len(os.listdir("/proc/self/task")) - before) // streams
        inputs = self.session.get_inputs()
        order = by_name(cell["inputs"], [node.name for node in inputs])
        self.names = {spec["name"]: inputs[at].name for spec, at in zip(cell["inputs"], order)}
        self.input_dtypes = {
            spec["name"]: numpy_name(inputs[at].type) for spec, at in zip(cell["inputs"], order)
        }
        self.binding = self.session.io_binding()
        self.kept: List[Any] = []

    def bind(self, arrays: Dict[str, Any]) -> None:
        """Bind copies of the inputs; outputs stay where the runtime puts them."""
        value = self.ort.OrtValue.ortvalue_from_numpy
        self.kept = [(self.names[name], value(array)) for name, array in arrays.items()]
        self.binding.clear_binding_outputs()
        for name, tensor in self.kept:
            self.binding.bind_ortvalue_input(name, tensor)
        for node in self.session.get_outputs():
            self.binding.bind_output(node.name, "cpu")
        # Straight into the binding's C++: the wrapper around it takes 0.4 us, measured.
        self.infer = partial(self.session._sess.run_with_iobinding, self.binding._iobinding, None)

    def outputs(self) -> List[Any]:
        """Copy the outputs of the last run."""
        return [tensor.numpy() for tensor in self.binding.get_outputs()]

    def another(self) -> OrtSession:
        """Share the session, whose run may be called from several threads."""
        other = copy(self)
        other.binding = self.session.io_binding()
        return other

    def executed(self) -> wire.Executed:
        """Report providers, threads and, from the profile of a traced session, precision."""
        precision, note = dominant(self.traced_layers()) if self.trace else (None, None)
        return {
            "precision": precision,
            "threads": self.threads,
            "provider": ",".join(self.session.get_providers()),
            "runtime_version": self.ort.__version__,
            "note": note,
        }

    def traced_layers(self) -> Dict[str, int]:
        """Count the compute layers that the profiler saw, by the type of their first input."""
        path = self.session.end_profiling()
        with open(path, encoding="utf-8") as file:
            events = json.load(file)
        os.unlink(path)
        return layer_precisions(events)


def layer_precisions(events: List[Dict[str, Any]]) -> Dict[str, int]:
    """Count the compute layers of an ONNX Runtime profile, each once, by precision."""
    layers: Dict[str, str] = {}
    for event in events:
        details = event.get("args", {})
        operator = details.get("op_name", "")
        if event.get("cat") != "Node" or not event.get("name", "").endswith("_kernel_time"):
            continue
        precision = layer_precision(operator, details.get("input_type_shape") or [])
        if precision:
            layers[event["name"]] = precision
    return dict(Counter(layers.values()))


def layer_precision(operator: str, inputs: List[Dict[str, Any]]) -> Optional[str]:
    """Precision of one layer, or null when it is no compute layer."""
    if operator.startswith(("QLinear", "QGemm", "MatMulInteger", "ConvInteger", "DynamicQuantize")):
        compute = operator in ("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger") or (
            operator.startswith("MatMulInteger") or operator == "DynamicQuantizeMatMul"
        )
        return "int8" if compute else None
    if operator not in COMPUTE or not inputs:
        return None
    return PRECISIONS.get(next(iter(inputs[0]), ""))


def numpy_name(ort_type: str) -> str:
    """Translate ONNX Runtime's name of a tensor type; raises UnsupportedError for others."""
    if ort_type not in TYPES:
        raise UnsupportedError("input type {} cannot be fed".format(ort_type))
    return TYPES[ort_type]


def load(path: str, cell: wire.Cell, streams: int, trace: bool) -> OrtSession:
    """Load an ONNX file."""
    return OrtSession(path, cell, streams, trace)
