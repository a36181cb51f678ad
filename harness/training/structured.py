"""Structured pruning: whole channels go, a share in each step, with all that depends on them.

torch-pruning finds what depends on a channel and takes it out: Fang et al. 2023, "DepGraph: Towards
Any Structural Pruning" (arXiv 2301.12900). Channels that must go together are judged together, by
the mean of their squared weights over all layers that make or read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import floor, gcd, lcm
from typing import Any

import torch
import torch_pruning
from torch import nn

from harness.errors import InputError
from harness.training import graph, masks
from harness.training.graph import Example
from harness.training.loop import Step
from harness.training.schedule import check_rising

_ADVICE = "name the layers that the network's code needs at their width in `leave`"


@dataclass(frozen=True)
class _Plan:
    """What decides how many channels stay, all learned from the dense network."""

    example: Example
    widths: Mapping[str, int]  # layer -> its outputs
    left: frozenset[str]  # layers whose outputs stay
    multiple: int


def structured(
    network: nn.Module,
    example: Example,
    schedule: Sequence[float],
    epochs: int,
    leave: Sequence[str] = (),
    multiple: int = 1,
) -> list[Step]:
    """Return one step for each share of `schedule`: remove channels up to it, train for `epochs`.

    Shares are of the channels in `network`, the dense one, which is only read. Each group of layers
    that share channels keeps (1 - share) of them, rounded to the nearest multiple of `multiple`,
    but never none. The network's outputs stay, and so do the outputs of layers named in `leave`
    (or in blocks named there). `example` is one batch of inputs. Raises InputError unless the
    schedule rises between 0 and 1, and for a network with masks.
    """
    check_rising(schedule)
    if multiple < 1:
        raise InputError(f"channels are rounded to a multiple of 1 or more, not {multiple}")
    layers = masks.layers(network)
    free = set(masks.layers(network, leave)) - set(graph.last(network, example))
    if not free:
        raise InputError("no layer may lose channels: all are left or give the network's outputs")
    widths = {name: _outputs(layer) for name, layer in layers.items()}
    plan = _Plan(example, widths, frozenset(layers.keys() - free), multiple)
    rounding = f", in multiples of {multiple}" if multiple > 1 else ""
    left = f", leaving {', '.join(leave)}" if leave else ""
    return [
        Step(
            name=f"remove {100 * share:g}% of the channels by magnitude{rounding}{left}",
            epochs=epochs,
            prepare=partial(_remove, share=share, plan=plan),
        )
        for share in schedule
    ]


def _remove(network: nn.Module, share: float, plan: _Plan) -> nn.Module:
    """Take out the weakest channels of each group, in place."""
    if masks.of(network):
        raise InputError(
            "has masks, which do not fit weights without some channels",
            next_step="remove channels first, then prune weights",
        )
    before = graph.results(network, plan.example)
    frozen = {name for name, one in network.named_parameters() if not one.requires_grad}
    with _explained():
        _take_out(network, share, plan)
        after = graph.results(network, plan.example)
    for name, one in network.named_parameters():  # torch-pruning makes new ones, all trained
        one.requires_grad_(name not in frozen)
    _check_shapes(before, after)
    return network


def _take_out(network: nn.Module, share: float, plan: _Plan) -> None:
    names = {module: name for name, module in network.named_modules()}
    with graph.recorded(network):
        found = torch_pruning.DependencyGraph().build_dependency(
            network, graph.inputs(plan.example)
        )
        left = [network.get_submodule(name) for name in sorted(plan.left)]
        groups = list(found.get_all_groups(left, masks.MASKABLE))
    # All are judged before any is changed.
    weakest = [_weakest(group, names, share, plan) for group in groups]
    for group, channels in zip(groups, weakest, strict=True):
        if channels:
            root = group[0].dep
            found.get_pruning_group(root.target.module, root.handler, channels).prune()


def _weakest(group: Any, names: Mapping[nn.Module, str], share: float, plan: _Plan) -> list[int]:
    """Return the channels of a group that go, the same number from each part of it."""
    parts = _parts(group)
    scores: torch.Tensor = torch_pruning.importance.GroupMagnitudeImportance()(group)
    by_place = scores.reshape(parts, -1).mean(dim=0)
    width = plan.widths[names[group[0].dep.target.module]] // parts
    kept = _kept(width, share, plan.multiple // gcd(plan.multiple, parts))
    going = torch.argsort(by_place, stable=True)[: max(len(by_place) - kept, 0)]
    return sorted(int(place) + part * len(by_place) for part in range(parts) for place in going)


def _parts(group: Any) -> int:
    """Return how many parts of equal size the channels come in: for grouped convolutions."""
    parts = 1
    for dependency, _ in group:
        module = dependency.target.module
        if isinstance(module, nn.GroupNorm):
            parts = lcm(parts, module.num_groups)
        elif isinstance(module, masks.MASKABLE) and not isinstance(module, nn.Linear):
            depthwise = module.groups == module.out_channels == module.in_channels
            parts = lcm(parts, 1 if depthwise else module.groups)
    return parts


def _kept(width: int, share: float, multiple: int) -> int:
    """Return how many channels stay: the nearest multiple, at least one, at most all."""
    nearest = floor((1 - share) * width / multiple + 0.5)
    return min(width, multiple * max(1, nearest))


def _outputs(layer: nn.Module) -> int:
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    assert isinstance(channels, int)
    return channels


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what torch-pruning or the network says into an InputError; they share no base."""
    try:
        yield
    except Exception as error:
        what = f"does not run without some of its channels: {type(error).__name__}: {error}"
        raise InputError(what, where="structured", next_step=_ADVICE) from error


def _check_shapes(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> None:
    shapes = [[list(one.shape) for one in made] for made in (before, after)]
    if shapes[0] != shapes[1]:
        what = f"gives {shapes[1]} without some of its channels, not {shapes[0]}"
        raise InputError(what, where="structured", next_step=_ADVICE)
