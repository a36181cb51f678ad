"""Every backend, found by its name, in real workers with real runtimes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from agents import backends, wire
from agents.process import WorkerError
from harness.artifact import Unresolvable, inspect
from harness.errors import InputError
from tests.contract import networks
from tests.contract.networks import Network, Ports, Quantised
from tests.contract.workshop import RUNTIMES, TIMING, Workshop, fitting, spec
from tests.unit.model_files import Operator, Shape, Tensor, onnx_model

FORMATS = {name: backends.find(name).FORMATS for name in RUNTIMES}
READS = [(name, format) for name in RUNTIMES for format in FORMATS[name]]
# Formats whose files are written here by hand. OpenVINO's come out of its own converter; what is
# special about PyTorch and ncnn has tests of its own.
BY_HAND = [(name, format) for name, format in READS if format in ("onnx", "tflite")]
BATCHES = [(*read, batch) for read in READS for batch in sorted({1, fitting(read[0], 8)})]
ONNX = [name for name in RUNTIMES if "onnx" in FORMATS[name]]
# Largest error of a score: scores are of order 1, and a layer sums 144 products.
TOLERANCE = {"fp32": 1e-5, "fp16": 2e-2, "bf16": 1e-1}
# With fewer bits than float32 some score must differ by more than float32 ever does.
COARSE = {"fp32": 0.0, "fp16": 1e-5, "bf16": 1e-4}


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where model files lie; all tests share them."""
    return tmp_path_factory.mktemp("models")


def error(outputs: Sequence[Any], reference: Any) -> float:
    """Largest difference between the only output and the reference."""
    assert len(outputs) == 1
    assert outputs[0].shape == reference.shape
    return float(np.abs(outputs[0] - reference).max())


@pytest.mark.parametrize(("runtime", "format", "batch"), BATCHES)
def test_it_computes_what_numpy_computes(
    workshop: Workshop, network: Network, folder: Path, runtime: str, format: str, batch: int
) -> None:
    cell = workshop.cell(network.save(folder, format), runtime, batch=batch)
    outputs, executed = workshop.outputs(cell, x=network.samples[:batch])
    assert error(outputs, network.reference[:batch]) < TOLERANCE["fp32"]
    assert executed["precision"] == "fp32"
    assert executed["note"] is None or "layers" not in executed["note"]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_precision_that_ran_is_told_and_true(
    workshop: Workshop, network: Network, folder: Path, runtime: str, precision: str
) -> None:
    path = network.save(folder, FORMATS[runtime][0])
    batch = fitting(runtime, 20)
    cell = workshop.cell(path, runtime, batch=batch, precision=precision)
    outputs, executed = workshop.outputs(cell, x=network.samples[:batch])
    ran = executed["precision"]
    if ran is None:  # ncnn takes the reals that the processor has, and does not say which
        assert runtime == "ncnn" and "does not tell" in (executed["note"] or "")
        ran = "bf16"
    assert COARSE[ran] <= error(outputs, network.reference[:batch]) < TOLERANCE[ran]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_best_classes_of_a_dataset_are_numpys(
    workshop: Workshop, network: Network, folder: Path, runtime: str
) -> None:
    # 20 samples in batches of 8: the last batch is padded, and the padding is cut off again.
    path, batch = network.save(folder, FORMATS[runtime][0]), fitting(runtime, 8)
    cell = workshop.cell(path, runtime, batch=batch)
    dataset = workshop.dataset(np.zeros(20, "int64"), x=network.samples)
    event = workshop.evaluate(cell, dataset)
    best = np.argsort(-network.reference, axis=1)[:, :5]
    assert (event["status"], event["reason"], event["nonfinite"]) == ("ok", None, 0)
    assert event["top"] == best.tolist()
    assert len({row[0] for row in best.tolist()}) > 1, "a constant answer would pass"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_scores_that_are_no_numbers_are_counted(
    workshop: Workshop, folder: Path, runtime: str
) -> None:
    spoiled = Network(spoiled=True)
    path, batch = spoiled.save(folder, FORMATS[runtime][0]), fitting(runtime, 8)
    cell = workshop.cell(path, runtime, batch=batch)
    event = workshop.evaluate(cell, workshop.dataset(np.zeros(20, "int64"), x=spoiled.samples))
    assert (event["status"], event["nonfinite"]) == ("ok", 20)


