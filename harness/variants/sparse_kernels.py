"""Whether LiteRT can run a TFLite file in its sparse kernels, condition by condition.

They are XNNPACK's, for 1x1 convolutions in floats. What decides stands in XNNPACK's and LiteRT's
sources only; it was checked against LiteRT 2.3.0 graph by graph (tests/unit/test_sparse_tflite.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.variants.networks import tflite_file
from harness.variants.networks.tflite_file import schema
from harness.variants.networks.tflite_layout import Layout, Step, layout, zeros
from harness.variants.networks.tflite_model import Model
from harness.variants.networks.tflite_steps import steps

PROCESSORS = "on 64-bit Arm; on x86 with AVX the kernels are off"


@dataclass(frozen=True)
class Condition:
    """One thing that must be so for the sparse kernels to be picked."""

    name: str
    holds: bool | None  # null: the processor decides
    what: str  # was found, or is missing


def qualifies(path: Path) -> list[Condition]:
    """List the conditions of the sparse kernels; unless all hold, LiteRT computes densely.

    "sound" is of another kind: where it fails, XNNPACK turns only a part of what it should. LiteRT
    then computes wrong values on all processors that have the kernels, or fails to load the file.
    With an operator that XNNPACK may not take the worse case counts. Raises InputError for what is
    no float TFLite file.
    """
    model = Model(tflite_file.read(path))
    graph = steps(model)
    outputs = {model.names[index] for index in model.outputs}
    # Whether XNNPACK takes the operators that it cannot turn, too, nobody promises: if it does not,
    # what they read leaves its part of the graph.
    away = outputs | {name for step in graph if step.role is None for name in step.reads}
    found, cautious = layout(graph, outputs, outputs), layout(graph, outputs, away)
    return [
        _stored(path),
        _begins(graph),
        _inside(found),
        _ends(graph),
        _zeros(graph, found),
        _sound([*found.broken, *cautious.broken]),
        Condition("processor", None, PROCESSORS),
    ]


def failing(conditions: Sequence[Condition]) -> list[Condition]:
    """Return the conditions that fail."""
    return [condition for condition in conditions if condition.holds is False]


def told(conditions: Sequence[Condition]) -> str:
    """Say it in a line: what the zeros are, whether it qualifies, and what is missing."""
    share = next(condition.what for condition in conditions if condition.name == "zeros")
    wrong = failing(conditions)
    if not wrong:
        return f"sparse kernels: {share}: qualifies {PROCESSORS}"
    missing = "; ".join(condition.what for condition in wrong if condition.name != "zeros")
    return f"sparse kernels: {share}: does not qualify{': ' if missing else ''}{missing}"


def _stored(path: Path) -> Condition:
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    tensors = (graph.Tensors(at) for at in range(graph.TensorsLength()))
    count = sum(tensor.Sparsity() is not None for tensor in tensors)
    what = f"{count} sparse tensors" if count else "no weights are stored as sparse tensors"
    return Condition("stored", count > 0, what)


def _begins(graph: Sequence[Step]) -> Condition:
    entry = next((step for step in graph if step.role == "entry"), None)
    if entry:
        return Condition("begins", True, f"begins with {entry}")
    first = next((step for step in graph if step.operator == "CONV_2D"), None)
    lack = f"; the first, {first}, {first.lacks or 'is 1x1'}" if first else ""
    what = "no 3x3 convolution of 3 channels with stride 2 and a padding of 1 begins the graph"
    return Condition("begins", False, what + lack)


def _inside(found: Layout) -> Condition:
    if found.clusters and not found.broken:
        return Condition("inside", True, "all operators between have a channels-first form")
    what = (
        found.left[0] if found.left else "nothing between is a 1x1 convolution that could be turned"
    )
    return Condition("inside", False, what)


def _ends(graph: Sequence[Step]) -> Condition:
    end = next((step for step in graph if step.role in ("reduce", "exit")), None)
    if end:
        return Condition("ends", True, f"ends with {end}")
    return Condition("ends", False, "no mean over height and width (MEAN) ends the cluster")


def _zeros(graph: Sequence[Step], found: Layout) -> Condition:
    """The cluster with the most weights counts; without one, all 1x1 convolutions."""
    layers = max(found.clusters, key=lambda cluster: zeros(cluster)[1], default=graph)
    empty, size = zeros(layers)
    if not size:
        return Condition("zeros", False, "no 1x1 convolutions")
    enough = 3 * empty > 2 * size
    what = f"1x1 convs {empty / size:.0%} zero"
    return Condition("zeros", enough, what if enough else f"{what}, more than 2/3 are needed")


def _sound(broken: Sequence[Step]) -> Condition:
    if not broken:
        return Condition("sound", True, "no operator takes channels for pixels")
    what = f"{broken[0]} may take channels for pixels, with wrong values, where the kernels are on"
    return Condition("sound", False, what)
