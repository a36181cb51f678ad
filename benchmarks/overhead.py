"""Bias of the agent's timed path against native code, on the same model and pinned core.

One launch of a model in a runtime is a real worker, a C loop against the library in the same wheel
and, where the wheel has one, the runtime's own benchmark tool: all alive, one active, in blocks
that are mirrored so that drift cancels. A ratio is that of the medians of one launch, its interval
is t over the launches. N=LAUNCHES sets their number.

Of ONNX Runtime the wheel holds the same code twice, linked into its Python module and as a library;
the worker runs the one, the C loop the other.

The rest is what the harness itself costs, as every job measures it: the timing loop around an empty
call, the memory of the supervisor, and that of a worker before it imports a runtime.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, cast

from agents import journal, wire
from benchmarks.native import loops
from benchmarks.native.loops import UnavailableError
from benchmarks.native.models import MODELS
from benchmarks.native.pairs import Pair
from reports.estimate import Estimate
from tests.contract.workshop import Workshop

LAUNCHES = 5
RUNTIMES = ("openvino", "onnxruntime", "litert")
NO_LOOP = {"litert": "no C loop: the ai-edge-litert wheel has no C headers"}
# What the bias may be: whichever is larger.
TOLERANCE, TOLERANCE_US = 0.01, 2.0
SUPERVISOR_TIMEOUT_S = 60.0

Row = dict[str, Any]


def floors(shop: Workshop) -> Row:
    """What a supervisor says of itself, its loop and its worker, in a job with nothing else."""
    folder = Path(shop.bench(shop.job([], groups=[])).folder)
    command = [shop.python, str(shop.agent), "supervise", str(folder)]
    subprocess.run(command, cwd="/", check=True, timeout=SUPERVISOR_TIMEOUT_S)
    _, events = journal.read(str(folder / journal.NAME))
    told = cast(wire.FloorEvent, next(event for event in events if event["kind"] == "floor"))
    if told["worker_kib"] is None:
        raise RuntimeError(f"no floor was measured: {told['reason']}")
    return {
        "loop_floor_us": round(median(told["loop_ns"]) / 1000, 3),
        "supervisor_rss_mib": round(told["supervisor_kib"] / 1024, 1),
        "worker_floor_mib": round(told["worker_kib"] / 1024, 1),
    }


def make_pairs(shop: Workshop, scratch: Path) -> Iterator[Pair]:
    """Every model in every runtime; a loop that cannot be built is a reason in its rows."""
    for runtime in RUNTIMES:
        program, reason = None, NO_LOOP.get(runtime)
        if reason is None:
            try:
                program = loops.build(runtime, Path(shop.runtime(runtime)), scratch)
            except UnavailableError as error:
                reason = str(error)
        for model in MODELS:
            pair = Pair(shop, runtime, model, program)
            pair.native.reason = reason
            yield pair


def row_of(pair: Pair) -> Row:
    """What is printed of a pair; a null has its reason beside it."""
    ratio, beside = pair.agent.ratio_to(pair.native), pair.agent.ratio_to(pair.peer)
    reasons = [side.reason for side in (pair.agent, pair.native, pair.peer) if side.reason]
    decided = within(pair.native.value, ratio)
    if ratio.value is not None and decided is None:
        reasons.append(ratio.reason or "the interval is too wide to tell if it is within")
    row = {
        "runtime": pair.runtime,
        "model": pair.model.name,
        "native_p50_us": rounded(pair.native.value, 2),
        "agent_p50_us": rounded(pair.agent.value, 2),
        "ratio": rounded(ratio.value),
        "ci": interval(ratio),
        "within": decided,
        "peer": pair.tool.name if pair.tool else None,
        "peer_p50_us": rounded(pair.peer.value, 2),
        "peer_ratio": rounded(beside.value),
        "peer_ci": interval(beside),
        "launches": len(pair.agent.us),
    }
    return row | ({"reason": "; ".join(reasons)} if reasons else {})


def within(native_us: float | None, ratio: Estimate) -> bool | None:
    """Whether the bias is at most 1% or 2 us, whichever is larger; null when it may be or not."""
    if native_us is None or ratio.interval is None:
        return None
    limit = max(TOLERANCE, TOLERANCE_US / native_us)
    low, high = (end - 1 for end in ratio.interval)
    if -limit <= low and high <= limit:
        return True
    return False if low > limit or high < -limit else None


def interval(estimate: Estimate) -> list[float | None] | None:
    """The interval of a ratio as it is printed."""
    return estimate.interval and [rounded(end) for end in estimate.interval]


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A number as it is printed."""
    return None if value is None else round(value, digits)


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as a table, reasons below."""
    head = f"{'runtime':12}{'model':8}{'native us':>11}{'agent us':>11}{'ratio':>8}{'95%':>17}"
    yield f"{head}{'within':>8}  {'peer':17}{'peer us':>11}{'ratio':>8}{'95%':>17}"
    for row in rows:
        ours = f"{shown(row['ratio'])}{ends(row['ci'])}{shown(row['within'], 8)}"
        peer = f"{row['peer'] or '-':17}{shown(row['peer_p50_us'], 11)}{shown(row['peer_ratio'])}"
        sides = f"{shown(row['native_p50_us'], 11)}{shown(row['agent_p50_us'], 11)}"
        yield f"{row['runtime']:12}{row['model']:8}{sides}{ours}  {peer}{ends(row['peer_ci'])}"
    for row in rows:
        if "reason" in row:
            yield f"  {row['runtime']}, {row['model']}: {row['reason']}"


def shown(value: object, width: int = 8) -> str:
    """A cell of the table."""
    if value is None:
        return "-".rjust(width)
    if isinstance(value, bool):
        return ("yes" if value else "NO").rjust(width)
    return str(value).rjust(width)


def ends(pair: Sequence[float] | None) -> str:
    """An interval in the table."""
    return ("-" if pair is None else f"{pair[0]:.3f}-{pair[1]:.3f}").rjust(17)


def measure(pairs: Sequence[Pair], launches: int) -> None:
    """Take all launches; every pair gets its first before any gets its second."""
    for ordinal in range(launches):
        begin = time.monotonic()
        for pair in pairs:
            pair.launch(ordinal)
        spent = time.monotonic() - begin
        print(
            f"launch {ordinal + 1} of {launches} of {len(pairs)} pairs: {spent:.0f} s", flush=True
        )


def main() -> None:
    """Print a line a round, the table, and one JSON line last."""
    launches = int(os.environ.get("N", LAUNCHES))
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Workshop(Path(folder) / "root")) as shop,
    ):
        pairs = list(make_pairs(shop, Path(folder)))
        floor = floors(shop)
        measure(pairs, launches)
    rows = [row_of(pair) for pair in pairs]
    print("\n".join(lines(rows)))
    print(", ".join(f"{name} {value}" for name, value in floor.items()))
    print(json.dumps({"bench": "overhead", "rows": rows, **floor}))


if __name__ == "__main__":
    main()
