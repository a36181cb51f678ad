"""Evaluations by real runtimes: probabilities, boxes, pixels, preprocessing, spoiled samples."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from agents import backends, corruptions, evaluation, preprocess, wire
from tests.contract.networks import Network, Quantised
from tests.contract.workshop import RUNTIMES, Workshop, fitting, unpacked
from tests.unit.model_files import onnx_model

Array = npt.NDArray[Any]
FORMATS = {name: backends.find(name).FORMATS for name in RUNTIMES}
HELD = {"onnx", "tflite"}  # formats in which the quantised network is written
LABELS = np.arange(20) % 10
SETTINGS: wire.Robustness = {
    "corruptions": ["noise", "occlusion"],
    "severities": [1, 5],
    "samples": 11,
    "seed": 3,
    "ood": {},
}


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def figures(scores: Array, labels: Array) -> Array:
    """The five numbers of each sample, by numpy."""
    chances = softmax(scores)
    entropy = -(chances * np.log(chances)).sum(axis=1)
    right = chances[np.arange(len(scores)), labels]
    columns = [chances.argmax(axis=1), chances.max(axis=1), right, (chances**2).sum(axis=1)]
    return np.stack([*columns, entropy], axis=1)


def classes(scored: wire.Scored) -> Array:
    assert scored["reason"] is None
    assert scored["classes"] is not None
    return unpacked(scored["classes"])


def fingerprint(samples: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples, "<f4").tobytes()).hexdigest()


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_probabilities_of_a_dataset_are_numpys(
    workshop: Workshop, network: Network, folder: Path, runtime: str, batch: int
) -> None:
    path, batch = network.save(folder, FORMATS[runtime][0]), fitting(runtime, batch)
    cell = workshop.cell(path, runtime, batch=batch)
    event = workshop.evaluate(cell, workshop.dataset(LABELS, x=network.samples))
    assert (event["status"], event["scores"]) == ("ok", "logits")
    assert event["inputs_sha256"] == fingerprint(network.samples)
    (clean,) = event["sets"]
    assert (clean["name"], clean["kind"], clean["severity"]) == ("clean", "clean", 0)
    assert clean["samples"] == 20
    np.testing.assert_allclose(classes(clean), figures(network.reference, LABELS), atol=1e-5)
    assert (clean["positive"], clean["boxes"], clean["pixels"]) == (None, None, None)


@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if {*FORMATS[name]} & HELD])
def test_quantised_outputs_are_read_as_reals(
    workshop: Workshop, network: Network, folder: Path, runtime: str
) -> None:
    int8 = Quantised(network)
    format = next(name for name in FORMATS[runtime] if name in HELD)
    cell = workshop.cell(int8.save(folder, format), runtime, batch=4)
    samples = np.clip(np.round(network.samples / 0.03) + 3, -128, 127).astype("int8")
    event = workshop.evaluate(cell, workshop.dataset(LABELS, x=samples))
    assert event["scores"] == "logits"
    found, expected = classes(event["sets"][0]), figures(int8.reference, LABELS)
    # A score may be off by a step of 0.06.
    np.testing.assert_allclose(found[:, 1:3], expected[:, 1:3], atol=0.03)


def test_openvino_gives_codes_of_a_tflite_file(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    int8 = Quantised(network)
    cell = workshop.cell(int8.save(folder, "tflite"), "openvino", batch=20)
    codes, _ = workshop.outputs(
        cell, x=np.clip(np.round(network.samples / 0.03) + 3, -128, 127).astype("int8")
    )
    assert codes[0].dtype == np.int8, "if not, agents.exam.real_values has nothing left to do"
    assert cell["outputs"][0]["scale"] == pytest.approx(int8.output[0])
    event = workshop.evaluate(cell, workshop.dataset(LABELS, x=network.samples))
    found, expected = classes(event["sets"][0]), figures(int8.reference, LABELS)
    np.testing.assert_allclose(found[:, 1:3], expected[:, 1:3], atol=0.03)


def test_a_softmax_inside_is_noticed(workshop: Workshop, network: Network, folder: Path) -> None:
    model = network.onnx("n")
    model.graph.node.append(helper.make_node("Softmax", ["y"], ["p"], axis=1))
    model.graph.output[0].name = "p"
    path = folder / "softmax.onnx"
    onnx.save(model, path)
    event = workshop.evaluate(
        workshop.cell(path, "onnxruntime", batch=3), workshop.dataset(LABELS, x=network.samples)
    )
    assert event["scores"] == "probabilities"
    expected = figures(network.reference, LABELS)
    np.testing.assert_allclose(classes(event["sets"][0]), expected, atol=1e-5)


def test_the_recipe_makes_what_the_model_takes(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    stored = ((np.arange(20 * 12 * 10) * 40503) % 251).astype("uint8").reshape(20, 12, 10, 1)
    recipe: list[dict[str, Any]] = [
        {"cast": "float32"},
        {"divide": 127.5},
        {"subtract": 1},
        {"center_crop": [9, 10]},
        {"resize": [8, 8]},
    ]
    ready = preprocess.apply(recipe, stored)
    seen = set()
    for runtime in RUNTIMES:
        path, batch = network.save(folder, FORMATS[runtime][0]), fitting(runtime, 8)
        cell = workshop.cell(path, runtime, batch=batch)
        raw: Any = {**workshop.dataset(LABELS, x=stored), "preprocess": recipe}
        event = workshop.evaluate(cell, raw)
        np.testing.assert_allclose(
            classes(event["sets"][0]), figures(network.scores(ready), LABELS), atol=1e-5
        )
        seen.add(event["inputs_sha256"])
        # What is timed is fed the same way.
        record = workshop.launch(cell, dataset=raw)["cells"][0]
        assert (record["status"], record["reason"]) == ("ok", None)
    assert seen == {fingerprint(ready)}


def test_a_bad_recipe_is_named(workshop: Workshop, network: Network, folder: Path) -> None:
    cell = workshop.cell(network.save(folder, "onnx"), "onnxruntime")
    bad: Any = {**workshop.dataset(LABELS, x=network.samples), "preprocess": [{"divide": 0}]}
    event = workshop.evaluate(cell, bad)
    assert event["status"] == "unsupported"
    assert "step 1 of the preprocessing, {'divide': 0}" in str(event["reason"])


@pytest.mark.parametrize("size", [(5, 9), (16, 16), (11, 7)])
def test_resizing_is_that_of_onnx(size: tuple[int, int]) -> None:
    node = helper.make_node(
        "Resize",
        ["x", "", "", "sizes"],
        ["y"],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    sizes = np.array([1, 1, *size], "int64")
    model = onnx_model(
        [node],
        {"sizes": sizes},
        {"x": (TensorProto.FLOAT, (1, 1, 11, 7))},
        {"y": (TensorProto.FLOAT, (1, 1, *size))},
    )
    image = np.random.default_rng(1).standard_normal((1, 1, 11, 7)).astype("float32")
    session = ort.InferenceSession(model.SerializeToString())
    expected = session.run(None, {"x": image})[0]
    found = preprocess.apply([{"resize": list(size)}], image)
    np.testing.assert_allclose(found, expected, atol=1e-5)


# --- robustness


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_spoiled_samples_are_those_of_the_agent_in_any_batch(
    workshop: Workshop, network: Network, folder: Path, runtime: str, batch: int
) -> None:
    path, batch = network.save(folder, FORMATS[runtime][0]), fitting(runtime, batch)
    cell = workshop.cell(path, runtime, batch=batch)
    elsewhere: Any = {**workshop.dataset(x=network.samples[:7] * 5), "labels": None}
    event = workshop.evaluate(
        cell,
        workshop.dataset(LABELS, x=network.samples),
        robustness={**SETTINGS, "ood": {"loud": elsewhere}},
    )
    assert event["status"] == "ok"
    clean, *spoiled, loud = event["sets"]
    assert clean["samples"] == 20
    asked = [(name, level) for name in SETTINGS["corruptions"] for level in (1, 5)]
    assert [(one["name"], one["severity"]) for one in spoiled] == asked
    for one in spoiled:
        assert (one["kind"], one["samples"]) == ("corruption", 11)
        spoil = corruptions.Corruption(one["name"], one["severity"], 3)
        given = np.stack([spoil.of(network.samples[at], at, "x") for at in range(11)])
        expected = figures(network.scores(given), LABELS[:11])
        np.testing.assert_allclose(classes(one), expected, atol=1e-5)
    assert (loud["name"], loud["kind"], loud["samples"]) == ("loud", "ood", 7)
    found = classes(loud)
    assert np.isnan(found[:, 2]).all()
    expected = figures(network.scores(network.samples[:7] * 5), LABELS[:7])
    np.testing.assert_allclose(np.delete(found, 2, 1), np.delete(expected, 2, 1), atol=1e-5)


def test_the_clean_set_decides_how_all_are_read(workshop: Workshop, folder: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    ports: Any = ({"x": (TensorProto.FLOAT, ("n", 3))}, {"y": (TensorProto.FLOAT, ("n", 3))})
    path = folder / "identity.onnx"
    onnx.save(onnx_model([node], {}, *ports), path)
    chances = softmax(np.random.default_rng(2).standard_normal((9, 3))).astype("float32")
    more: wire.Robustness = {**SETTINGS, "corruptions": ["contrast"], "severities": [1]}
    more["ood"] = {"high": {**workshop.dataset(x=chances + 3), "labels": None}}
    event = workshop.evaluate(
        workshop.cell(path, "onnxruntime"), workshop.dataset(LABELS[:9], x=chances), robustness=more
    )
    assert event["scores"] == "probabilities"
    # Read as logits they would be exp(x) / sum.
    expected = (chances + 3) / (chances + 3).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classes(event["sets"][2])[:, 1], expected.max(axis=1), atol=1e-6)


def test_a_set_that_cannot_be_run_has_a_reason_and_the_others_go_on(
    workshop: Workshop, folder: Path
) -> None:
    weights = np.eye(6, 4, dtype="float32")
    model = onnx_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"w": weights},
        {"x": (TensorProto.FLOAT, ("n", 6))},
        {"y": (TensorProto.FLOAT, ("n", 4))},
    )
    path = folder / "vector.onnx"
    onnx.save(model, path)
    vectors = np.random.default_rng(3).standard_normal((8, 6)).astype("float32")
    dataset = workshop.dataset(LABELS[:8] % 4, x=vectors)
    asked: wire.Robustness = {**SETTINGS, "corruptions": ["blur", "noise"], "severities": [2]}
    asked["ood"] = {"lost": {**dataset, "artifact": "0" * 64, "labels": None}}
    event = workshop.evaluate(workshop.cell(path, "onnxruntime"), dataset, robustness=asked)
    assert event["status"] == "ok"
    clean, blur, noise, lost = event["sets"]
    assert clean["reason"] is None
    assert blur["classes"] is None
    assert "no neighbours" in str(blur["reason"])
    assert classes(noise).shape == (8, 5)
    assert "FileNotFoundError" in str(lost["reason"])


def test_a_worker_that_dies_is_asked_no_more(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    cell = workshop.cell(network.save(folder, "onnx"), "onnxruntime")
    dataset = workshop.dataset(LABELS, x=network.samples)
    bench = workshop.bench(workshop.job([cell], dataset=dataset, robustness=SETTINGS))
    asked = evaluation.Asked(bench, bench.job["evaluations"][0])
    with workshop.supervising(), closing(asked):
        first, *others = evaluation.further_sets(bench.job)
        assert scored(asked.run(first))["reason"] is None
        assert asked.worker is not None
        os.kill(asked.worker.child.pid, signal.SIGKILL)
        reasons = [scored(asked.run(one))["reason"] for one in others]
    assert len(reasons) == 3 and set(reasons) == {asked.gone}
    assert "killed by SIGKILL" in str(asked.gone)


def test_a_model_that_no_longer_loads_has_a_reason_in_every_set(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    cell = workshop.cell(network.save(folder, "onnx"), "onnxruntime")
    dataset = workshop.dataset(LABELS, x=network.samples)
    bench = workshop.bench(workshop.job([cell], dataset=dataset, robustness=SETTINGS))
    bench.job["cells"][cell["id"]]["threads"] = 10_000
    asked = evaluation.Asked(bench, bench.job["evaluations"][0])
    with workshop.supervising(), closing(asked):
        found = [scored(asked.run(one)) for one in evaluation.further_sets(bench.job)]
    assert all("10000 threads asked for" in str(one["reason"]) for one in found)
    assert [one["classes"] for one in found] == [None] * 4


def test_a_control_only_has_to_load(workshop: Workshop, network: Network, folder: Path) -> None:
    cell = workshop.cell(network.save(folder, "onnx"), "onnxruntime")
    dataset = workshop.dataset(LABELS, x=network.samples)
    bench = workshop.bench(workshop.job([cell], dataset=dataset, robustness=SETTINGS))
    bench.job["evaluations"][0]["answers"] = False
    with workshop.supervising():
        event = evaluation.run(bench, bench.job["evaluations"][0])
    assert event is not None
    assert (event["status"], event["top"], event["sets"]) == ("ok", None, [])
    assert event["executed"]["provider"] == "CPUExecutionProvider"


def scored(event: wire.SetEvent | None) -> wire.Scored:
    assert event is not None
    return event["scored"]


@pytest.mark.parametrize("what", ["dataset", "set"])
def test_a_stop_ends_it_between_two_batches(
    workshop: Workshop, network: Network, folder: Path, what: str
) -> None:
    cell = workshop.cell(network.save(folder, "onnx"), "onnxruntime")
    dataset = workshop.dataset(
        np.zeros(100_000, "int64"), x=np.tile(network.samples, (5_000, 1, 1, 1))
    )
    asked = {**SETTINGS, "samples": 100_000}
    bench = workshop.bench(workshop.job([cell], dataset=dataset, robustness=asked))
    one = bench.job["evaluations"][0]
    began = time.monotonic()
    stopping = threading.Timer(2.0, (Path(bench.folder) / wire.STOP_FILE).touch)
    stopping.start()
    with workshop.supervising(), closing(evaluation.Asked(bench, one)) as model:
        if what == "dataset":
            assert evaluation.run(bench, one) is None
        else:
            assert model.run(next(evaluation.further_sets(bench.job))) is None
    stopping.join()
    assert time.monotonic() - began < 7


# --- other heads


def save_identity(path: Path, *shape: int) -> Path:
    """A model that gives what it takes: the samples are the outputs to be read."""
    ports: Any = {"x": (TensorProto.FLOAT, ("n", *shape))}
    node = helper.make_node("Identity", ["x"], ["y"])
    onnx.save(onnx_model([node], {}, ports, {"y": (TensorProto.FLOAT, ("n", *shape))}), path)
    return path


def test_boxes_of_a_detector(workshop: Workshop, folder: Path) -> None:
    # An "image" of 6 x 16 is read as the head itself: 16 anchors of two classes.
    cell = workshop.cell(save_identity(folder / "yolo.onnx", 6, 16), "onnxruntime", batch=2)
    heads = np.zeros((3, 6, 16), "float32")
    heads[:, 0] = 9
    heads[0, :, 0] = [8, 3, 4, 2, 0.9, 0.0]
    heads[0, :, 1] = [8, 3, 4, 2, 0.8, 0.3]
    heads[2, :, 5] = [4, 2, 2, 2, 0.0, 0.5]
    dataset: Any = {**workshop.dataset(x=heads), "boxes": "on the host"}
    asked = {**SETTINGS, "corruptions": ["input-quantisation"]}
    event = workshop.evaluate(cell, dataset, robustness=asked)
    assert (event["status"], event["top"], event["scores"]) == ("ok", None, None)
    clean, spoiled = event["sets"][:2]
    assert clean["boxes"] == [
        [[0, 0.9, 6, 2, 10, 4], [1, 0.3, 6, 2, 10, 4]],
        [],
        [[1, 0.5, 3, 1, 5, 3]],
    ]
    assert clean["classes"] is None
    assert spoiled["boxes"] is not None
    assert len(spoiled["boxes"]) == 3


def test_pixels_of_a_segmentation_model(workshop: Workshop, folder: Path) -> None:
    cell = workshop.cell(save_identity(folder / "pixels.onnx", 3, 4, 5), "onnxruntime", batch=2)
    rng = np.random.default_rng(4)
    answers, masks = rng.integers(0, 3, (3, 4, 5)), rng.integers(0, 3, (3, 4, 5)).astype("uint8")
    masks[:, 0] = 255
    shares = np.moveaxis(np.eye(3, dtype="float32")[answers], -1, 1)
    event = workshop.evaluate(cell, workshop.dataset(masks=masks, x=shares))
    pixels = event["sets"][0]["pixels"]
    assert pixels is not None
    right = [sum(row[1] for row in sample) for sample in pixels]
    assert right == ((answers == masks) & (masks != 255)).sum(axis=(1, 2)).tolist()
    missed = [sum(row[1] + row[3] for row in sample) for sample in pixels]
    assert missed == (masks != 255).sum(axis=(1, 2)).tolist()


def test_without_a_dataset_there_are_no_sets(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    event = workshop.evaluate(workshop.cell(network.save(folder, "onnx"), "onnxruntime"))
    assert (event["status"], event["sets"], event["top"]) == ("ok", [], None)
    assert event["executed"]["precision"] == "fp32"
