"""How many added layers make a network slower by so much, and how many gates fit into a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from harness.effort import EFFORTS
from harness.errors import DeviceError
from harness.study import Effort
from reports import power, shares
from reports.sequential import Rule, decide

# Layers of the network that tells what one costs: some +10%, so that noise is small beside it.
PILOT = 40
# A slowdown this near its target, as a share of it, is near enough.
NEAR = 0.15
# What of the interval of a slowdown may lie on each side, where 14 launches can tell it so well.
KNOWN_WITHIN = 0.005
SIMULATED = 200  # gates


def layers_for(ratio: float, pilot: int, targets: Mapping[str, float]) -> dict[str, int]:
    """How many layers make each slower network, if each costs as much as one of the pilot's."""
    each = (ratio - 1) / pilot
    if each <= 0:
        raise DeviceError(
            f"{pilot} added layers made no difference: x {ratio:.4f}",
            next_step="try again when nothing else runs on the device",
        )
    return {name: max(1, round(target / each)) for name, target in targets.items()}


def refitted(
    layers: Mapping[str, int], ratios: Mapping[str, float], targets: Mapping[str, float]
) -> dict[str, int]:
    """The layers once more, by what those of the slower networks cost; as they were if near enough.

    A pilot of many layers is seen clearly in noise, but a few of them may cost more or less each.
    """
    added = sum(layers.values())
    each = sum(ratios[name] - 1 for name in layers) / added
    if each <= 0 or all(abs(each * layers[name] / targets[name] - 1) < NEAR for name in layers):
        return dict(layers)
    return layers_for(1 + each * added, added, targets)


def launches_of_a_gate(ratios: Sequence[float], rule: Rule) -> float:
    """Mean launches of gates on identical networks whose log ratios scatter as these do.

    By simulation: gates are decided on draws from these ratios, moved to a centre of 0. The launch
    that is under way when a gate is decided is counted too.
    """
    draw, scatter = np.random.default_rng(0), np.asarray(ratios) - np.median(ratios)
    gates = draw.choice(scatter, (SIMULATED, rule.looks[-1]))
    launches = [decide(gate.tolist(), rule).launches for gate in gates]
    return min(float(np.mean(launches)) + 1, rule.looks[-1])


def calm_effort(ratios: Sequence[float]) -> Effort:
    """The effort of launches that no gate sees, so that a slowdown is known well enough."""
    launches = 2 * EFFORTS["quick"].launches
    half = power.spread_of(ratios, "signed-rank") * shares.normal() / math.sqrt(launches)
    return "quick" if half <= KNOWN_WITHIN else "standard"
