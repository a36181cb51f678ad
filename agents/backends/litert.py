"""LiteRT (ai-edge-litert): the interpreter with its default delegate, XNNPACK."""

from __future__ import annotations

import importlib
from collections import Counter
from typing import Any, Dict, List, Optional

from agents import wire
from agents.backends import UnsupportedError, by_name, dominant

MODULE = "ai_edge_litert.interpreter"
REQUIRES = ("ai-edge-litert",)
FORMATS = ("tflite",)
LACKS = (
    "unresolved custom op",
    "Didn't find op for builtin opcode",
    "builtin_code out of range",
    "not supported",
)

DTYPES = ("float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")
COMPUTE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
PRECISIONS = {"float32": "fp32", "float16": "fp16", "int8": "int8", "uint8": "int8"}


class InterpreterSession:
    """One interpreter; the package is ai_edge_litert or its frozen predecessor tflite_runtime."""

    native_ns = None  # the interpreter has no clock of its own

    def __init__(self, package: str, path: str, cell: wire.Cell) -> None:
        self.package = package
        self.path = path
        module = importlib.import_module(package + ".interpreter")
        self.cell = cell
        self.interpreter = module.Interpreter(model_path=path, num_threads=cell["threads"])
        details = self.interpreter.get_input_details()
        order = by_name(cell["inputs"], [detail["name"] for detail in details])
        self.indices = {}
        self.input_dtypes = {}
        resized = False
        for spec, at in zip(cell["inputs"], order):
            self.indices[spec["name"]] = details[at]["index"]
            self.input_dtypes[spec["name"]] = numpy_name(details[at]["dtype"])
            if list(details[at]["shape"]) != spec["shape"]:
                self.interpreter.resize_tensor_input(details[at]["index"], spec["shape"])
                resized = True
        try:
            self.interpreter.allocate_tensors()
        except RuntimeError as error:
            if not resized or not allocates(module.Interpreter(model_path=path)):
                raise
            raise UnsupportedError(
                "the model refuses the cell's shapes: {}".format(error)
            ) from None
        self.infer = self.interpreter.invoke

    def bind(self, arrays: Dict[str, Any]) -> None:
        """Copy the inputs into the arena, where they stay from inference to inference."""
        for name, array in arrays.items():
            self.interpreter.set_tensor(self.indices[name], array)

    def outputs(self) -> List[Any]:
        """Copy the output tensors; a quantised one comes back as the real values it stands for."""
        return [
            real_values(self.interpreter.get_tensor(detail["index"]), *detail["quantization"])
            for detail in self.interpreter.get_output_details()
        ]

    def another(self) -> InterpreterSession:
        """Load the file again: an interpreter serves one request at a time.

        The file's pages are shared, the arena and what a delegate packs are not.
        """
        return InterpreterSession(self.package, self.path, self.cell)

    def executed(self) -> wire.Executed:
        """Read the operators' types and whether a delegate took part."""
        operators = self.interpreter._get_ops_details()
        delegated = any(operator["op_name"] == "DELEGATE" for operator in operators)
        layers = [layer for layer in operators if layer["op_name"] in COMPUTE]
        dtypes = {
            tensor["index"]: numpy_name(tensor["dtype"])
            for tensor in self.interpreter.get_tensor_details()
        }
        precision, note = dominant(layer_precisions(layers, dtypes))
        return {
            "precision": precision,
            "threads": None,  # the interpreter does not tell
            "provider": "XNNPACK delegate" if delegated else "built-in kernels",
            "runtime_version": package_version(self.package),
            "note": "; ".join(part for part in (note, hybrid_note(layers, dtypes)) if part) or None,
        }


def allocates(interpreter: Any) -> bool:
    """Whether a model runs in the shapes of its file: else the shapes are not what it refuses."""
    try:
        interpreter.allocate_tensors()
    except RuntimeError:
        return False
    return True


def layer_precisions(layers: List[Dict[str, Any]], dtypes: Dict[int, str]) -> Dict[str, int]:
    """Count the compute layers by the type of their activations."""
    names = [dtypes.get(layer["inputs"][activations_at(layer)], "") for layer in layers]
    return dict(Counter(PRECISIONS[name] for name in names if name in PRECISIONS))


def hybrid_note(layers: List[Dict[str, Any]], dtypes: Dict[int, str]) -> Optional[str]:
    """Say when reals meet int8 weights (dynamic-range quantisation).

    Kernels differ in what they make of such a layer: they widen the weights, or quantise the
    activations on the fly. The same file then gives other outputs in another runtime.
    """
    hybrid = sum(
        dtypes.get(layer["inputs"][activations_at(layer)]) == "float32"
        and dtypes.get(layer["inputs"][1]) == "int8"
        for layer in layers
    )
    return "{} of {} layers have int8 weights".format(hybrid, len(layers)) if hybrid else None


def activations_at(layer: Dict[str, Any]) -> int:
    """Position of a layer's activations among its inputs: third in a transposed convolution."""
    return 2 if layer["op_name"] == "TRANSPOSE_CONV" else 0


def real_values(array: Any, scale: float, zero_point: int) -> Any:
    """Undo the quantisation of an output; scale 0 means that it is not quantised."""
    return array if not scale else (array.astype("float32") - zero_point) * scale


def numpy_name(dtype: Any) -> str:
    """Name a tensor's dtype; strings and resources have none that can be fed."""
    name = getattr(dtype, "__name__", str(dtype))
    return "bool" if name == "bool_" else name


def package_version(package: str) -> str:
    """Version of the installed interpreter package."""
    from importlib.metadata import version

    return version(package.replace("_", "-"))


def load(path: str, cell: wire.Cell, streams: int, trace: bool) -> InterpreterSession:
    """Load a TFLite file; it tells what runs and knows of no other streams: both are unused."""
    return load_with("ai_edge_litert", path, cell)


def load_with(package: str, path: str, cell: wire.Cell) -> InterpreterSession:
    """Load a TFLite file with the interpreter of the given package."""
    for spec in cell["inputs"]:
        if spec["dtype"] not in DTYPES:
            raise UnsupportedError("input type {} cannot be fed".format(spec["dtype"]))
    return InterpreterSession(package, path, cell)