@pytest.fixture(scope="module", params=RUNTIMES)
def launched(
    request: pytest.FixtureRequest, workshop: Workshop, network: Network, folder: Path
) -> wire.LaunchEvent:
    """One launch of a backend with one thread and with two, side by side."""
    runtime: str = request.param
    path = network.save(folder, FORMATS[runtime][0])
    cells = [workshop.cell(path, runtime, threads=threads) for threads in (1, 2)]
    return workshop.launch(*cells)


def test_a_launch_measures_every_cell(launched: wire.LaunchEvent) -> None:
    assert launched["interleaved"]
    assert sorted(launched["block_order"]) == sorted(2 * launched["spawn_order"])
    for record in launched["cells"]:
        assert (record["status"], record["reason"]) == ("ok", None)
        assert len(record["blocks"]) == 2
        assert all(len(block) >= 3 and min(block) > 0 for block in record["blocks"])
        warmup = record["warmup"]
        assert warmup is not None
        # On a busy machine the cap on its time may come first.
        assert warmup["iterations"] >= 20 or warmup["ns"] >= TIMING["warmup_cap_ns"]


def test_start_and_load_are_timed_apart(launched: wire.LaunchEvent) -> None:
    for record in launched["cells"]:
        times = (record["import_ns"], record["load_ns"], record["first_ns"])
        assert all(time is not None and time > 0 for time in times)
        assert sum(time or 0 for time in times) < launched["seconds"] * 1e9
        # Numpy and a runtime take longer to import than this network to run.
        assert (record["import_ns"] or 0) > (record["first_ns"] or 0)


def test_memory_is_that_of_a_process_with_a_runtime(launched: wire.LaunchEvent) -> None:
    for record in launched["cells"]:
        memory = record["memory"]
        assert memory is not None
        assert memory["peak_kib"] >= memory["anon_kib"] > 0
        assert 0 < memory["floor_kib"] < 32 * 1024
        assert memory["peak_kib"] > memory["floor_kib"] + 4 * 1024, "a runtime takes some"


def test_threads_are_those_asked_for(launched: wire.LaunchEvent) -> None:
    for threads, record in zip((1, 2), launched["cells"], strict=True):
        assert len(set(record["cpus"])) == threads
        assert record["executed"]["threads"] in (threads, None)
    told = [record["executed"]["threads"] for record in launched["cells"]]
    assert told in ([1, 2], [None, None]), "a runtime tells always or never"


def test_what_ran_is_told(launched: wire.LaunchEvent) -> None:
    for record in launched["cells"]:
        executed = record["executed"]
        assert executed["provider"]
        assert executed["runtime_version"] and executed["runtime_version"][0].isdigit()


@pytest.mark.parametrize(("runtime", "format"), BY_HAND)
def test_a_quantised_network_takes_reals_and_runs_in_int8(
    workshop: Workshop, network: Network, folder: Path, runtime: str, format: str
) -> None:
    quantised = Quantised(network)
    cell = workshop.cell(quantised.save(folder, format), runtime, batch=20)
    assert cell["inputs"][0]["dtype"] == "int8"
    (scores,), executed = workshop.outputs(cell, x=network.samples)
    if runtime == "deepsparse":  # hands this form of quantisation to an ONNX Runtime inside it
        assert executed["precision"] is None and "not told" in (executed["note"] or "")
        assert executed["provider"] == "ONNX Runtime inside DeepSparse"
    elif (runtime, format) == ("openvino", "onnx"):
        # Its convolution computes in float32, for the zero point of the input; oneDNN's own log
        # (ONEDNN_VERBOSE=1) says the same.
        assert "1 int8" in (executed["note"] or "")
    else:
        assert executed["precision"] == "int8"
    scale, zero = quantised.output
    if scores.dtype == np.int8:
        # OpenVINO gives the integers of a TFLite file, which rank classes in the same order.
        assert runtime == "openvino"
        scores = (scores.astype("float64") - zero) * scale
    # Kernels round in their own ways: one step, and that rarely.
    steps = np.abs(scores - quantised.reference) / scale
    assert steps.max() < 1.01
    assert (steps > 0.01).mean() < 0.1
    assert np.ptp(scores) > 20 * scale


