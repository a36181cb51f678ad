"""The study file: what is accepted, and one clear message for everything that is not."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError
from harness.labels import runtimes
from harness.study import Study, load_study, parse_study

MINIMAL: dict[str, Any] = {
    "name": "test",
    "baseline": "dense",
    "variants": {"dense": {"model": "dense.onnx"}, "small": {"model": {"tflite": "s.tflite"}}},
    "runtimes": ["onnxruntime", "litert"],
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a study, the minimal one with changes or a text, beside its model files."""
    for name in ("dense.onnx", "s.tflite", "eval.npz"):
        (tmp_path / name).write_bytes(b"x")

    def make(text: str | None = None, **changes: Any) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text if text is not None else yaml.safe_dump({**MINIMAL, **changes}))
        return path

    return make


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_study(path)
    return str(caught.value)


# --- what is accepted


def test_defaults(write: Write, tmp_path: Path) -> None:
    study = load_study(write())
    assert (study.precisions, study.batch_sizes, study.threads) == (("fp32",), (1,), (1,))
    assert (study.devices, study.gates) == (("local",), ())
    assert study.document()["scenarios"] == [{"name": "single-stream"}]
    assert study.compare == ("variants", "runtimes")
    assert (study.measure.effort, study.measure.budget) == ("standard", 600.0)
    assert study.variants["dense"].model == {"onnx": "dense.onnx"}
    assert study.model_path("small", "tflite") == tmp_path / "s.tflite"
    assert (study.dataset, study.dataset_path) == (None, None)


def test_everything(write: Write, tmp_path: Path) -> None:
    path = write(
        variants={"dense": {"model": "dense.onnx", "shapes": {"x": [None, 3, 8], "h": [-1, 2]}}},
        precisions=["fp32", "bf16"],
        batch_sizes=[1, 4096],
        threads=[256],
        dataset={"file": "eval.npz", "inputs": {"x": "images"}, "labels": "y"},
        measure={"effort": "thorough", "budget": "1h30m"},
        devices=["local", "pi5"],
        gates=[{"metric": "latency_p95_ms", "max": 6}, {"metric": "accuracy_top1", "min": 0.9}],
    )
    study = load_study(path)
    assert study.variants["dense"].shapes == {"x": (None, 3, 8), "h": (None, 2)}
    assert study.measure.budget == 5400
    assert study.dataset is not None
    assert study.dataset.keys == {"x": "images"}
    assert study.dataset_path == tmp_path / "eval.npz"
    assert [(gate.max, gate.min) for gate in study.gates] == [(6, None), (None, 0.9)]


def test_a_study_survives_as_plain_data(write: Write, tmp_path: Path) -> None:
    scenarios = [
        "single-stream",
        {"name": "multi-stream", "streams": 4},
        "offline",
        {"name": "server", "target_p99_ms": 20},
        {"name": "sustained"},
    ]
    gates = [{"metric": "latency_p95_ms", "max": 6, "scenario": "multi-stream"}]
    study = load_study(write(gates=gates, scenarios=scenarios, compare=["variants"]))
    document = study.document()
    again = parse_study(document, tmp_path)
    assert again.document() == document
    assert again.folder == study.folder
    assert document["scenarios"] == [
        {"name": "single-stream"},
        {"name": "multi-stream", "streams": 4},
        {"name": "offline", "streams": None, "requests": 32},
        {"name": "server", "target_p99_ms": 20.0, "streams": None, "seconds": 2.0},
        {"name": "sustained", "minutes": 5},
    ]
    del document["compare"]  # as before there were groups of runtimes
    document["scenarios"] = ["single-stream", "multi-stream"]
    assert [one.name for one in parse_study(document, tmp_path).scenarios] == document["scenarios"]


def test_a_study_cannot_be_changed(write: Write) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_study(write()).name = "other"


def test_anchors_and_merges(write: Write) -> None:
    path = write(
        "name: a\nbaseline: dense\nvariants:\n  dense: &d {model: dense.onnx}\n"
        "  again: {<<: *d}\nruntimes: [onnxruntime]\n"
    )
    assert load_study(path).variants["again"].model == {"onnx": "dense.onnx"}


