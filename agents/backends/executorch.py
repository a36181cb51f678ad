"""ExecuTorch on the CPU: .pte programs, whose parts run in XNNPACK as their export settled."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from agents import wire
from agents.backends import UnsupportedError

# Beside torch, whose libraries the bindings load.
MODULE = "executorch.extension.pybindings.portable_lib"
REQUIRES = ("executorch>=1.0", "torch>=2.9", "numpy")
FORMATS = ("executorch",)
# Codes of errors: not supported (a shape beyond the planned memory), operator missing, delegate
# not there (executorch/runtime/core/error.h).
LACKS = ("error 0x10", "error: 0x10", "error 0x14", "error: 0x14", "error 0x20", "error: 0x20")
TARGETS = ("cpu",)

METHOD = "forward"
NOT_TOLD = "ExecuTorch does not tell in what precision a layer runs: that was settled at export"


class ExecuTorchSession:
    """One program with memory of its own; what it delegates is compiled while it loads."""

    infer: Callable[[], Any]
    native_ns = None  # no clock of its own

    def __init__(self, path: str, cell: wire.Cell) -> None:
        from executorch.extension.pybindings import portable_lib

        self.library, self.path, self.cell = portable_lib, path, cell
        # One pool for all programs of a process.
        if portable_lib._threadpool_get_thread_count() != cell["threads"]:
            portable_lib._unsafe_reset_threadpool(cell["threads"])
        self.program = portable_lib._load_program(path)
        self.method = self.program.load_method(METHOD)
        # A program does not name its inputs: they are those of the file, in its order.
        self.input_dtypes = {spec["name"]: spec["dtype"] for spec in cell["inputs"]}
        self.results: List[Any] = []

    def bind(self, arrays: Dict[str, Any]) -> None:
        """Wrap the inputs, which every call copies into memory that was planned for them."""
        import torch

        inputs = [torch.from_numpy(arrays[spec["name"]]) for spec in self.cell["inputs"]]
        call = self.method.call

        def infer() -> None:
            self.results = call(inputs, False)  # outputs stay where the program writes them

        self.infer = infer

    def outputs(self) -> List[Any]:
        """Copy the outputs of the last call; reals of fewer bits come as float32."""
        whole = [out.float() if out.is_floating_point() else out for out in self.results]
        return [out.numpy().copy() for out in whole]

    def another(self) -> ExecuTorchSession:
        """Load the file again: a program serves one request at a time."""
        return ExecuTorchSession(self.path, self.cell)

    def executed(self) -> wire.Executed:
        """Report the threads and the delegates that the file calls."""
        from importlib.metadata import version

        with open(self.path, "rb") as file:
            program = file.read()
        known = self.library._get_registered_backend_names()
        delegates = sorted(name for name in known if name.encode() in program)
        return {
            "precision": None,
            "threads": self.library._threadpool_get_thread_count(),
            "provider": ",".join(delegates) or "portable kernels",
            "runtime_version": version("executorch"),
            "note": NOT_TOLD,
            "layers": None,
            "traced": None,
        }


def load(path: str, cell: wire.Cell, streams: int, trace: bool) -> ExecuTorchSession:
    """Load a .pte file; nothing is traced, for it tells nothing of its layers."""
    if streams > 1 and cell["threads"] > 1:
        raise UnsupportedError(
            "ExecuTorch has one pool of threads for all streams: {} of {} threads each cannot "
            "run at the same time".format(streams, cell["threads"])
        )
    return ExecuTorchSession(path, cell)
