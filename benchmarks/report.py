"""How long the page of a large run takes: to be made, and to be opened in a browser.

The run is synthetic: 1,000 cells, 100,000 samples. CELLS=N sets the number of cells.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from reports import render
from reports.document import build
from reports.run import GroupRecord, Run
from tests.unit.run_builder import RunBuilder, blocks, cell, cell_launch

CELLS = 1000
LAUNCHES, BLOCKS, BLOCK = 5, 2, 10  # 100 samples a cell
VARIANTS = {"dense": 4.0, "pruned-70": 4.0, "pruned-90": 3.9, "slim-40": 2.1, "int8": 1.2}  # ms
RUNTIMES = {"onnxruntime": 1.0, "openvino": 0.8, "litert": 0.9, "tflite": 1.4}
BATCHES, THREADS = (1, 2, 4, 8, 16), (1, 4)
LIMITS = {"seconds": 5.0, "bytes": 4_000_000, "load_seconds": 2.0}


def large_run(cells: int) -> Run:
    """Groups of five variants in each runtime, batch size and number of threads, on some boards."""
    gates = [{"metric": "latency_p50_ratio", "max": 1.03}, {"metric": "peak_rss_mib", "max": 350}]
    study = {"name": "large", "baseline": "dense", "gates": gates}
    made = RunBuilder(launches=LAUNCHES, study=study)
    settings = itertools.product(range(cells), RUNTIMES, BATCHES, THREADS)
    boards = []
    for board, runtime, batch, threads in itertools.islice(settings, cells // len(VARIANTS)):
        made.device = f"board-{board}"
        boards.append(made.device)
        _add_group(made, runtime, batch, threads)
    run = made.build()
    devices = [replace(run.devices[0], name=name) for name in dict.fromkeys(boards)]
    return replace(run, devices=devices)


def _add_group(made: RunBuilder, runtime: str, batch: int, threads: int) -> None:
    group = {name: cell(name, runtime, batch=batch, threads=threads) for name in VARIANTS}
    for one in group.values():
        made.add_cell(one)
    name = f"{runtime}/{batch}/{threads}"
    made.groups.append(
        GroupRecord(
            made.device,
            {
                "id": name,
                "kind": "variant",
                "baseline": group["dense"]["id"],
                "cells": [one["id"] for one in group.values()],
                "launches": LAUNCHES,
            },
        )
    )
    for ordinal, (variant, one) in itertools.product(range(LAUNCHES), group.items()):
        ms = VARIANTS[variant] * RUNTIMES[runtime] * batch / threads**0.7
        samples = blocks(ms, made.rng, BLOCKS, BLOCK)
        made.add_launch(name, ordinal, cell_launch(one["id"], samples))


def opened(path: Path, chromium: str) -> dict[str, Any]:
    """What a browser makes of the page: seconds to load it, what it asks for and complains of."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        requests: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        begun = time.perf_counter()
        page.goto(path.as_uri(), wait_until="load")
        seconds = time.perf_counter() - begun
        browser.close()
    asked = [url for url in requests if url != path.as_uri()]
    return {
        "load_seconds": round(seconds, 2),
        "requests": len(asked),
        "console_errors": len(errors),
    }


def main() -> None:
    """Print what was measured, one JSON line last."""
    run = large_run(int(os.environ.get("CELLS", CELLS)))
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    begun = time.perf_counter()
    document = build(run)
    built = time.perf_counter() - begun
    text = render.html(document)
    seconds = time.perf_counter() - begun
    print(f"the document {built:.2f} s, the page {seconds - built:.2f} s")
    found: dict[str, Any] = {
        "bench": "report",
        "cells": len(run.cells),
        "samples": sum(len(b) for item in run.launches for b in item.launch["blocks"]),
        "seconds": round(seconds, 2),
        "bytes": len(text.encode()),
    }
    with tempfile.TemporaryDirectory(prefix="edgeproof-report-") as scratch:
        path = Path(scratch) / "report.html"
        path.write_text(text)
        nothing = dict.fromkeys(("load_seconds", "requests", "console_errors"))
        reason = None if chromium else "no chromium on this machine"
        found |= opened(path, chromium) if chromium else nothing
    print(json.dumps(found | {"reason": reason, "limits": LIMITS}))


if __name__ == "__main__":
    main()
