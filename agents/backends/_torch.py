"""What PyTorch targets need, weights in the 2:4 pattern, and what its profiler says of a run."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import Any, Callable, Dict, List, Optional

from agents import wire
from agents.backends import UnsupportedError

AMPERE = (8, 0)
PRECISIONS = {
    "float": "fp32",
    "c10::Half": "fp16",
    "c10::BFloat16": "bf16",
    "double": "fp64",
    "signed char": "int8",
    "unsigned char": "int8",
}
# Operators whose arithmetic decides what precision a network runs in.
COMPUTE = (
    *("conv", "linear", "matmul", "addmm", "bmm", "baddbmm", "mm"),
    *("mkldnn_convolution", "_convolution_pointwise", "_linear_pointwise"),
)
LIBRARIES = ("aten", "mkldnn", "onednn", "quantized")
FUSED = "what torch.compile has fused into kernels of its own is not among the layers"


def require(target: str, precision: str) -> None:
    """Refuse a target that the device lacks; raises UnsupportedError."""
    import torch

    if target.startswith("cuda"):
        if not torch.cuda.is_available():
            raise UnsupportedError(
                "PyTorch {} finds no CUDA GPU: {} needs one, its driver and a torch built for "
                "CUDA".format(torch.__version__, target)
            )
        # Else float32 is computed in TF32, which has 10 bits of mantissa.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    if target == "cuda-2:4":
        if torch.cuda.get_device_capability() < AMPERE:
            name = torch.cuda.get_device_name()
            raise UnsupportedError("{} has no 2:4 tensor cores: Ampere and newer do".format(name))
        if precision not in ("fp16", "bf16"):
            raise UnsupportedError(
                "weights in the 2:4 pattern are computed in fp16 or bf16, not in {}".format(
                    precision
                )
            )
    if target == "compiled" and not shutil.which(os.environ.get("CXX", "g++")):
        raise UnsupportedError("torch.compile needs a C++ compiler on the board: install g++")


def on_device(program: Any, device: str, real: Any) -> Any:
    """Make the module of a program, on a device and with reals of a type (null: as they are)."""
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    module = program.module().requires_grad_(False)
    return module if real is None else module.to(real)


def compiled(module: Any, path: str) -> Any:
    """Have a module compiled by its next call, for the shapes of that call.

    What is compiled goes into the job's folder, where launches after the evaluation find it.
    """
    import torch

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(os.path.dirname(path), "inductor")
    import torch._inductor.config as config

    config.compile_threads = 1  # no processes that stay
    return torch.compile(module, dynamic=False)


def zeros(spec: wire.TensorSpec) -> Any:
    """Make an input of zeros."""
    import numpy as np

    return np.zeros(spec["shape"], spec["dtype"])


def compress(module: Any) -> str:
    """Compress the weights of linear layers that have the 2:4 pattern; returns how many they are.

    Convolutions have no such kernels in PyTorch. Raises UnsupportedError when nothing qualifies.
    """
    import torch

    weights = {
        str(node.args[1].target)
        for node in module.graph.nodes
        if node.target is torch.ops.aten.linear.default and node.args[1].op == "get_attr"
    }
    done = sum(compressed(module, name) for name in sorted(weights))
    if not done:
        raise UnsupportedError(
            "none of the {} linear layers has weights in the 2:4 pattern (two zeros in each four "
            "along the inputs, sizes of a multiple of 32 x 64)".format(len(weights))
        )
    return "{} of {} linear layers in the 2:4 pattern".format(done, len(weights))


def compressed(module: Any, name: str) -> bool:
    """Compress one weight, in place; returns whether it qualifies."""
    import torch
    from torch.sparse import to_sparse_semi_structured

    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    weight = getattr(owner, leaf)
    rows, columns = weight.shape
    if rows % 32 or columns % 64 or int((weight.reshape(-1, 4) != 0).sum(1).max()) > 2:
        return False
    sparse = to_sparse_semi_structured(weight.detach().contiguous())
    setattr(owner, leaf, torch.nn.Parameter(sparse, requires_grad=False))
    return True


def layers(infer: Callable[[], Any], device: str, runs: int) -> List[wire.LayerRun]:
    """Run so many inferences under the profiler; returns the outermost operators, in order."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == "cuda")
    with profile(activities=kinds, record_shapes=True) as profiled:
        for _ in range(runs):
            infer()
    outer = [event for event in profiled.events() if is_operator(event) and not inside(event)]
    count = len(outer) // runs
    each = [outer[at : at + count] for at in range(0, count * runs, count)] if count else []
    return [layer_run(at, same, device) for at, same in enumerate(zip(*each))]


def is_operator(event: Any) -> bool:
    """Whether an event is an operator; the kernels that torch.compile makes leave no event."""
    return event.name.partition("::")[0] in LIBRARIES


def inside(event: Any) -> bool:
    """Whether an event is part of another operator."""
    return event.cpu_parent is not None and is_operator(event.cpu_parent)


def layer_run(at: int, same: Any, device: str) -> wire.LayerRun:
    """Describe one operator by its calls in the traced inferences."""
    first = same[0]
    operator = first.name.partition("::")[2]
    spent: Counter[str] = Counter()
    for event in (one for call in same for one in family(call)):
        spent[event.name] += event.self_cpu_time_total
    kernels = [kernel for event in family(first) for kernel in event.kernels]
    busiest = max(kernels, key=lambda one: one.duration).name if kernels else None
    on_gpu = device == "cuda"
    times = [event.device_time_total if on_gpu else event.cpu_time_total for event in same]
    return {
        "name": "{}.{}".format(operator, at),
        "operator": operator,
        "kernel": busiest or spent.most_common(1)[0][0],
        "provider": device,
        "precision": precision_of(first),
        "ns": round(sum(times) * 1000 / len(times)),
    }


def family(event: Any) -> List[Any]:
    """List an operator and those that it calls."""
    return [event, *(one for child in event.cpu_children for one in family(child))]


def precision_of(event: Any) -> Optional[str]:
    """Precision of an operator by its first input that is a tensor."""
    return next((PRECISIONS[name] for name in event.input_dtypes if name in PRECISIONS), None)


def precisions(found: List[wire.LayerRun]) -> Dict[str, int]:
    """Count the compute operators by precision."""
    counted = Counter(
        layer["precision"]
        for layer in found
        if layer["precision"] and layer["operator"].startswith(COMPUTE)
    )
    return dict(counted)
