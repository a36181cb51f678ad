"""OpenVINO: preset tensors and shared outputs, so that a call copies nothing."""

from __future__ import annotations

import sys
from copy import copy
from typing import Any, Callable, Dict, List

from agents import wire
from agents.backends import UnsupportedError, by_name, dominant
from agents.backends._openvino_graph import PRECISIONS, Graph, constant_bytes, precisions
from agents.backends._openvino_properties import check, device_of, properties

# Importing OpenVINO looks up a host for statistics of its use, which no measured board should do.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

MODULE = "openvino"
REQUIRES = ("openvino",)
FORMATS = ("openvino", "onnx", "tflite")
LACKS = (
    "OpenVINO does not support the following",
    "is not supported",
    "No conversion rule found",
    "No translator found",
    "Operator builtin code",
)

TARGETS = ("cpu", "gpu", "npu")
COMPILES = ("gpu", "npu")
DTYPES = {
    "f32": "float32",
    "f16": "float16",
    "f64": "float64",
    "i8": "int8",
    "u8": "uint8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "boolean": "bool",
}


class OpenVinoSession:
    """One compiled model and one infer request; each further stream has a request of its own."""

    infer: Callable[[], Any]
    native_ns: Callable[[], int]

    def __init__(self, path: str, cell: wire.Cell, streams: int, trace: bool) -> None:
        import openvino as ov

        self.ov = ov
        self.device = device_of(cell["target"])
        check(self.device, cell["options"])
        asked = properties(cell, streams, trace)
        model = ov.Core().read_model(path)
        order = by_name(cell["inputs"], input_names(model, cell))
        for port in model.inputs:  # before compiling, which fails without naming the type
            numpy_name(port.get_element_type().get_type_name())
        shapes = {model.inputs[at]: spec["shape"] for spec, at in zip(cell["inputs"], order)}
        try:
            model.reshape(shapes)
        except RuntimeError as error:
            raise UnsupportedError(
                "the model refuses the cell's shapes: {}".format(error)
            ) from None
        self.compiled = ov.Core().compile_model(model, self.device, asked)
        self.trace = trace
        self.graph = Graph(self.compiled)
        self.positions = {spec["name"]: at for spec, at in zip(cell["inputs"], order)}
        self.input_dtypes = {
            name: numpy_name(self.compiled.inputs[at].element_type.get_type_name())
            for name, at in self.positions.items()
        }
        self.request = self.compiled.create_infer_request()
        self.kept: List[Any] = []

    def bind(self, arrays: Dict[str, Any]) -> None:
        """Preset the input tensors; they share the arrays' memory."""
        self.kept = [
            (self.positions[name], self.ov.Tensor(array, shared_memory=True))
            for name, array in arrays.items()
        ]
        for position, tensor in self.kept:
            self.request.set_input_tensor(position, tensor)
        request = self.request
        self.infer = self.traced if self.trace else lambda: request.infer(share_outputs=True)
        # Taken in C++ around the inference, as benchmark_app does: the binding adds 4 to 7 us.
        self.native_ns = lambda: round(request.latency * 1e6)

    def traced(self) -> None:
        """Infer, and let the graph know."""
        self.request.infer(share_outputs=True)
        self.graph.ran()

    def outputs(self) -> List[Any]:
        """Copy the output tensors of the request."""
        return [
            self.request.get_output_tensor(at).data.copy()
            for at in range(len(self.compiled.outputs))
        ]

    def another(self) -> OpenVinoSession:
        """Share the compiled model.

        Against the runtime's own asynchronous requests, a thread for each stream costs about 3% of
        a query of 0.5 ms inferences, with two streams as with eight (on two cores, measured).
        """
        other = copy(self)
        other.request = self.compiled.create_infer_request()
        return other

    def threads_per_stream(self) -> int:
        """Threads of one request; with fewer cores than streams the runtime opens fewer streams."""
        threads, streams = (
            int(self.compiled.get_property(name))
            for name in ("INFERENCE_NUM_THREADS", "NUM_STREAMS")
        )
        return threads // streams

    def memory(self) -> Dict[str, Any]:
        """Tell what the weights take; on other devices they are not in the process."""
        if self.device != "CPU":
            return {}
        return {
            "weights_kib": constant_bytes(self.compiled) // 1024,
            "account": "OpenVINO: constants of the runtime model",
        }

    def executed(self) -> wire.Executed:
        """Read the effective properties and the layers of the compiled graph."""
        layers = self.graph.layers(self.device)
        precision, note = dominant(precisions(layers))
        hint = self.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        effective = "precision hint in effect {}".format(PRECISIONS.get(hint, hint))
        return {
            "precision": precision,
            "threads": self.threads_per_stream() if self.device == "CPU" else None,
            "provider": ",".join(self.compiled.get_property("EXECUTION_DEVICES")),
            "runtime_version": self.ov.__version__,
            "note": "; ".join(part for part in (effective, note) if part),
            "layers": layers if self.trace else None,
            "traced": max(0, self.graph.inferences - 1) or None,
        }


def input_names(model: Any, cell: wire.Cell) -> List[str]:
    """For each input of the model the declared name that it answers to, else its first own."""
    declared = {spec["name"] for spec in cell["inputs"]}
    return [
        next(iter(sorted(declared & set(port.names))), next(iter(sorted(port.names)), ""))
        for port in model.inputs
    ]


def numpy_name(element_type: str) -> str:
    """Translate OpenVINO's name of an element type; raises UnsupportedError for others."""
    if element_type not in DTYPES:
        raise UnsupportedError("input type {} cannot be fed".format(element_type))
    return DTYPES[element_type]


def load(path: str, cell: wire.Cell, streams: int, trace: bool) -> OpenVinoSession:
    """Load an ONNX, IR or TFLite file."""
    return OpenVinoSession(path, cell, streams, trace)