@pytest.mark.parametrize(("runtime", "format"), BY_HAND)
def test_inputs_of_several_types_go_where_they_belong(
    workshop: Workshop, folder: Path, runtime: str, format: str
) -> None:
    cell = workshop.cell(networks.save_mixed(folder / f"mixed.{format}"), runtime, batch=3)
    types = [(item["name"], item["dtype"]) for item in cell["inputs"]]
    assert types == [("on", "bool"), ("x", "float32"), ("ids", "int64")]
    x = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)
    on, ids = x > 0.2, np.arange(12).reshape(3, 4) + 5
    outputs, _ = workshop.outputs(cell, x=x, on=on, ids=ids)
    assert error(outputs, np.where(on, x, ids)) == 0


@pytest.mark.parametrize(("runtime", "format"), BY_HAND)
def test_several_inputs_can_be_timed_without_a_dataset(
    workshop: Workshop, folder: Path, runtime: str, format: str
) -> None:
    cell = workshop.cell(networks.save_mixed(folder / f"mixed.{format}"), runtime, batch=8)
    event = workshop.evaluate(cell)
    assert (event["status"], event["top"]) == ("ok", None), event["reason"]


@pytest.mark.parametrize("runtime", ONNX)
def test_a_fixed_batch_is_refused_before_and_on_the_device(
    workshop: Workshop, network: Network, folder: Path, runtime: str
) -> None:
    path = network.save(folder, "onnx", batch=1)
    with pytest.raises(Unresolvable, match="fixed batch of 1, not 8"):
        workshop.cell(path, runtime, batch=8)
    forced = workshop.cell(path, runtime, batch=8, inputs=[spec("x", "float32", [8, 8, 8, 1])])
    try:
        outputs, _ = workshop.outputs(forced, x=network.samples[:8])
    except WorkerError as refused:
        assert refused.status == "unsupported"
    else:
        assert error(outputs, network.reference[:8]) < TOLERANCE["fp32"]


@pytest.mark.parametrize("make", [networks.save_reshape_before, networks.save_reshape_after])
@pytest.mark.parametrize(("runtime", "format"), BY_HAND)
def test_a_batch_that_is_fixed_inside_is_right_or_unsupported(
    workshop: Workshop, folder: Path, runtime: str, format: str, make: Any
) -> None:
    path = make(folder / f"{make.__name__}.{format}")
    x = np.arange(32, dtype="float32").reshape(8, 2, 2)
    outputs, _ = workshop.outputs(workshop.cell(path, runtime), x=x[:1])
    assert error(outputs, x[:1].reshape(1, 4)) == 0
    try:
        outputs, _ = workshop.outputs(workshop.cell(path, runtime, batch=8), x=x)
    except WorkerError as refused:
        if (runtime, make) == ("deepsparse", networks.save_reshape_before):
            # Its compiler stumbles and ends the process.
            assert refused.status == "failed" and "died in load" in str(refused)
            return
        assert refused.status == "unsupported", refused
        assert "shape" in str(refused)
    else:
        # OpenVINO sees that a Reshape before a product only flattens, and takes any batch.
        assert (runtime, make) == ("openvino", networks.save_reshape_before)
        assert error(outputs, x.reshape(8, 4)) == 0


@pytest.mark.parametrize(("runtime", "format"), BY_HAND)
def test_an_operator_that_a_runtime_lacks_is_unsupported_and_named(
    workshop: Workshop, folder: Path, runtime: str, format: str
) -> None:
    cell = workshop.cell(networks.save_foreign(folder / f"foreign.{format}"), runtime)
    event = workshop.evaluate(cell)
    assert event["status"] == "unsupported"
    assert networks.CUSTOM_NAME in (event["reason"] or "")


def unknown_operator(folder: Path) -> tuple[Path, str]:
    """A standard operator of a later year."""
    model = onnx_model([helper.make_node("Frob", ["x"], ["y"])], {}, FLOATS)
    return saved(model, folder / "frob.onnx"), "Frob"


def later_opset(folder: Path) -> tuple[Path, str]:
    """A standard version of a later year."""
    model = onnx_model([helper.make_node("Relu", ["x"], ["y"])], {}, FLOATS)
    model.opset_import[0].version = 99
    return saved(model, folder / "opset.onnx"), "99"


