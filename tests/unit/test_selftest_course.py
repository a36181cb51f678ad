"""The course of a self-test: layers fitted to a device, gates in random order, what ends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.devices import Device
from harness.errors import DeviceError, InputError
from harness.progress import Silent
from harness.selftest.bench import BASELINE, LIMIT, METRIC, Bench, EndedError, check_runtime
from harness.selftest.conduct import ROUND, TARGETS, conduct, order
from harness.selftest.fit import calm_effort, launches_of_a_gate, layers_for, refitted
from harness.selftest.overall import Overall
from harness.study import Effort
from reports.run import Run, Selftest
from reports.selftest import summary
from reports.sequential import STANDARD, ratio_rule
from tests.unit.run_builder import RunBuilder, cell

RULE = ratio_rule(LIMIT, "p50", STANDARD)


def test_layers_follow_from_what_one_costs() -> None:
    assert layers_for(1.12, 40, TARGETS) == {"slow3": 10, "slow5": 17}
    assert layers_for(1.0 + 40 * 0.08, 40, TARGETS) == {"slow3": 1, "slow5": 1}
    with pytest.raises(DeviceError, match="made no difference"):
        layers_for(0.99, 40, TARGETS)


def test_layers_are_fitted_again_where_few_cost_otherwise_than_many() -> None:
    layers = {"slow3": 9, "slow5": 15}
    assert refitted(layers, {"slow3": 1.028, "slow5": 1.052}, TARGETS) == layers
    assert refitted(layers, {"slow3": 1.015, "slow5": 1.025}, TARGETS) == {"slow3": 18, "slow5": 30}
    assert refitted(layers, {"slow3": 0.99, "slow5": 1.0}, TARGETS) == layers


def test_a_noisy_device_needs_more_launches() -> None:
    quiet, noisy = ([1, -1, 2, 0, -2, 1, -1], 0.001), ([1, -1, 2, 0, -2, 1, -1], 0.02)
    efforts, launches = [], []
    for shape, scale in (quiet, noisy):
        ratios = [scale * each for each in shape]
        efforts.append(calm_effort(ratios))
        launches.append(launches_of_a_gate(ratios, RULE))
    assert efforts == ["quick", "standard"]
    assert launches[0] == 7, "the first look, and the launch under way"
    assert 15 < launches[1] <= 20


def test_every_round_holds_all_kinds_in_a_random_order() -> None:
    kinds = order(42, "a")
    assert len(kinds) == 42
    for start in range(0, 40, len(ROUND)):
        assert Counter(kinds[start : start + len(ROUND)]) == Counter(ROUND)
    assert kinds == order(42, "a") != order(42, "b")
    assert len({tuple(kinds[at : at + 4]) for at in range(0, 40, 4)}) > 3


class Synthetic(Bench):
    """A board whose added layers cost so much each, with noise from launch to launch."""

    each, noise = 0.002, 0.003
    ends_after = 10**6  # runs

    def measure(self, models: Mapping[str, int], effort: Effort, gated: bool = False) -> Run:
        """Make up what the board would have measured."""
        self.runs = getattr(self, "runs", 0) + 1
        if self.runs > self.ends_after:
            raise EndedError("the board-time budget is spent")
        launches = {"quick": 7, "standard": 20, "thorough": 60}[effort]
        made = RunBuilder(seed=self.runs, launches=launches, device=self.device.name)
        made.study |= {"baseline": BASELINE, "measure": {"effort": effort}}
        made.study["gates"] = [{"metric": METRIC, "max": LIMIT}] * gated
        names = {BASELINE: 0, **models}
        ids = {}
        for name in names:
            one = cell(name)
            made.add_cell(one)
            made.add_artifact(name, 1000)
            ids[one["id"]] = 1.5 * (1 + self.each * names[name])
        made.add_group("variant", ids)
        rng = np.random.default_rng(self.runs)
        records = []
        for record in made.records:
            drawn = 1 + self.noise * rng.standard_normal()
            blocks = [[int(ns * drawn) for ns in block] for block in record.launch["blocks"]]
            launch: Any = {**record.launch, "blocks": blocks}
            records.append(replace(record, launch=launch))
        made.records = records
        return made.build()


def conducted(folder: Path, gates: int | None, **board: Any) -> tuple[list[Selftest], list[str]]:
    device = Device(name="nuc", host="nuc.lab")
    bench = Synthetic(device, "onnxruntime", folder, Silent(), 1e6)
    for key, value in board.items():
        setattr(bench, key, value)
    told: list[str] = []
    seen: list[Selftest] = []
    try:
        for found in conduct(bench, gates, 600.0, Overall(Silent(), "nuc"), told.append):
            seen.append(found)
    except EndedError as ended:
        told.append(str(ended))
    return seen, told


def test_a_quiet_board_passes_what_is_the_same_and_fails_what_is_slower(tmp_path: Path) -> None:
    seen, told = conducted(tmp_path, 8)
    last = seen[-1]
    assert [len(found.trials) for found in seen] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert [found.finished is None for found in seen] == [True] * 8 + [False]
    kinds = {row["kind"]: row for row in summary(last)["kinds"]}
    assert (kinds["same"]["gates"], kinds["same"]["pass"]) == (4, 4)
    assert (kinds["slow3"]["fail"], kinds["slow5"]["fail"]) == (2, 2)
    for name, target in TARGETS.items():
        row = kinds[name]
        low, high = row["slowdown_ci"]
        assert low <= Synthetic.each * row["layers"] <= high
        assert row["slowdown"] == pytest.approx(target, rel=0.2)
        assert row["slowdown_launches"] in (14, 40), "half before the gates, half after"
    assert told[0].startswith("slower networks: ")
    assert "8 gates of about" in told[0]
    assert last.runtime_version == "1"
    assert last.baseline_p50_ms == pytest.approx(1.5, rel=0.1)


def test_what_was_finished_is_kept_when_the_budget_ends(tmp_path: Path) -> None:
    seen, told = conducted(tmp_path, 8, ends_after=5)
    assert len(seen[-1].trials) in (2, 3)  # after the pilot and one or two fits
    assert seen[-1].finished is None
    assert told[-1] == "the board-time budget is spent"


def test_a_budget_that_ends_early_keeps_nothing(tmp_path: Path) -> None:
    assert conducted(tmp_path, 8, ends_after=1) == ([], ["the board-time budget is spent"])


def test_layers_without_a_cost_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="made no difference"):
        conducted(tmp_path, 8, each=-0.001)


@pytest.mark.parametrize("label", ["onnxruntime", "openvino"])
def test_runtimes_that_read_the_networks(label: str) -> None:
    check_runtime(label)


@pytest.mark.parametrize("label", ["litert", "nonsense"])
def test_other_runtimes_are_refused(label: str) -> None:
    with pytest.raises(InputError, match="does not read") as caught:
        check_runtime(label)
    assert "onnxruntime" in str(caught.value.next_step)


def test_a_device_that_does_not_answer_ends_it(tmp_path: Path) -> None:
    lab, store = tmp_path / "lab.yaml", f"sqlite:///{tmp_path}/store.db"
    lab.write_text("devices: {gone: {host: 127.0.0.1, port: 1, user: nobody}}")
    given = ["--device", "gone", "--inventory", str(lab), "--store", store, "--progress", "none"]
    done = CliRunner().invoke(cli, ["selftest", *given])
    assert done.exit_code == 4
    assert done.stderr.startswith("error: gone: ")
    assert "nothing listens on port 1" in done.stderr
    assert done.stderr.endswith("no gate was decided, so nothing is kept\n")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--device", "nowhere"], "nowhere"),
        (["--device", "local", "--runtime", "litert"], "litert"),
    ],
)
def test_the_command_refuses_before_it_measures(arguments: list[str], what: str) -> None:
    done = CliRunner().invoke(cli, ["selftest", *arguments])
    assert isinstance(done.exception, InputError)
    assert what in str(done.exception)
