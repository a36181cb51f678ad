"""Which layers give a network's outputs, learned from one run of it: autograd records the graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.autograd.graph import Node

from harness.errors import InputError
from harness.training import masks

# One batch of the network's inputs, the batch axis first.
Example = torch.Tensor | tuple[torch.Tensor, ...]


def inputs(example: Example) -> tuple[torch.Tensor, ...]:
    """Return what forward() is called with."""
    return example if isinstance(example, tuple) else (example,)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Bring a network to evaluation mode, and each of its modules back to the mode it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def recorded(network: nn.Module) -> Iterator[None]:
    """Let autograd record what the network does in evaluation mode, frozen parameters included."""
    frozen = [one for one in network.parameters() if not one.requires_grad]
    for one in frozen:
        one.requires_grad_(True)
    try:
        with evaluating(network), torch.enable_grad():
            yield
    finally:
        for one in frozen:
            one.requires_grad_(False)


def results(network: nn.Module, example: Example) -> list[torch.Tensor]:
    """Return all tensors that a network gives for an example, in evaluation mode."""
    with evaluating(network), torch.no_grad():
        return _tensors(network(*inputs(example)))


def last(network: nn.Module, example: Example) -> list[str]:
    """Return the layers whose outputs are the network's own, with no other layer in between.

    Raises InputError if there is none, so that nobody can tell what may not change.
    """
    ahead, makers = _record(network, example)
    found, seen = set[str](), set[Node]()
    while ahead:
        node = ahead.pop()
        if node in makers:
            found.add(makers[node])
        elif node not in seen:
            seen.add(node)
            ahead += [source for source, _ in node.next_functions if source is not None]
    if not found:
        raise InputError("no convolution or linear layer leads to the network's outputs")
    return [name for name in masks.layers(network) if name in found]


def _record(network: nn.Module, example: Example) -> tuple[list[Node], dict[Node, str]]:
    """Return the autograd nodes of the outputs, and the layer that each layer output's is of."""
    makers: dict[Node, str] = {}
    hooks = []
    for name, layer in masks.layers(network).items():

        def note(_layer: object, _args: object, made: torch.Tensor, name: str = name) -> None:
            if made.grad_fn is not None:
                makers[made.grad_fn] = name

        hooks.append(layer.register_forward_hook(note))
    try:
        with recorded(network):
            made = _tensors(network(*inputs(example)))
    finally:
        for hook in hooks:
            hook.remove()
    return [one.grad_fn for one in made if one.grad_fn is not None], makers


def _tensors(made: object) -> list[torch.Tensor]:
    """Return the tensors in what forward() gives: one, or some in tuples, lists and dicts."""
    if isinstance(made, torch.Tensor):
        return [made]
    if isinstance(made, dict):
        made = list(made.values())
    if isinstance(made, tuple | list):
        return [tensor for one in made for tensor in _tensors(one)]
    return []