def later_file(folder: Path) -> tuple[Path, str]:
    """A file version of a later year."""
    model = onnx_model([helper.make_node("Relu", ["x"], ["y"])], {}, FLOATS)
    model.ir_version = 99
    return saved(model, folder / "ir.onnx"), "99"


def rare_type(folder: Path) -> tuple[Path, str]:
    """An operator in a type that ONNX allows and a runtime may not have."""
    port: tuple[int, Shape] = (TensorProto.DOUBLE, ("n", 4))
    node = helper.make_node("Erf", ["x"], ["y"])
    return saved(onnx_model([node], {}, {"x": port}, {"y": port}), folder / "erf.onnx"), "Erf"


def later_builtin(folder: Path) -> tuple[Path, str]:
    """A TFLite operator of a later year."""
    tensors = [
        Tensor("x", [1, 4], signature=[-1, 4]),
        Tensor("y", [1, 4]),
    ]
    path = folder / "builtin.tflite"
    return networks.save_network(path, tensors, [Operator(400, [0], [1])]), "400"


FLOATS: Ports = {"x": (TensorProto.FLOAT, ("n", 4))}
LATER = {
    "onnx": [unknown_operator, later_opset, later_file, rare_type],
    "tflite": [later_builtin],
}


def saved(model: Any, path: Path) -> Path:
    """Write an ONNX model."""
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("runtime", "make"), [(name, make) for name, format in BY_HAND for make in LATER[format]]
)
def test_what_is_too_new_for_a_runtime_is_unsupported(
    workshop: Workshop, folder: Path, runtime: str, make: Any
) -> None:
    path, named = make(folder)
    inputs = None if path.suffix == ".onnx" else [spec("x", "float32", [1, 4])]
    event = workshop.evaluate(workshop.cell(path, runtime, inputs=inputs))
    if event["status"] != "ok":  # OpenVINO reads some of these
        assert event["status"] == "unsupported", event["reason"]
        assert named in (event["reason"] or "")
    assert event["status"] == "unsupported" or (runtime == "openvino" and make in TOLERATED)


TOLERATED = (later_opset, later_file, rare_type)


@pytest.mark.parametrize(("runtime", "format"), BY_HAND)
def test_a_truncated_file_fails_with_a_reason(
    workshop: Workshop, network: Network, folder: Path, runtime: str, format: str
) -> None:
    data = network.save(folder, format).read_bytes()
    path = folder / f"cut.{format}"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError):
        inspect(path, format)
    inputs = [spec("x", "float32", [1, 8, 8, 1])]
    event = workshop.evaluate(workshop.cell(path, runtime, inputs=inputs))
    assert event["status"] == "failed"
    assert len(event["reason"] or "") > 20


@pytest.mark.parametrize(("runtime", "format"), BY_HAND)
def test_strings_are_unsupported(
    workshop: Workshop, folder: Path, runtime: str, format: str
) -> None:
    path = networks.save_strings(folder / f"strings.{format}")
    with pytest.raises(Unresolvable, match="string"):
        workshop.cell(path, runtime)
    forced = workshop.cell(path, runtime, inputs=[spec("x", "string", [1, 4])])
    event = workshop.evaluate(forced)
    assert event["status"] == "unsupported"
    assert "cannot be fed" in (event["reason"] or "")


def test_a_cell_with_more_threads_than_cores_is_unsupported(
    workshop: Workshop, network: Network, folder: Path
) -> None:
    cell = workshop.cell(network.save(folder, "onnx"), ONNX[0], threads=4096)
    event = workshop.evaluate(cell)
    assert event["status"] == "unsupported"
    assert "4096 threads" in (event["reason"] or "")


def test_the_networks_of_these_tests_tell_right_from_wrong(network: Network) -> None:
    other = dataclasses.replace(network, seed=6)
    assert np.abs(other.scores(network.samples) - network.reference).max() > 1
    assert np.ptp(network.reference, axis=0).min() > 0.5, "every score moves with the input"
    gaps = -np.diff(-np.sort(-network.reference, axis=1)[:, :6], axis=1)
    assert gaps.min() > 20 * TOLERANCE["fp32"], "no order depends on rounding"
