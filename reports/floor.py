"""What measuring costs by itself on each device, in words: it is beneath every number."""

from __future__ import annotations

from collections.abc import Iterator

from reports.layout import Document, Row
from reports.text import clean, number


def time_words(document: Document) -> list[str]:
    """What the timed loop adds to every time, and the memory beneath it, one sentence a device."""
    native = any(row["noise"]["call_overhead_us"] is not None for row in document["results"])
    held = "every time" + " but those that a runtime takes by its own clock" * native
    return [
        f"The timing loop around an empty call takes {number(floor['loop_us'], 2)} us{where}, "
        f"which is in {held}; the supervisor takes {number(floor['supervisor_mib'])} MiB, and a "
        f"worker {number(floor['worker_mib'])} MiB before its runtime."
        if floor["reason"] is None
        else _unknown(where, floor)
        for where, floor in _floors(document)
    ]


def peak_words(document: Document) -> list[str]:
    """How much of a peak is no runtime's and no model's, one sentence a device."""
    return [
        f"Of every peak, {number(floor['worker_mib'])} MiB{where} is the worker itself before its "
        f"runtime is imported; the supervisor takes {number(floor['supervisor_mib'])} MiB more."
        if floor["reason"] is None
        else _unknown(where, floor)
        for where, floor in _floors(document)
    ]


def _floors(document: Document) -> Iterator[tuple[str, Row]]:
    """Where (nothing to say for the only device) and what, of each device that told."""
    several = len(document["devices"]) > 1
    for device in document["devices"]:
        if device["floor"]:
            yield f" on {clean(device['name'])}" * several, device["floor"]


def _unknown(where: str, floor: Row) -> str:
    return f"What measuring itself costs is not known{where}: {clean(floor['reason'], 400)}."