def test_every_backend_is_a_runtime(write: Write) -> None:
    assert {"onnxruntime", "openvino", "litert", "tflite"} <= set(runtimes())
    assert load_study(write(runtimes=runtimes())).runtimes == tuple(runtimes())


# --- files that are no study


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- a\n- b\n", "holds a list where a mapping"),
        ("just words", "holds a single value where a mapping"),
        ("name: [a\nb: c", "line 2, column 2: not YAML"),
        ("name: a\n\tb: c", "line 2, column 1: not YAML"),
        ("name: a\nname: b\n", "line 2, column 1: the key 'name' is given twice"),
        ("variants:\n  a: {model: x, model: y}\n", "the key 'model' is given twice"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("a: !!python/object:os.system x", "not YAML"),
        ("a: 2026-13-45", "not usable YAML"),
        ("a: !!int ''", "not usable YAML"),
        ("a: !!bool maybe", "not usable YAML"),
        ("a: !!timestamp soon", "not usable YAML"),
        ("a: &a [*a]", "an alias refers to itself"),
        ("{" * 5000, "not usable YAML"),
        ("? [a, b]\n: c", "not YAML"),
    ],
)
def test_no_study(write: Write, text: str, expected: str) -> None:
    assert expected in message(write(text))


def test_aliases_that_unfold_without_measure(write: Write) -> None:
    rows = ["a0: &a0 [x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "unfolds to more than" in message(write("\n".join(rows)))


def test_binary_file_folder_and_missing_file(tmp_path: Path, write: Write) -> None:
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\x89PNG\xff\xfe\x00")
    assert "not a text file" in message(binary)
    write()
    assert "a folder, not a file" in message(tmp_path)
    assert f"did you mean {tmp_path / 'study.yaml'}?" in message(tmp_path / "studi.yaml")
    assert "no such file" in message(tmp_path / "nowhere" / "study.yaml")
    huge = tmp_path / "h.yaml"
    huge.write_bytes(b"#" * (1 << 20))
    assert "larger than" in message(huge)


# --- keys and values

GATE = {"metric": "latency_p95_ms", "max": 6}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"runtime": ["litert"]},
            "runtime (line 3): unknown key 'runtime'; did you mean 'runtimes'?",
        ),
        ({"wholly-other": 1}, "unknown key 'wholly-other'; known: baseline, batch_sizes"),
        ({"name": None}, "name (line 2): should be a valid string; it is empty"),
        ({"name": 5}, "should be a valid string; it is 5 (quote it)"),
        ({"name": "../x"}, "name (line 2): '../x' is no name: 1 to 64 letters"),
        ({"name": "a" * 65}, "is no name: 1 to 64 letters"),
        (
            {"variants": {False: {"model": "dense.onnx"}}},
            "variants.False (line 6): should be a valid string; it is False (quote it)",
        ),
        ({"variants": {"a/b": {"model": "dense.onnx"}}}, "variants.a/b (line 7): 'a/b' is no name"),
        ({"baseline": "dens"}, "baseline (line 1): unknown variant 'dens'; did you mean 'dense'?"),
        ({"variants": {}}, "variants (line 6): must hold at least 1; it holds 0"),
        ({"variants": ["dense"]}, "variants (line 6): must be a mapping"),
        ({"variants": {"dense": "dense.onnx"}}, "variants.dense (line 7): must be a mapping"),
        (
            {"variants": {"dense": {"modle": "a.onnx"}}},
            "unknown key 'modle'; did you mean 'model'?",
        ),
        ({"variants": {"dense": {}}}, "variants.dense (line 7): this key is missing: model"),
        (
            {"variants": {"dense": {"model": "dense.pt"}}},
            "'dense.pt' ends in none of .onnx, .tflite",
        ),
        (
            {"variants": {"dense": {"model": {"onx": "a.onnx"}}}},
            "unknown format 'onx'; did you mean",
        ),
        (
            {"variants": {"dense": {"model": {"tflite": "dense.onnx"}}}},
            "tflite is given 'dense.onnx', no .tflite file",
        ),
        (
            {"variants": {"dense": {"model": "dens.onnx"}}},
            "dens.onnx; did you mean 'dense.onnx'?",
        ),
        (
            {"variants": {"dense": {"model": "dense.onnx", "shapes": {"x": [1, None]}}}},
            "only the first number, the batch, may be null",
        ),
        (
            {"runtimes": ["onnxruntim"]},
            "runtimes[0] (line 4): unknown runtime 'onnxruntim'; did you",
        ),
        ({"runtimes": ["_private"]}, "unknown runtime '_private'"),
        ({"runtimes": []}, "runtimes (line 3): must hold at least 1"),
        ({"runtimes": "litert"}, "runtimes (line 3): must be a list"),
        ({"runtimes": ["litert", "litert"]}, "'litert' is listed twice"),
        ({"precisions": ["int8"]}, "should be 'fp32', 'fp16' or 'bf16'; it is int8"),
        (
            {"batch_sizes": [0]},
            "batch_sizes[0] (line 3): should be greater than or equal to 1; it is 0",
        ),
        ({"batch_sizes": [-8]}, "greater than or equal to 1; it is -8"),
        ({"batch_sizes": [4097]}, "less than or equal to 4096; it is 4097"),
        ({"batch_sizes": [10**30]}, "batch_sizes[0]"),
        ({"batch_sizes": [1.5]}, "should be a valid integer; it is 1.5"),
        ({"batch_sizes": [True]}, "should be a valid integer; it is True"),
        ({"batch_sizes": [1, 8, 1]}, "'1' is listed twice"),
        ({"batch_sizes": list(range(1, 80))}, "must hold at most 64; it holds 79"),
        ({"threads": [257]}, "less than or equal to 256; it is 257"),
        ({"scenarios": ["single-steam"]}, "did you mean 'single-stream'?"),
        ({"scenarios": [{"name": "ofline"}]}, "unknown scenario 'ofline'; did you mean 'offline'?"),
        ({"scenarios": [5]}, "must be the name of a scenario, or a mapping with `name`"),
        ({"scenarios": [{"streams": 2}]}, "scenarios[0].name (line 7): this key is missing"),
        ({"scenarios": ["cold-start", {"name": "cold-start"}]}, "'cold-start' is listed twice"),
        (
            {"scenarios": ["server"]},
            "server needs target_p99_ms, the time that 99% of its answers must keep\n"
            "  next: write {name: server, target_p99_ms: 20}",
        ),
        (
            {"scenarios": [{"name": "offline", "minutes": 3}]},
            "scenarios[0] (line 7): offline takes no minutes; it takes streams and requests",
        ),
        ({"scenarios": [{"name": "cold-start", "streams": 1}]}, "takes no streams\n"),
        ({"scenarios": [{"name": "offline", "stream": 1}]}, "'stream'; did you mean 'streams'?"),
        (
            {"scenarios": [{"name": "multi-stream", "streams": 65}]},
            "scenarios[0].streams (line 8): should be less than or equal to 64; it is 65",
        ),
        ({"scenarios": [{"name": "offline", "requests": 0}]}, "greater than or equal to 1"),
        ({"scenarios": [{"name": "sustained", "minutes": 2.5}]}, "a valid integer; it is 2.5"),
        (
            {"scenarios": [{"name": "server", "target_p99_ms": 1, "seconds": 0}]},
            "seconds (line 8): should be greater than 0; it is 0",
        ),
        ({"scenarios": [{"name": "server", "target_p99_ms": 0}]}, "greater than or equal to 0.001"),
        ({"compare": []}, "compare (line 2): must hold at least 1"),
        ({"compare": ["variants", "variants"]}, "'variants' is listed twice"),
        ({"compare": ["runtimes"]}, "come from groups of variants"),
        (
            {"gates": [{**GATE, "scenario": "offline"}]},
            "gates[0].scenario (line 5): 'offline' is no scenario of this study; it has single-str",
        ),
        (
            {"scenarios": ["offline"], "gates": [GATE]},
            "gates[0].metric (line 4): latency_p95_ms is measured in single-stream, multi-stream, "
            "cold-start, sustained; this study has offline",
        ),
        (
            {
                "scenarios": ["offline", "single-stream"],
                "gates": [{**GATE, "scenario": "offline"}],
            },
            "this gate asks offline",
        ),
        (
            {"measure": {"effort": "qick"}},
            "should be 'quick', 'standard' or 'thorough'; it is qick",
        ),
        ({"measure": {"budget": 0}}, "0 is not between 0 and 7 days"),
        ({"measure": {"budget": "-10m"}}, "'-10m' is no duration; write 90s, 10m or 1h30m"),
        ({"measure": {"budget": "soon"}}, "'soon' is no duration"),
        ({"measure": {"budget": "9999h"}}, "9999h is not between 0 and 7 days"),
        ({"measure": {"budget": math.nan}}, "nan is not between 0 and 7 days"),
        ({"devices": ["no such"]}, "devices[0]"),
        (
            {"robustness": {"samples": 9}},
            "robustness (line 3): is measured against a dataset, and the study has none",
        ),
        (
            {"dataset": {"file": "eval.npz", "inputs": "x"}},
            "dataset (line 2): needs one of labels, boxes, masks",
        ),
        (
            {"dataset": {"file": "evel.npz", "inputs": "x", "labels": "y"}},
            "evel.npz; did you mean 'eval.npz'?",
        ),
        (
            {"gates": [{"metric": "latency_p59_ms", "max": 6}]},
            "gates[0].metric (line 4): unknown metric 'latency_p59_ms'; did you mean 'latency_p",
        ),
        (
            {"gates": [{"metric": "latency_p95_ms"}]},
            "gates[0] (line 3): give exactly one of max and",
        ),
        ({"gates": [{**GATE, "min": 1}]}, "give exactly one of max and min"),
        ({"gates": [{**GATE, "maxx": 1}]}, "unknown key 'maxx'; did you mean 'max'?"),
        ({"gates": [{**GATE, "max": "6ms"}]}, "gates[0].max"),
        ({"gates": [{**GATE, "max": True}]}, "gates[0].max"),
        ({"gates": [{**GATE, "max": math.inf}]}, "must be a finite number"),
        ({"gates": [{**GATE, "max": -6}]}, "latency_p95_ms is never negative"),
        ({"gates": [{"metric": "accuracy_top1", "min": 90}]}, "a share of 1, not a percentage"),
    ],
)
def test_bad_value(write: Write, changes: dict[str, Any], expected: str) -> None:
    text = message(write(**changes))
    assert expected in text
    assert "next: " in text


