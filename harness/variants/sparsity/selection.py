"""Which weights are pruned, and why the others are left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import InputError
from harness.variants import leave
from harness.variants.network import Array, Layer, Network
from harness.variants.recipe import CALIBRATED, Prune
from harness.variants.sparsity.weights import View, view


@dataclass(frozen=True)
class Target:
    """A weight to prune, and the layers that use it: more than one where they share it."""

    weight: str
    layers: tuple[Layer, ...]
    view: View

    @property
    def name(self) -> str:
        """Return the name of the layer, of several the first."""
        return self.layers[0].node.name

    def matrix(self, network: Network) -> Array:
        """Return the weight as [groups, outputs, columns]; InputError if it is not finite."""
        values = network.constant(self.weight)
        if not np.isfinite(values).all():
            raise InputError(
                f"the weight '{self.weight}' holds values that are not finite",
                where=f"layer {self.name}",
                next_step="prune a model whose training did not diverge",
            )
        return self.view.matrix(values)


def select(network: Network, ask: Prune) -> tuple[list[Target], dict[str, str]]:
    """Return the weights to prune, in order, and why each other layer is left, by its name.

    Raises InputError for a name in `leave` that no layer has, and if nothing remains to prune.
    """
    graph = network.graph
    layers = graph.layers()
    spared = leave.left(graph, ask.left)
    targets, left = [], {}
    for weight, users in _users(layers).items():
        seen = view(graph, users[0])
        reason = next((spared[user.node.name] for user in users if user.node.name in spared), None)
        reason = reason or _unfit(network, users, seen, ask)
        if reason is None and isinstance(seen, View):
            targets.append(Target(weight, users, seen))
        else:
            left.update({user.node.name: reason or str(seen) for user in users})
    if not targets:
        raise _nothing(left)
    return targets, left


def _users(layers: Sequence[Layer]) -> dict[str, tuple[Layer, ...]]:
    users: dict[str, tuple[Layer, ...]] = {}
    for layer in layers:
        users[layer.weight] = (*users.get(layer.weight, ()), layer)
    return users


def _unfit(network: Network, users: Sequence[Layer], seen: View | str, ask: Prune) -> str | None:
    """Say why a weight cannot be pruned this way; null: it can."""
    if isinstance(seen, str):
        return seen
    graph = network.graph
    layer_names = {user.node.name for user in users}
    for node in graph.nodes:
        if users[0].weight in node.inputs and node.name not in layer_names:
            return f"its weight is also an input of {node.name}"
    if any(view(graph, user) != seen for user in users):
        return "layers that use its weight in different ways share it"
    if not np.issubdtype(network.constant(users[0].weight).dtype, np.floating):
        return "its weight is quantised"
    if ask.method == "mask":
        return None
    if users[0].kind == "embedding" and (ask.method in CALIBRATED or ask.pattern != "unstructured"):
        return f"an embedding has no inputs that {ask.method} {ask.pattern} could go by"
    return _unfit_pattern(seen, ask)


def _unfit_pattern(seen: View, ask: Prune) -> str | None:
    if ask.n_of_m and seen.inputs % ask.n_of_m[1]:
        return f"its {seen.inputs} inputs are not a multiple of {ask.n_of_m[1]}"
    if ask.block and (seen.outputs < ask.block[0] or seen.inputs < ask.block[1]):
        return f"its {seen.outputs} x {seen.inputs} weights are smaller than a block {ask.pattern}"
    return None


def _nothing(left: Mapping[str, str]) -> InputError:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left.items())[:5])
    more = f"; and {len(left) - 5} more" if len(left) > 5 else ""
    return InputError(
        f"no layer remains to prune ({reasons}{more})" if left else "it has no layers with weights",
        where="prune",
        next_step="name fewer layers under `leave:`, or choose another pattern",
    )
