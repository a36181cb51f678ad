"""A self-test's launches on this machine for real; its gates are as those of `gate`."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.devices import Device, load_inventory
from harness.progress import Silent
from harness.selftest.bench import Bench, EndedError, whole
from harness.selftest.conduct import ratios_of
from reports import document
from reports.selftest import SAME

SHORT_S = 4.0


@pytest.fixture
def here(local_root: Path) -> Device:
    """This machine as a device, whose runtime the other tests have unpacked."""
    return load_inventory(None)["local"].model_copy(update={"root": str(local_root)})


def test_identical_and_slower_networks_beside_the_baseline(here: Device, tmp_path: Path) -> None:
    bench = Bench(here, "onnxruntime", tmp_path, Silent(), SHORT_S)
    run = bench.measure({SAME: 0, "slow": 200}, "quick", gated=True)
    same, slow = (ratios_of(run, variant) for variant in (SAME, "slow"))
    assert len(same) == len(slow) >= 1
    # Not by how much: one launch beside other tests may be far out, but all three sides of it are.
    assert all(b > a for a, b in zip(same, slow, strict=True)), "200 layers cost more than none"
    verdicts = document.build(run)["verdicts"]
    assert [row["variant"] for row in verdicts] == [SAME, "slow"]
    assert run.devices[0].facts["agent_sha256"]
    assert bench.spent_s > 0
    with pytest.raises(EndedError, match="budget"):  # 4 s hold no 7 launches of three networks
        whole(run)
    bench.spent_s = SHORT_S
    with pytest.raises(EndedError, match="budget"):
        bench.measure({SAME: 0}, "quick")