def test_a_negative_drop_asks_for_an_improvement(write: Write) -> None:
    study = load_study(write(gates=[{"metric": "accuracy_top1_drop", "max": -0.01}]))
    assert study.gates[0].max == -0.01


def test_missing_keys(write: Write) -> None:
    text = message(write("description: x\n"))
    for key in ("name", "baseline", "variants", "runtimes"):
        assert f"{key}: this key is missing" in text


def test_several_problems_are_listed_one_a_line(write: Write) -> None:
    path = write(baseline="densee", batch_sizes=[0, 1], runtimes=["litrt"], tresholds=[])
    lines = message(path).splitlines()
    assert lines[0] == f"{path}: 4 problems:"
    assert [line.split()[0] for line in lines[1:-1]] == [
        "baseline",
        "runtimes[0]",
        "batch_sizes[0]",
        "tresholds",
    ]
    assert lines[-1].startswith("  next: correct ")


def test_where_names_file_and_key(write: Write) -> None:
    path = write(threads=[0])
    with pytest.raises(InputError) as caught:
        load_study(path)
    assert caught.value.where == f"{path}: threads[0] (line 7)"
    assert caught.value.exit_code == 2


@given(st.text(alphabet="ab:- \n\t[]{},&*!<'\"|>#%?0.\x00\u00e9", max_size=40))
def test_any_text_is_accepted_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(text, encoding="utf-8")
        assert message(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    ),
    st.sampled_from(
        [*Study.model_fields, "variants.dense", "variants.dense.model", "gates.0", "scenarios.0"]
    ),
)
def test_any_value_is_accepted_or_refused(value: Any, key: str) -> None:
    changes: dict[str, Any] = {key: value}
    if key == "variants.dense":
        changes = {"variants": {"dense": value}}
    elif key == "variants.dense.model":
        changes = {"variants": {"dense": {"model": value}}}
    elif key == "gates.0":
        changes = {"gates": [value]}
    elif key == "scenarios.0":
        changes = {"scenarios": [value]}
    try:
        parse_study({**MINIMAL, **changes}, Path())
    except InputError as error:
        assert str(error)
