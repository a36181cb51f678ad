"""Resident memory of a worker: at each stage of its life, and what of it is the model's."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Optional, Sequence

from agents import proc, wire


class Watch:
    """Notes the memory of this process between what is timed, never during it."""

    def __init__(self) -> None:
        self.stages: List[wire.Stage] = []
        self.peak_kib = 0  # of the whole life
        self.apart = True  # whether the peak since the last stage is known
        self.spent_ns = 0  # by looking
        self.mapped_kib: Optional[int] = None
        self.note("started")

    def note(self, stage: wire.StageName) -> None:
        """Read what is resident now and the peak up to here, which then begins anew."""
        clock = time.perf_counter_ns()
        found = proc.resident()
        # VmHWM may lag a few pages behind.
        peak = max(proc.status_kib("VmHWM"), found["rss_kib"])
        self.peak_kib = max(self.peak_kib, peak)
        self.stages.append(
            {
                "stage": stage,
                "rss_kib": found["rss_kib"],
                "anon_kib": found["anon_kib"],
                "file_kib": found["file_kib"],
                "peak_kib": peak if self.apart else None,
            }
        )
        self.apart = proc.reset_peak()
        self.spent_ns += time.perf_counter_ns() - clock

    def end(self, model: str) -> None:
        """Take the last readings, before anything is asked that may allocate."""
        self.note("end")
        self.mapped_kib = proc.mapped_kib(os.path.dirname(os.path.realpath(model)))

    def told(self, io_kib: int, account: wire.Account) -> wire.Memory:
        """Sum up, with what the runtime tells itself."""
        return {
            "floor_kib": self.stages[0]["rss_kib"],
            "peak_kib": self.peak_kib,
            "anon_kib": self.stages[-1]["anon_kib"],
            "stages": self.stages,
            "mapped_kib": self.mapped_kib,
            "io_kib": io_kib,
            "weights_kib": account["weights_kib"],
            "activations_kib": account["activations_kib"],
            "gpu_kib": account["gpu_kib"],
            "account": account["account"],
        }


def io_kib(inputs: Sequence[Any], outputs: Sequence[Any], specs: Sequence[wire.OutputSpec]) -> int:
    """Size of the inputs and outputs of one inference, KiB rounded up.

    A quantised output, which a session gives as reals, counts in the type that the file declares.
    """
    import numpy as np  # not with the module: the stage "started" is before it

    declared = [np.dtype(spec["dtype"]) for spec in specs]
    dtypes = declared if len(declared) == len(outputs) else [array.dtype for array in outputs]
    size = sum(int(array.nbytes) for array in inputs)
    size += sum(int(array.size) * dtype.itemsize for array, dtype in zip(outputs, dtypes))
    return -(-size // 1024)


def account_of(session: Any) -> wire.Account:
    """What the runtime itself tells of its memory; null where it does not."""
    ask = getattr(session, "memory", None)
    told: Dict[str, Any] = ask() if ask else {}
    return {
        "weights_kib": told.get("weights_kib"),
        "activations_kib": told.get("activations_kib"),
        "gpu_kib": told.get("gpu_kib"),
        "account": told.get("account"),
    }
