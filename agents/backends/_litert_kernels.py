"""Which operator of a TFLite file each event of LiteRT's profile belongs to.

Events of built-in kernels name their operator. Those of XNNPACK are its own operators: they come in
the order of the file's, but activations and paddings may be fused into their neighbours, or stand
alone where the file has them fused. Convolutions and products keep their number, and hold the rest
in place.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Sequence

from agents import wire
from agents.backends._litert_graph import COMPUTE, of_the_file, parts
from agents.backends._litert_profile import Event, UnavailableError

# How XNNPACK names what computes them.
COMPUTES = ("Convolution", "Fully Connected", "Deconvolution", "Batch Matrix Multiply")
# Operators that XNNPACK calls by other names than the file; of the rest the first letters agree.
CALLED = {
    "LOGISTIC": "Sigmoid",
    "PAD": "Constant Pad",
    "PADV2": "Constant Pad",
    "RESHAPE": "Static Reshape",
    "RELU": "Clamp",
    "RELU6": "Clamp",
    "QUANTIZE": "Convert",
    "DEQUANTIZE": "Convert",
    **dict.fromkeys(("CONCATENATION", "SPLIT", "SLICE", "STRIDED_SLICE"), "Copy"),
}
FIRST = 4  # letters
FOLLOWED = "Constant Pad"  # is part of what comes after it
APART = "LiteRT runs other operators by XNNPACK than the interpreter does"
UNLIKE = "XNNPACK's operators cannot be told to be which of the file's"


def timed(
    layers: List[wire.LayerRun], operators: Sequence[Any], events: Sequence[Event]
) -> List[wire.LayerRun]:
    """Add times and kernels to the layers of a file's operators; raises UnavailableError.

    An operator without an event of its own, as one that is fused into another, took no time.
    """
    belong = belonging(operators, events)
    found = []
    for layer, operator in zip(layers, of_the_file(list(operators))):
        mine = belong.get(operator["index"], [])
        busiest = max(mine, key=lambda event: event.ns, default=None)
        # Of a built-in kernel there is no more than the name of its operator.
        kernel = busiest.tag if busiest is not None and busiest.inner else None
        ns = sum(event.ns for event in mine)
        found.append({**layer, "kernel": kernel, "ns": ns})
    return found  # type: ignore[return-value]


def belonging(operators: Sequence[Any], events: Sequence[Event]) -> Dict[int, List[Event]]:
    """Find the events of each operator, by its index."""
    by_index = {operator["index"]: operator for operator in of_the_file(list(operators))}
    delegated = [sorted(part) for part in parts(list(operators))]
    alone = set(by_index).difference(*delegated)
    if {event.at for event in events if not event.inner} != alone:
        raise UnavailableError(APART)
    runs: List[List[Event]] = []
    for event in (one for one in events if one.inner):
        if event.at == 0:
            runs.append([])
        runs[-1].append(event)
    if len(runs) != len(delegated):
        raise UnavailableError(APART)
    found: Dict[int, List[Event]] = {event.at: [event] for event in events if not event.inner}
    for part, run in zip(delegated, runs):
        for at, event in matched([by_index[at] for at in part], run):
            found.setdefault(at, []).append(event)
    return found


def matched(operators: List[Any], events: List[Event]) -> Iterator[Any]:
    """Pair each event that XNNPACK told of with the index of an operator that it took together."""
    fixed = [at for at, one in enumerate(operators) if one["op_name"] in COMPUTE]
    computes = [at for at, event in enumerate(events) if event.tag.startswith(COMPUTES)]
    if len(fixed) != len(computes) or not all(
        alike(operators[one], events[other]) for one, other in zip(fixed, computes)
    ):
        raise UnavailableError(UNLIKE)
    starts, begins = [-1, *fixed], [-1, *computes]
    ends, stops = [*fixed, len(operators)], [*computes, len(events)]
    for start, end, begin, stop in zip(starts, ends, begins, stops):
        current, last = max(start, 0), start
        for event in events[begin + 1 : stop]:
            ahead = range(last + 1, end)
            free = [at for at in ahead if is_called(operators[at]["op_name"], event)]
            if free:
                current = last = free[0]
            follows = event.tag.startswith(FOLLOWED) and not free and end < len(operators)
            yield operators[end if follows else current]["index"], event
        if stop < len(events):
            yield operators[end]["index"], events[stop]


def alike(operator: Any, event: Event) -> bool:
    """Whether an event may be a convolution or product: depthwise kernels are told apart."""
    depthwise = operator["op_name"] == "DEPTHWISE_CONV_2D"
    return bool(depthwise or not event.tag.endswith("DWConv"))


def is_called(operator: str, event: Event) -> bool:
    """Whether an event is called as XNNPACK calls an operator."""
    name = CALLED.get(operator, operator.replace("_", " ")[:FIRST])
    return event.tag.replace(" ", "").lower().startswith(name.replace(" ", "").lower())
