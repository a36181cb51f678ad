"""LiteRT (ai-edge-litert): the interpreter with XNNPACK, without it, or with another delegate."""

from __future__ import annotations

import importlib
import os
from typing import Any, Dict, List

from agents import proc, wire
from agents.backends import UnsupportedError, by_name, dominant
from agents.backends._litert_delegates import (
    BARE,
    BUILTIN,
    EXTERNAL,
    PROVIDERS,
    XNNPACK,
    delegation,
)
from agents.backends._litert_graph import (
    COMPUTE,
    described,
    hybrid_note,
    layer_precisions,
    layers,
    of_the_file,
    taken,
)
from agents.backends._litert_kernels import timed
from agents.backends._litert_profile import Profile, UnavailableError, port, profiled, sha256
from agents.backends._traced import Traced

MODULE = "ai_edge_litert.interpreter"
REQUIRES = ("ai-edge-litert",)
FORMATS = ("tflite",)
LACKS = (
    "unresolved custom op",
    "Didn't find op for builtin opcode",
    "builtin_code out of range",
    "not supported",
)

TARGETS = (XNNPACK, BARE, EXTERNAL)

# Where times and kernels come from: another library of the same release, told to use the same
# delegate and threads. That it does shows in its outputs.
PROFILED = "times and kernels by LiteRT's compiled model"
DIFFERING = ", whose outputs are not the interpreter's: it may have run other kernels"

DTYPES = ("float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")


class InterpreterSession:
    """One interpreter; the package is ai_edge_litert or its frozen predecessor tflite_runtime."""

    native_ns = None  # the interpreter has no clock of its own

    def __init__(self, package: str, path: str, cell: wire.Cell, trace: bool) -> None:
        self.package, self.path, self.cell, self.trace = package, path, cell, trace
        module = importlib.import_module(package + ".interpreter")
        how = {"num_threads": cell["threads"], **delegation(module, cell)}
        self.interpreter = module.Interpreter(model_path=path, **how)
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
        invoke = self.interpreter.invoke
        self.infer: Any = Traced(invoke) if trace else invoke

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
        return InterpreterSession(self.package, self.path, self.cell, self.trace)

    def memory(self) -> Dict[str, Any]:
        """Tell how much of the mapped file is resident: nearly all of a file is weights.

        What a delegate packs comes on top, and the interpreter does not tell of its arena.
        """
        return {
            "weights_kib": proc.mapped_kib(os.path.dirname(os.path.realpath(self.path))),
            "account": "LiteRT: resident pages of the mapped file",
        }

    def executed(self) -> wire.Executed:
        """Read the operators' types, and which of them a delegate runs.

        Raises UnsupportedError when a delegate that was asked for runs none.
        """
        operators = self.interpreter._get_ops_details()
        delegated, count = len(taken(operators)), len(of_the_file(operators))
        if not delegated and self.cell["target"] == EXTERNAL:
            raise UnsupportedError("the delegate takes none of the {} operators".format(count))
        compute = [layer for layer in operators if layer["op_name"] in COMPUTE]
        types, names = described(self.interpreter)
        dtypes = {at: numpy_name(dtype) for at, dtype in types.items()}
        precision, note = dominant(layer_precisions(compute, dtypes))
        notes = [note, hybrid_note(compute, dtypes)]
        if delegated < count and self.cell["target"] != BARE:
            notes.append("the delegate takes {} of {} operators".format(delegated, count))
        delegate = PROVIDERS[self.cell["target"]]
        ran = layers(operators, names, dtypes, delegate) if self.trace else None
        traced = None
        if ran is not None and self.infer.warm:
            try:
                profile = self.profile()
                ran, traced = timed(ran, operators, profile.events), self.infer.warm
                notes.append(PROFILED if self.gives(profile) else PROFILED + DIFFERING)
            except UnavailableError as missing:
                notes.append("operators are not timed: {}".format(missing))
        return {
            "precision": precision,
            "threads": None,  # the interpreter does not tell
            "provider": delegate if delegated else BUILTIN,
            "runtime_version": package_version(self.package),
            "note": "; ".join(part for part in notes if part) or None,
            "layers": ran,
            "traced": traced,
        }

    def profile(self) -> Profile:
        """Have as many inferences as were traced timed operator by operator."""
        if self.cell["target"] == EXTERNAL:
            raise UnavailableError("the profiler knows no other delegates")
        inputs, outputs = (
            {one["name"]: port(self.interpreter.get_tensor(one["index"]), fed) for one in details}
            for details, fed in (
                (self.interpreter.get_input_details(), True),
                (self.interpreter.get_output_details(), False),
            )
        )
        request = {
            "path": self.path,
            "builtin": self.cell["target"] == BARE,
            "threads": self.cell["threads"],
            "runs": self.infer.warm,
            "inputs": inputs,
            "outputs": outputs,
        }
        return profiled(self.package, request, self.infer.seconds)

    def gives(self, profile: Profile) -> bool:
        """Whether a profiled run gave the very outputs of the interpreter."""
        return all(
            profile.outputs[detail["name"]] == sha256(self.interpreter.get_tensor(detail["index"]))
            for detail in self.interpreter.get_output_details()
        )


def allocates(interpreter: Any) -> bool:
    """Whether a model runs in the shapes of its file: else the shapes are not what it refuses."""
    try:
        interpreter.allocate_tensors()
    except RuntimeError:
        return False
    return True


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
    """Load a TFLite file; the interpreter knows of no other streams, so these are unused."""
    return load_with("ai_edge_litert", path, cell, trace)


def load_with(package: str, path: str, cell: wire.Cell, trace: bool) -> InterpreterSession:
    """Load a TFLite file with the interpreter of the given package."""
    for spec in cell["inputs"]:
        if spec["dtype"] not in DTYPES:
            raise UnsupportedError("input type {} cannot be fed".format(spec["dtype"]))
    return InterpreterSession(package, path, cell, trace)
