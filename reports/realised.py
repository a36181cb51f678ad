"""Sparsity, realised: what the zeros of a variant gain beside its densified twin.

The twin is the same graph with its zeros refilled, measured in the same launches: what differs
between the two in time is due to zeros. It is held against the paper, on which every
multiplication by a zero weight is saved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from agents import wire
from reports.comparison import SLOWER_ABOVE, THROUGHPUT, beside, of_times
from reports.estimate import Interval
from reports.families import twin_of
from reports.findings import lead
from reports.index import Index
from reports.text import with_interval

Verdict = Literal["realised", "partly", "not realised", "slower", "inconclusive"]
# Of the time that would be saved if it went with the multiplications: from here on the gain is
# realised, and below it there is none to speak of.
REALISED_FROM = 0.5
NOTHING_BELOW = 0.1
# A file with fewer zeros has nothing to realise that could be measured.
FEWEST = 0.05
RULE = (
    "Paper: the share of multiplications that are by zero weights. Realised: the whole 95% "
    f"interval says that at least {REALISED_FROM:.0%} of that share of the twin's time is saved; "
    f"not realised: less than {NOTHING_BELOW:.0%} of it; slower: the ratio is above "
    f"{SLOWER_ABOVE:g}; partly: more than {NOTHING_BELOW:.0%}, but not surely "
    f"{REALISED_FROM:.0%}; else inconclusive. Each interval stands alone."
)
# Others are measured alone, or what they measure is mostly not inference.
SCENARIOS = frozenset({wire.SINGLE_STREAM, wire.MULTI_STREAM, wire.OFFLINE})
# Which sparse kernels a runtime is able to use, by its name without target.
ABLE: Mapping[str, str] = {
    "onnxruntime": "none on a CPU; its TensorRT target has 2:4 kernels on Ampere and newer",
    "openvino": "CPU: sparse weights decompression of INT8 matrix products, with AMX only",
    "litert": "XNNPACK's, for 1x1 convolutions in floats stored as sparse tensors (`store: sparse`)"
    ", on 64-bit Arm or on x86 without AVX",
    "tflite": "none that was seen to be used by the frozen tflite-runtime",
    "deepsparse": "its own, for unstructured zeros and blocks of 4, on x86",
    "tensorrt": "2:4, on Ampere and newer",
    "torch": "2:4 through to_sparse_semi_structured, on CUDA of Ampere and newer",
    "executorch": "none: XNNPACK's sparse kernels are not switched on",
    "ncnn": "none",
}
UNKNOWN_ABLE = "not known of this runtime"
NO_TRACE = "no trace by layer"
NO_NAMES = "it names no kernels"
# DeepSparse's begin with ks_.
_SPARSE_KERNEL = re.compile(r"spmm|sparse|\bcsr\b|semi_structured|^ks_", re.IGNORECASE)


def put_realised(found: Index, row: dict[str, Any]) -> None:
    """Set `realised` of a row of results, null with a reason, and flag what is not realised."""
    made = realised(found, row)
    if isinstance(made, str):
        row["realised"], row["reasons"]["realised"] = None, made
        return
    row["realised"] = made
    if made["verdict"] in ("not realised", "slower"):
        on_paper = "" if made["paper_ratio"] is None else f", on paper {made['paper_ratio']:.2f}"
        row["flags"].append(
            f"sparsity {made['verdict']}: it takes {with_interval(made['ratio'], made['ci'])} of "
            f"its densified twin's time{on_paper}"
        )


def realised(found: Index, row: Mapping[str, Any]) -> dict[str, Any] | str:
    """What the zeros of a cell gain, or why that is not known."""
    study = found.run.study
    twin = twin_of(study, row["variant"])
    if twin is None:
        return "the study has no densified twin of it (`twins:`)"
    ours = found.cells[row["device"], row["cell"]]
    wanted = row["cell"].replace(row["variant"], twin, 1)
    theirs = found.cells.get((row["device"], wanted))
    if row["scenario"] not in SCENARIOS:
        return f"zeros are not judged in the scenario {row['scenario']}"
    if row["status"] != "ok":
        return str(row["reason"])
    if theirs is None:
        return f"the run has no cell of {twin} beside it"
    metric = lead(row["scenario"])
    compared = beside(found, theirs, ours, metric)
    if compared is None:
        return f"{twin} was not measured in its group"
    return _row(found, row, twin, wanted, compared)


def _row(
    found: Index, row: Mapping[str, Any], twin: str, cell: str, compared: Mapping[str, Any]
) -> dict[str, Any]:
    ends, ratio = compared["ci"], compared["ratio"]
    interval = of_times((ends[0], ends[1]), compared["metric"]) if ends else None
    if ratio and compared["metric"] == THROUGHPUT:
        ratio = 1 / ratio
    saved, unknown = paper(found, row["artifact"])
    word, why = verdict(interval, saved)
    kernels, picked = kernels_picked(found, row)
    return {
        "twin": twin,
        "twin_cell": cell,
        "metric": compared["metric"],
        "ratio": ratio,
        "ci": list(interval) if interval else None,
        "launches": compared["launches"],
        "paper_ratio": None if saved is None else 1 - saved,
        "macs_saved_share": saved,
        "verdict": word,
        "reason": compared["reason"] or (unknown if saved is None else None) or why,
        "able": ABLE.get(str(row["runtime"]).partition(":")[0], UNKNOWN_ABLE),
        "sparse_kernels": kernels if isinstance(kernels, list) else None,
        "picked": picked,
        "kernels_reason": kernels if isinstance(kernels, str) else None,
    }


def verdict(interval: Interval | None, saved: float | None) -> tuple[Verdict, str | None]:
    """The verdict on the interval of the ratio of times, and why it is inconclusive.

    `saved` is the share of multiplications that are by zeros.
    """
    if interval is None:
        return "inconclusive", "there is no interval"
    low, high = interval
    if low > SLOWER_ABOVE:
        return "slower", None
    if saved is None:
        return "inconclusive", "what zeros save on paper is not known"
    if saved < FEWEST:
        return "inconclusive", f"zeros save only {saved:.1%} on paper"
    if high <= 1 - REALISED_FROM * saved:
        return "realised", None
    if low >= 1 - NOTHING_BELOW * saved:
        return "not realised", None
    if high < 1 - NOTHING_BELOW * saved:
        return "partly", None
    return "inconclusive", "its interval is too wide: more launches tell"


def paper(found: Index, artifact: str) -> tuple[float | None, str | None]:
    """The share of a file's multiplications that are by zeros, or why it is not known."""
    record = found.run.artifacts.get(artifact)
    zeros = record.zeros if record else None
    if not zeros:
        return None, "the run holds no count of the zeros of its file"
    if not zeros.get("macs"):
        return None, zeros.get("reason") or "its file has no multiplications that could be counted"
    return zeros["macs_saved"] / zeros["macs"], None


