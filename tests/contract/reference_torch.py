"""The reference networks as PyTorch programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from harness.reference.graph import (
    Concatenation,
    Constant,
    Convolution,
    Elementwise,
    Expectation,
    Flatten,
    GlobalPool,
    Graph,
    Linear,
    MaxPool,
    Operation,
    Resize,
    Split,
    Upscale,
)
from harness.reference.weights import Weights
from tests.contract.networks import lowered

ACTIVATIONS: Mapping[str | None, Callable[[Any], Any]] = {
    None: lambda values: values,
    "relu": torch.relu,
    "relu6": functional.relu6,
    "hard_swish": functional.hardswish,
    "hard_sigmoid": functional.hardsigmoid,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
}
FUNCTIONS = {"add": torch.add, "subtract": torch.sub, "multiply": torch.mul}


class Module(torch.nn.Module):  # type: ignore[misc]
    """A network that takes NHWC, as its files do, and gives channels first."""

    def __init__(self, graph: Graph, learnt: Mapping[str, Weights]) -> None:
        super().__init__()
        self.graph = graph
        self.learnt = {
            name: (torch.tensor(layer.weight), torch.tensor(layer.bias))
            for name, layer in learnt.items()
        }
        for name, (weight, bias) in self.learnt.items():
            self.register_buffer(name.replace(".", "/") + "/weight", weight)
            self.register_buffer(name.replace(".", "/") + "/bias", bias)

    def forward(self, x: Any) -> tuple[Any, ...]:
        values = {self.graph.input: x.permute(0, 3, 1, 2)}
        for operation in self.graph.operations:
            sources = [values[tensor] for tensor in operation.inputs]
            values.update(zip(operation.outputs, self.results(operation, sources), strict=True))
        return tuple(values[tensor] for tensor in self.graph.outputs)

    def results(self, operation: Operation, sources: list[Any]) -> tuple[Any, ...]:
        match operation:
            case Convolution() | Linear() | Upscale():
                return (self.weighted(operation, sources[0]),)
            case Split():
                return tuple(torch.chunk(sources[0], len(operation.outputs), 1))
            case Concatenation():
                return (torch.cat(sources, 1 if operation.along == "channels" else 2),)
            case Elementwise():
                result = FUNCTIONS[operation.function](*sources)
                return (ACTIVATIONS[operation.activation](result),)
        return (single(operation, *sources),)

    def weighted(self, operation: Convolution | Linear | Upscale, source: Any) -> Any:
        name = operation.name.replace(".", "/")
        weight, bias = self.get_buffer(name + "/weight"), self.get_buffer(name + "/bias")
        match operation:
            case Linear():
                return functional.linear(source, weight, bias)
            case Upscale():
                turned = weight.transpose(0, 1)
                return functional.conv_transpose2d(source, turned, bias, stride=operation.factor)
        result = functional.conv2d(
            source,
            weight,
            bias,
            operation.stride,
            operation.pad,
            operation.dilation,
            operation.output.channels if operation.depthwise else 1,
        )
        return ACTIVATIONS[operation.activation](result)


def single(operation: Operation, *sources: Any) -> Any:
    """The only result of an operation without weights or activation."""
    match operation:
        case Constant():
            return torch.tensor(operation.value)[None]
        case MaxPool():
            pad = operation.pad
            return functional.max_pool2d(sources[0], operation.kernel, operation.stride, pad)
        case GlobalPool():
            return sources[0].mean((2, 3), keepdim=bool(operation.output.positions))
        case Resize(mode="nearest"):
            return functional.interpolate(sources[0], operation.output.positions)
        case Resize():
            return functional.interpolate(sources[0], operation.output.positions, mode="bilinear")
        case Flatten():
            return sources[0].flatten(2)
        case Expectation():
            shares = sources[0].unflatten(1, (-1, operation.bins)).softmax(2)
            return (shares * torch.arange(operation.bins)[:, None]).sum(2)
    raise TypeError(f"no rule to write {type(operation).__name__} in PyTorch")


def write(graph: Graph, learnt: Mapping[str, Weights], path: Path, batch: int) -> None:
    """Write it as a program of a fixed batch, for PyTorch or (.pte) for ExecuTorch."""
    sample = torch.zeros(batch, *graph.input.positions, graph.input.channels)
    program = torch.export.export(Module(graph, learnt).eval(), (sample,))
    if path.suffix == ".pte":
        path.write_bytes(lowered(program))
    else:
        torch.export.save(program, path)
