"""ONNX Runtime: inputs and outputs bound once, so that a call on the CPU copies nothing."""

from __future__ import annotations

import os
from copy import copy
from functools import partial
from typing import Any, Callable, Dict, List, Optional

from agents import wire
from agents.backends import UnsupportedError, by_name, dominant
from agents.backends import _onnxruntime_profile as profile
from agents.backends._onnx_weights import weight_bytes
from agents.backends._onnxruntime_providers import (
    CPU,
    CUDA,
    ON_GPU,
    OPENVINO,
    TENSORRT,
    XNNPACK,
    opened,
    provider_of,
)

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
# Execution providers. `openvino` is OpenVINO inside ONNX Runtime, on the CPU unless the device's
# profile gives another device_type.
TARGETS = (CPU, XNNPACK, CUDA, TENSORRT, OPENVINO)
COMPILES = (TENSORRT,)
# Those for NVIDIA use the CUDA and cuDNN of the board.
TARGET_REQUIRES = {
    CUDA: ("onnxruntime-gpu; platform_machine == 'x86_64'",),
    TENSORRT: ("onnxruntime-gpu; platform_machine == 'x86_64'",),
    OPENVINO: ("onnxruntime-openvino; platform_machine == 'x86_64'",),
}

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


class OrtSession:
    """One InferenceSession with an IO binding; each further stream has a binding of its own."""

    infer: Callable[[], Any]
    native_ns = None  # the runtime has no clock of its own

    def __init__(self, path: str, cell: wire.Cell, streams: int, trace: bool) -> None:
        import onnxruntime as ort

        self.ort = ort
        self.cell = cell
        self.target: str = cell["target"]
        options = ort.SessionOptions()
        # A stream computes in the thread that calls; the rest of its threads are in the pool.
        options.intra_op_num_threads = 1 + streams * (cell["threads"] - 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = trace
        # Beside the model, in the job's folder: it goes with the job if this process is killed.
        options.profile_file_prefix = path + ".trace"
        self.trace, self.path = trace, path
        before = len(os.listdir("/proc/self/task"))
        self.session = opened(path, cell, streams, options)
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
        self.activations: Optional[int] = None

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
        binding = self.binding._iobinding
        self.infer = run = partial(self.session._sess.run_with_iobinding, binding, None)
        if self.target in ON_GPU:
            # Binding sends an input to the GPU, and an inference begins in the host's memory.
            sent = [(name, tensor._ortvalue) for name, tensor in self.kept]

            def send_and_run() -> None:
                for name, tensor in sent:
                    binding.bind_ortvalue_input(name, tensor)
                run()

            self.infer = send_and_run

    def outputs(self) -> List[Any]:
        """Copy the outputs of the last run."""
        return [tensor.numpy() for tensor in self.binding.get_outputs()]

    def another(self) -> OrtSession:
        """Share the session, whose run may be called from several threads."""
        other = copy(self)
        other.binding = self.session.io_binding()
        return other

    def executed(self) -> wire.Executed:
        """Report providers, threads and, from the profile of a traced session, the layers.

        Raises UnsupportedError when all of a graph fell back to other providers.
        """
        events = profile.taken(self.session.end_profiling()) if self.trace else []
        layers = profile.layers(events) if self.trace else None
        self.activations = profile.activation_bytes(events)
        precision, mixed = dominant(profile.precisions(layers or []))
        notes = [mixed, profile.opaque_note(layers or [])]
        return {
            "precision": precision,
            # A provider's own pool does not tell.
            "threads": self.threads if self.target == CPU else None,
            "provider": ",".join(self.took_part(layers) or self.session.get_providers()),
            "runtime_version": self.ort.__version__,
            "note": "; ".join(note for note in notes if note) or None,
            "layers": layers,
            "traced": (profile.warm(events) or None) if self.trace else None,
        }

    def memory(self) -> Dict[str, Any]:
        """Tell the weights by the file and, of a traced session, the activations by its profile."""
        if self.target not in (CPU, XNNPACK):  # elsewhere they are not in the process's memory
            return {}
        told: Dict[str, Any] = {
            "weights_kib": weight_bytes(self.path) // 1024,
            "account": "ONNX Runtime: weights are the initializers of the file",
        }
        if self.activations is not None:
            told["activations_kib"] = self.activations // 1024
            told["account"] += ", activations the peak use of the arena in a traced run"
        return told

    def took_part(self, layers: Any) -> List[str]:
        """List the providers that ran some of the layers, the one asked for first."""
        ran = {layer["provider"] for layer in layers or []}
        asked = provider_of(self.target)
        if ran and asked not in ran:
            raise UnsupportedError(
                "{} took none of the {} nodes: all ran on {}".format(
                    asked, len(layers), ", ".join(sorted(ran))
                )
            )
        return [name for name in self.session.get_providers() if name in ran]


def numpy_name(ort_type: str) -> str:
    """Translate ONNX Runtime's name of a tensor type; raises UnsupportedError for others."""
    if ort_type not in TYPES:
        raise UnsupportedError("input type {} cannot be fed".format(ort_type))
    return TYPES[ort_type]


def load(path: str, cell: wire.Cell, streams: int, trace: bool) -> OrtSession:
    """Load an ONNX file."""
    return OrtSession(path, cell, streams, trace)