def kernels_picked(found: Index, row: Mapping[str, Any]) -> tuple[list[str] | str, bool | None]:
    """The sparse kernels among those that ran, and whether there are any; or why none is known."""
    event = found.event(found.cells[row["device"], row["cell"]])
    executed: Mapping[str, Any] = event["executed"] if event else {}
    layers = executed.get("layers")
    if not layers:
        return NO_TRACE, None
    names = [layer["kernel"] for layer in layers if layer.get("kernel")]
    if not names:
        return NO_NAMES, None
    sparse = list(dict.fromkeys(name for name in names if _SPARSE_KERNEL.search(name)))
    return sparse, bool(sparse)


def with_shares(zeros: Mapping[str, Any]) -> dict[str, Any]:
    """What is counted of a file's zeros, with the shares that follow, also of each layer."""
    layers = [{**layer, **_shares(layer)} for layer in zeros.get("layers") or []]
    return {**zeros, **_shares(zeros), "layers": layers}


def _shares(counted: Mapping[str, Any]) -> dict[str, float | None]:
    """The share of weights that are zeros, and of multiplications that remain on paper."""
    weights, macs, saved = (counted.get(key) for key in ("weights", "macs", "macs_saved"))
    return {
        "share": counted["zeros"] / weights if weights else None,
        "paper_ratio": 1 - saved / macs if macs and saved is not None else None,
    }
