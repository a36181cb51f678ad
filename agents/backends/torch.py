"""PyTorch: programs of torch.export, run as they are, compiled, or on an NVIDIA GPU."""

from __future__ import annotations

from copy import copy
from typing import Any, Dict, List, Optional

from agents import wire
from agents.backends import _torch, by_name, dominant
from agents.backends._traced import Traced

MODULE = "torch"
REQUIRES = ("torch>=2.9", "numpy")
FORMATS = ("torch",)
LACKS = (
    "Guard failed",  # shapes that the program was not exported for
    "not implemented for",
    "Could not run 'aten::",
    "does not match our current schema",  # the file is of a newer torch
    "Unsupported target type",  # an operator of a package that is not here
    "Python.h",  # torch.compile without the headers that it compiles against
)
# Eager: one kernel after another. cuda-2:4: half precision, weights in the 2:4 pattern compressed.
# On a GPU an inference begins and ends in the host's memory, where requests come from.
EAGER, COMPILED, CUDA, TWO_OF_FOUR = TARGETS = ("eager", "compiled", "cuda", "cuda-2:4")
COMPILES = (COMPILED,)


class TorchSession:
    """One program; streams share its weights."""

    infer: Any
    native_ns = None  # no clock of its own

    def __init__(self, path: str, cell: wire.Cell, trace: bool) -> None:
        import torch
        from torch.export.pt2_archive._package import load_pt2

        self.torch, self.trace, self.cell = torch, trace, cell
        target = cell["target"] or EAGER
        self.device = "cuda" if target in (CUDA, TWO_OF_FOUR) else "cpu"
        torch.set_num_threads(cell["threads"])  # of each stream
        _torch.require(target, cell["precision"])
        # torch.export.load would leave the reason of a failure in the log.
        (program,) = load_pt2(path).exported_programs.values()
        self.order = by_name(cell["inputs"], program.graph_signature.user_inputs)
        self.input_dtypes = {spec["name"]: spec["dtype"] for spec in cell["inputs"]}
        self.nesting = program.call_spec.in_spec
        self.real = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(cell["precision"])
        self.module: Any = _torch.on_device(program, self.device, self.real)
        self.weights = sum(tensor.nbytes for tensor in self.module.state_dict().values())
        self.layer_note: Optional[str] = None
        if target == TWO_OF_FOUR:
            self.layer_note = _torch.compress(self.module)
        self.result: Any = None
        if target == COMPILED:
            self.module, self.layer_note = _torch.compiled(self.module, path), _torch.FUSED
            self.bind({spec["name"]: _torch.zeros(spec) for spec in cell["inputs"]})
            self.infer()  # compiles, which is part of loading

    def bind(self, arrays: Dict[str, Any]) -> None:
        """Nest the inputs as the program takes them; reals in the precision asked for."""
        torch, flat = self.torch, [None] * len(self.order)
        for spec, at in zip(self.cell["inputs"], self.order):
            tensor = torch.from_numpy(arrays[spec["name"]])
            flat[at] = tensor.to(self.real) if tensor.is_floating_point() else tensor
        module, device = self.module, self.device
        tree = torch.utils._pytree
        args, kwargs = tree.tree_unflatten(flat, self.nesting)

        def on_cpu() -> None:
            self.result = module(*args, **kwargs)

        def on_gpu() -> None:
            sent = tree.tree_map(lambda tensor: tensor.to(device), (args, kwargs))
            answer = module(*sent[0], **sent[1])
            self.result = tree.tree_map(lambda tensor: tensor.to("cpu"), answer)

        infer = torch.inference_mode()(on_cpu if device == "cpu" else on_gpu)
        self.infer = Traced(infer) if self.trace else infer

    def outputs(self) -> List[Any]:
        """Copy the outputs; reals of fewer bits come as float32, which holds them exactly."""
        leaves = self.torch.utils._pytree.tree_leaves(self.result)
        whole = [tensor.float() if tensor.is_floating_point() else tensor for tensor in leaves]
        return [tensor.numpy().copy() for tensor in whole]

    def another(self) -> TorchSession:
        """Share the program, which holds no state between calls."""
        return copy(self)

    def memory(self) -> Dict[str, Any]:
        """Tell what the weights take, and the GPU's memory at its peak."""
        gpu = self.torch.cuda.max_memory_reserved() // 1024 if self.device == "cuda" else None
        return {
            "weights_kib": self.weights // 1024,
            "gpu_kib": gpu,
            "account": "PyTorch: parameters and buffers of the program",
        }

    def executed(self) -> wire.Executed:
        """Report where it ran; of a traced session the operators and kernels of more inferences."""
        traced = self.infer.warm if self.trace else 0
        layers = _torch.layers(self.infer, self.device, traced) if traced else None
        precision, note = dominant(_torch.precisions(layers or []))
        gpu = self.torch.cuda.get_device_name() if self.device == "cuda" else "CPU"
        return {
            "precision": precision,
            "threads": self.torch.get_num_threads(),
            "provider": "{} ({})".format(gpu, self.cell["target"] or EAGER),
            "runtime_version": self.torch.__version__,
            "note": "; ".join(text for text in (note, self.layer_note) if text) or None,
            "layers": layers,
            "traced": traced or None,
        }


def load(path: str, cell: wire.Cell, streams: int, trace: bool) -> TorchSession:
    """Load a .pt2 file; streams are threads that call, so their number is unused."""
    return TorchSession(path, cell, trace)
