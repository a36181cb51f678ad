"""Self-tests out of nothing, for the tests of what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.run import DeviceRecord, Selftest, SelftestModel, SelftestTrial
from tests.unit.session_builder import FACTS

SLOWER = {"slow3": 0.03, "slow5": 0.05}


def around(slowdown: float, noise: float = 0.003, launches: int = 14) -> list[float]:
    """Log ratios of calm launches of a network that is slower by so much."""
    rng = np.random.default_rng(round(1e4 * slowdown) + launches)
    return [float(np.log1p(slowdown) + noise * draw) for draw in rng.standard_normal(launches)]


def trial(kind: str, verdict: str, seconds: float = 12.0) -> SelftestTrial:
    return SelftestTrial(kind, verdict, "proven", 1.0, [0.99, 1.01], [0.0] * 6, seconds)


def selftest(
    verdicts: Mapping[str, Sequence[str]] | None = None,
    slower: Mapping[str, float] = SLOWER,
    **changes: Any,
) -> Selftest:
    """A self-test with these verdicts by kind: 20 right passes and 10 right fails, unless given."""
    said = verdicts or {"same": ["pass"] * 20, "slow3": ["fail"] * 10, "slow5": ["fail"] * 10}
    models = [SelftestModel("same", 0.0, 0)]
    models += [
        SelftestModel(kind, target, round(400 * target), around(slower[kind]))
        for kind, target in SLOWER.items()
    ]
    whole: dict[str, Any] = {
        "id": "selftest-pi5-1",
        "started": "2026-11-17T10:00:00+00:00",
        "finished": "2026-11-17T10:10:00+00:00",
        "device": DeviceRecord("pi5", "raspberry-pi-5", "ok", facts=FACTS),
        "runtime": "onnxruntime",
        "runtime_version": "1.31.0",
        "metric": "latency_p50_ratio",
        "limit": 1.01,
        "effort": "standard",
        "planned": 40,
        "baseline_p50_ms": 1.5,
        "models": models,
        "trials": [trial(kind, verdict) for kind, all_of in said.items() for verdict in all_of],
    }
    return Selftest(**(whole | changes))
