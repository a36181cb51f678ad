"""Every scenario, found by its name, measured in real workers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents import backends, scenarios, wire
from agents.scenarios import server
from tests.contract.networks import Network
from tests.contract.workshop import RUNTIMES, SCENARIOS, Workshop, fitting

RUNTIME = "onnxruntime"
CORES = len(os.sched_getaffinity(0))
MakeCell = Callable[..., wire.Cell]


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def cell(
    workshop: Workshop, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> MakeCell:
    """Make cells of one small network."""
    folder = tmp_path_factory.mktemp("models")

    def make(scenario: str, runtime: str = RUNTIME, seed: int = 5, **changes: Any) -> wire.Cell:
        path = Network(seed=seed).save(folder, backends.find(runtime).FORMATS[0])
        return workshop.cell(path, runtime, scenario=scenario, **changes)

    return make


def launched(workshop: Workshop, *cells: wire.Cell, **changes: Any) -> wire.LaunchEvent:
    """A launch in which every cell is well."""
    event = workshop.launch(*cells, **changes)
    for record in event["cells"]:
        assert (record["status"], record["reason"]) == ("ok", None)
        assert record["memory"] and record["executed"]["runtime_version"] and record["first_ns"]
    return event


def test_every_scenario_has_a_module() -> None:
    assert set(scenarios.names()) == set(wire.SCENARIOS)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_stream_computes_what_numpy_computes(
    workshop: Workshop, network: Network, cell: MakeCell, runtime: str
) -> None:
    batch = fitting(runtime, 4)
    given = cell(wire.SINGLE_STREAM, runtime, batch=batch)
    outputs, executed = workshop.outputs(given, streams=3, x=network.samples[:batch])
    assert abs(outputs[0] - network.reference[:batch]).max() < 1e-5
    assert executed["threads"] in (1, None)


@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if name != "tflite"])
@pytest.mark.parametrize("scenario", [wire.MULTI_STREAM, wire.OFFLINE])
def test_requests_in_flight_are_measured_in_mirrored_blocks(
    workshop: Workshop, cell: MakeCell, scenario: str, runtime: str
) -> None:
    cells = [cell(scenario, runtime, seed=seed) for seed in (5, 6)]
    event = launched(workshop, *cells)
    assert event["interleaved"]
    assert event["block_order"] == event["block_order"][::-1]
    for record in event["cells"]:
        assert record["streams"] == SCENARIOS[scenario]["streams"]
        assert len(record["cpus"]) == min(record["streams"], CORES)
        assert [len(block) >= 3 and min(block) > 0 for block in record["blocks"]] == [True, True]
        assert record["warmup"] and record["noise"]
        assert record["executed"]["threads"] in (1, None)


def test_a_sample_is_all_of_its_requests(workshop: Workshop, cell: MakeCell) -> None:
    few, many = (
        launched(
            workshop,
            cell(wire.OFFLINE),
            scenarios={wire.OFFLINE: {**SCENARIOS[wire.OFFLINE], "requests": requests}},
        )["cells"][0]
        for requests in (4, 400)
    )
    assert min(min(few["blocks"])) * 10 < min(min(many["blocks"]))


@pytest.mark.parametrize("threads", [1, 2])
def test_streams_are_as_many_as_the_cores_hold(
    workshop: Workshop, cell: MakeCell, threads: int
) -> None:
    given = {wire.MULTI_STREAM: {**SCENARIOS[wire.MULTI_STREAM], "streams": None}}
    event = launched(workshop, cell(wire.MULTI_STREAM, threads=threads), scenarios=given)
    (record,) = event["cells"]
    assert record["streams"] == CORES // threads
    assert len(record["cpus"]) == threads * record["streams"]
    assert record["executed"]["threads"] == threads


def test_a_server_is_asked_until_its_rate_is_known(workshop: Workshop, cell: MakeCell) -> None:
    cells = [cell(wire.SERVER, seed=seed) for seed in (5, 6)]
    event = launched(workshop, *cells)
    assert (event["interleaved"], event["block_order"]) == (False, [])
    target = SCENARIOS[wire.SERVER]["target_ns"] or 0
    for record in event["cells"]:
        trials = record["trials"]
        assert (record["streams"], record["blocks"], record["noise"]) == (CORES, [], None)
        for at, trial in enumerate(trials):
            following = server.next_rate(trials[: at + 1], target, trials[0]["rate"])
            assert following == (trials[at + 1]["rate"] if at + 1 < len(trials) else None)
            assert all(latency > 0 for latency in trial["latencies_ns"])
            if server.meets(trial, target):
                assert len(trial["latencies_ns"]) >= server.FEWEST_REQUESTS


def test_a_target_below_one_inference_is_missed_at_once(workshop: Workshop, cell: MakeCell) -> None:
    given = {wire.SERVER: {**SCENARIOS[wire.SERVER], "target_ns": 100}}
    (record,) = launched(workshop, cell(wire.SERVER), scenarios=given)["cells"]
    (trial,) = record["trials"]
    assert not server.meets(trial, 100)
    # It was cut short: no more than every stream had begun after a twentieth was late.
    assert 20 < len(trial["latencies_ns"]) < 0.06 * trial["rate"]


def test_a_cold_start_is_a_process_for_every_sample(workshop: Workshop, cell: MakeCell) -> None:
    cells = [cell(wire.COLD_START, seed=seed) for seed in (5, 6)]
    event = launched(workshop, *cells)
    assert event["interleaved"]
    assert event["block_order"] == event["block_order"][::-1]
    for record in event["cells"]:
        assert [len(block) for block in record["blocks"]] == [1, 1]
        parts = (record["import_ns"], record["load_ns"], record["first_ns"])
        assert sum(part or 0 for part in parts) < record["blocks"][-1][0]
        assert (record["warmup"], record["noise"]) == (None, None)
    samples = sum(block[0] for record in event["cells"] for block in record["blocks"])
    assert samples < event["seconds"] * 1e9


def test_sustained_load_is_a_block_a_minute(workshop: Workshop, cell: MakeCell) -> None:
    # Batches, so that an inference takes much longer than what is around it.
    cells = [cell(wire.SUSTAINED, seed=seed, batch=256) for seed in (5, 6)]
    event = launched(workshop, *cells)
    assert not event["interleaved"]
    first, *others, last = event["block_order"]
    assert (first, last) == tuple(others)
    for record in event["cells"]:
        assert record["warmup"] is None
        assert len(record["blocks"]) == 2
        # Two blocks of a tenth of a second, full of samples; a busy machine may take longer.
        for block in record["blocks"]:
            assert 0.05e9 < sum(block) < 1e9
        # What this very machine tells of heat, before the first block and after each.
        assert len(record["readings"]) == 3
        around = event["conditions"]["before"], event["conditions"]["after"]
        for reading in record["readings"]:
            assert list(reading) == ["clock", "throttling", "temperature"]
            for name, value in reading.items():
                assert (value is None) == all(each[name] is None for each in around), name
            assert set(map(int, reading["clock"] or ())) <= set(record["cpus"])


def test_a_failing_cell_leaves_the_others_of_any_scenario(
    workshop: Workshop, cell: MakeCell, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08no model")
    for scenario in (wire.COLD_START, wire.SERVER, wire.SUSTAINED):
        good = cell(scenario)
        bad = workshop.cell(broken, RUNTIME, scenario=scenario, inputs=good["inputs"])
        dead, living = workshop.launch(bad, good)["cells"]
        assert dead["status"] == "failed" and dead["reason"]
        assert (dead["blocks"], dead["trials"], dead["readings"]) == ([], [], [])
        assert living["status"] == "ok"
        blocks = SCENARIOS[scenario]["blocks"]
        assert len(living["blocks"]) == blocks
        assert len(living["readings"]) == (scenario == wire.SUSTAINED) * (blocks + 1)


def test_a_stream_that_fails_is_the_cells_failure(
    workshop: Workshop, cell: MakeCell, tmp_path: Path
) -> None:
    """A stand-in for the runtime whose second binding fails in its first run."""
    (tmp_path / f"{RUNTIME}.py").write_text(FAILING)
    path = f"{tmp_path}{os.pathsep}{workshop.runtime(RUNTIME)}"
    event = workshop.launch(cell(wire.OFFLINE), runtimes={RUNTIME: {"path": path}})
    assert event["cells"][0]["status"] == "failed"
    assert "ValueError: the second stream is broken" in (event["cells"][0]["reason"] or "")


FAILING = """
import os, sys
del sys.path[sys.path.index(os.path.dirname(__file__))], sys.modules[__name__]
import onnxruntime
from agents.backends import onnxruntime as backend
another = backend.OrtSession.another
def broken(self):
    def fail(): raise ValueError("the second stream is broken")
    session = another(self)
    session.bind = lambda arrays: setattr(session, "infer", fail)
    return session
backend.OrtSession.another = broken
"""
