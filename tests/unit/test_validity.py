"""The benchmark of the gates: what it makes of launches, its models, its hogs."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks import replay, validity
from benchmarks.trials import figures, gates, hogs
from benchmarks.trials.gates import Findings, Gate, Launch
from harness.errors import DeviceError
from harness.selftest import fit, network
from reports.sequential import STANDARD, ratio_rule

RULE = ratio_rule(gates.LIMIT, gates.METRIC, STANDARD)


def launches(ratio: float, noise: float = 0.002, seed: int = 0) -> Iterator[Launch]:
    """Launches of 20 blocks of 10 and 11 samples that drift together."""
    rng = np.random.default_rng(seed)
    for at in itertools.count():
        drift = np.exp(rng.normal(0, 0.05))
        times = [1.5e6 * drift, 1.5e6 * drift * ratio * np.exp(rng.normal(0, noise))]
        a, b = (
            (time * rng.normal(1, 0.01, (20, 10 + side))).astype(np.int32)
            for side, time in enumerate(times)
        )
        calm = (np.zeros_like(a), np.zeros_like(b))
        yield Launch((a, b), calm, began=100.0 + 2 * at, seconds=2.0, interleaved=True)


def lost() -> Launch:
    """A launch in which a worker crashed."""
    nothing = np.empty((1, 0), np.int32)
    return Launch((nothing, nothing), (nothing, nothing), 0.0, 2.0, True)


def gate(kind: str, ratio: float, seed: int = 0) -> Gate:
    return gates.decided(kind, launches(ratio, seed=seed), RULE)


def findings() -> Findings:
    return Findings(
        layers={"slow3": 9},
        apart={"slow3": list(itertools.islice(launches(1.03, seed=9), 5))},
        gates=[
            *(gate("aa", 1.0, seed) for seed in range(4)),
            gate("slow3", 1.03, 5),
            gate("slow5", 1.05, 6),
            gate("hogs_aa", 1.0, 7),
            gate("hogs_slow5", 1.05, 8),
        ],
    )


def test_a_gate_takes_launches_until_it_is_decided() -> None:
    same, slower = gate("aa", 1.0), gate("slow5", 1.05)
    assert (same.verdict, len(same.launches), same.seconds) == ("pass", 6, 12.0)
    assert (slower.verdict, len(slower.launches)) == ("fail", 6)


def test_a_gate_that_proves_nothing_ends_at_the_last_look() -> None:
    undecided = gates.decided("aa", launches(1.015, noise=0.05), RULE)
    assert (undecided.verdict, len(undecided.launches)) == ("inconclusive", 20)


def test_a_gate_whose_launches_are_lost_ends_too() -> None:
    empty = gates.decided("aa", itertools.repeat(lost()), RULE)
    assert (empty.verdict, len(empty.launches)) == ("inconclusive", 20)
    assert gates.ratios(empty.launches) == []


def test_the_summary_counts_each_kind() -> None:
    found = findings()
    told = figures.summary(found, figures.rates(found))
    assert told["aa_gates"] == 4
    assert told["aa_wrong_fail"] == told["aa_inconclusive"] == told["slow5_wrong_pass"] == 0
    assert told["aa_mean_seconds"] == 12.0
    assert (told["slow3_trials"], told["slow3_fail"]) == (1, 1)
    assert (told["hog_trials"], told["hog_wrong"]) == (2, 0)
    assert told["coverage_trials"] == 6
    # The launches drift by 5%: one after the other they look different.
    assert told["naive_aa_rate"] > 0.3


def test_a_fail_of_the_same_and_a_pass_of_the_slower_model_are_wrong() -> None:
    found = Findings(
        gates=[gate("aa", 1.05), gate("slow5", 1.0), gate("hogs_aa", 1.05), gate("hogs_slow5", 1.0)]
    )
    told = figures.summary(found, figures.rates(found))
    assert told["aa_wrong_fail"] == told["slow5_wrong_pass"] == 1
    assert told["hog_wrong"] == told["hog_trials"] == 2
    assert told["slow3_trials"] == 0


def test_coverage_is_of_1_for_the_same_and_of_all_calm_launches_for_slower_models() -> None:
    found = Findings(gates=[gate("aa", 1.05), gate("slow5", 1.05)])
    assert figures.covered(found, "aa") == [False]
    assert figures.covered(found, "slow5") == [True]
    found.apart["slow5"] = list(itertools.islice(launches(1.2), 50))
    assert figures.covered(found, "slow5") == [False]


def test_nothing_measured_is_said_without_figures() -> None:
    found = Findings()
    table = figures.rates(found)
    told = figures.summary(found, table) | figures.details(found, table)
    assert told["coverage"] is None
    assert told["naive_aa_rate"] is None
    assert told["rates"] == {}
    assert len(list(figures.lines(found, table))) == 1


def test_the_table_shows_rates_with_bounds() -> None:
    found = findings()
    text = "\n".join(figures.lines(found, figures.rates(found)))
    assert "0/4" in text
    assert "0.0%-49.0%" in text  # Wilson, 0 of 4
    assert "slow3: 9 layers, x 1.0" in text


def test_kept_launches_can_be_replayed(tmp_path: Path) -> None:
    found = findings()
    found.gates.append(Gate("aa", found.gates[0].decision, (lost(), *found.gates[0].launches)))
    gates.keep(found, tmp_path)
    assert {path.name for path in tmp_path.glob("*.npz")} == {"aa.npz", "hogs_aa.npz"}
    with np.load(tmp_path / "aa.npz") as arrays:
        assert arrays["A_wall_ns"].shape == (30, 20, 10)
        assert np.bincount(arrays["gate"]).tolist() == [6] * 5
    with np.load(tmp_path / "slower" / "slow5.npz") as arrays:
        logs = replay.log_ratios(replay.read("slow5", arrays), gates.METRIC)
    assert np.exp(np.mean(logs)) == pytest.approx(1.05, abs=0.005)
    naive, ours = replay.replay(tmp_path)
    assert {row["metric"] for row in ours} >= {"p50", "p95", "unpreempted_p50"}
    assert naive


def test_the_number_of_gates_follows_from_n() -> None:
    counts = validity.trials(300)
    assert (counts["aa"], counts["slow3"], counts["slow5"]) == (300, 60, 200)
    assert counts["hogs_aa"] + counts["hogs_slow5"] == 100
    assert min(validity.trials(1).values()) == 1
    kinds = validity.ordered(counts)
    assert {kind: kinds.count(kind) for kind in counts} == counts
    assert kinds == validity.ordered(counts)
    assert {kind.removeprefix("hogs_") for kind in kinds[-100:]} == {"aa", "slow5"}


def test_what_a_layer_costs_says_how_many_layers_make_a_slower_model() -> None:
    wanted = {"slow1": 3, "slow3": 10, "slow5": 17, "slow10": 33}
    assert fit.layers_for(1.12, 40, gates.TARGETS) == wanted
    with pytest.raises(DeviceError, match="made no difference"):
        fit.layers_for(0.99, 40, gates.TARGETS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("N", text) for text in ("0", "some", "1.5")),
        ("HOURS", "-1"),
        ("EFFORT", "max"),
        ("LANES", "1000"),
    ],
)
def test_what_makes_no_sense_in_the_environment_is_refused(name: str, text: str) -> None:
    with pytest.raises(SystemExit, match=name):
        validity.Setting.read({name: text})


def test_the_environment_sets_the_size() -> None:
    given = {"N": "300", "EFFORT": "thorough", "LANES": "1", "KEEP": "traces", "HOURS": ""}
    assert validity.Setting.read(given) == validity.Setting(300, "thorough", 24, 1, Path("traces"))
    assert validity.Setting.read({}).rule == RULE


@pytest.mark.parametrize("extra", [0, 3, 40])
def test_activations_of_the_network_neither_vanish_nor_explode(extra: int) -> None:
    model = network.network(extra)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    shape = [1, 3, network.SIDE, network.SIDE]
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    (scores,) = session.run(None, {"x": image})
    assert scores.shape == (1, network.CLASSES)
    assert 1e-3 < scores.std() < 1e3


def test_added_layers_leave_the_others_as_they_are() -> None:
    plain, slower = network.network(0), network.network(2)
    added = len(slower.graph.initializer) - len(plain.graph.initializer)
    assert added == 2
    weights = {one.name: one for one in slower.graph.initializer}
    assert all(weights[one.name] == one for one in plain.graph.initializer)
    assert network.network(2) == slower


def test_hogs_end_with_their_block() -> None:
    with hogs.hogs(seed=1, most_s=20.0) as pids:
        assert len(pids) == len(os.sched_getaffinity(0))
        for pid in pids:
            os.kill(pid, 0)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_hogs_are_busy_for_times_of_all_sizes() -> None:
    times = list(itertools.islice(hogs.durations(random.Random(3)), 300))
    assert hogs.SHORTEST_S <= min(times) < 0.05
    assert 1.0 < max(times) <= hogs.LONGEST_S
