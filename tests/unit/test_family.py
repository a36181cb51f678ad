"""Variants that are built: who stems from whom, where files go, and every wrong recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import family
from harness.errors import InputError
from harness.study import Study, load_study, parse_study
from reports import families

CALIBRATION = {"file": "eval.npz", "inputs": "x"}


def study(variants: dict[str, Any], **changes: Any) -> Study:
    return parse_study(
        {
            "name": "kws",
            "baseline": next(iter(variants)),
            "variants": variants,
            "runtimes": ["onnxruntime"],
            **changes,
        },
        Path(),
    )


def refused(variants: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        study(variants, **changes)
    return str(caught.value)


DENSE = {"model": {"onnx": "d.onnx", "tflite": "d.tflite"}, "shapes": {"x": [None, 8]}}
HALF = {"quantize": {"to": "fp16"}}
PRUNED = {"from": "dense", "prune": {"method": "magnitude", "sparsity": 0.7}}


def test_files_of_a_built_variant_have_the_formats_of_its_parent_and_its_shapes() -> None:
    found = study({"dense": DENSE, "small": PRUNED}).variants["small"]
    assert found.model == {
        "onnx": "variants/kws/small/small.onnx",
        "tflite": "variants/kws/small/small.tflite",
    }
    assert found.shapes == {"x": (None, 8)}


def test_formats_may_be_named() -> None:
    variants = {
        "dense": DENSE,
        "small": {**PRUNED, "formats": ["openvino"]},
        "grandchild": {"from": "small", "quantize": {"to": "fp16"}},
    }
    found = study(variants).variants
    assert found["small"].model == {"openvino": "variants/kws/small/small.xml"}
    assert list(found["grandchild"].model) == ["openvino"]
    assert family.source_format(found, "small", "openvino") == "onnx"
    assert family.source_format(found, "grandchild", "openvino") == "openvino"
    assert family.source_format(found, "grandchild", "tflite") is None


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        # Each of these once was written over the user's own file, that of the baseline too.
        ({"c": {"from": "dense", **HALF, "model": "d.onnx"}}, "has a recipe and files of its own"),
        ({"c": {"from": "dense", **HALF, "model": "c.onnx"}}, "has a recipe and files of its own"),
        (
            {
                "mine": {"model": "variants/../variants/kws/c/c.onnx"},
                "c": {"from": "dense", **HALF},
            },
            "would be built over the file of mine",
        ),
        (
            {
                "mine": {"model": str(Path("variants/kws/c/c.onnx").resolve())},
                "c": {"from": "dense", **HALF},
            },
            "would be built over the file of mine",
        ),
    ],
)
def test_no_file_of_the_user_is_built_over(variants: dict[str, Any], expected: str) -> None:
    assert expected in refused({"dense": DENSE, **variants})


def test_a_study_with_built_variants_is_read_again_as_it_is() -> None:
    first = study({"dense": DENSE, "small": PRUNED})
    assert parse_study(first.document(), Path()).variants == first.variants


@pytest.mark.parametrize(
    ("slim", "expected"),
    [
        ({"from": ["dense"], **HALF}, "'dense-slim' is there already"),
        ({"from": [], **HALF}, "names no variant"),
        ({"from": ["other", "other"], **HALF}, "or one twice"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_no_variant_of_a_shared_recipe_is_lost(
    slim: dict[str, Any], expected: str, first: bool
) -> None:
    given = {"model": "o.onnx"}
    made = {"slim": slim} if first else {}
    last = {} if first else {"slim": slim}
    variants = {"dense": DENSE, "other": given, **made, "dense-slim": given, **last}
    assert expected in refused(variants)


def test_only_formats_that_can_be_built_are_inherited() -> None:
    dense = {"model": {"torch": "d.pt2", "ncnn": "d.param", "onnx": "d.onnx"}}
    found = study({"dense": dense, "half": {"from": "dense", **HALF}}).variants
    assert list(found["half"].model) == ["onnx"]


def test_a_program_of_torch_becomes_tflite_and_is_then_pruned() -> None:
    lite = {"from": "dense", "formats": ["tflite"]}
    dense = {"model": "d.pt2"}
    found = study({"dense": dense, "lite": lite, "small": {**PRUNED, "from": "lite"}}).variants
    assert family.source_format(found, "lite", "tflite") == "torch"
    assert list(found["small"].model) == ["tflite"]
    assert "cannot be pruned: dense is a torch file" in refused(
        {"dense": dense, "x": {**lite, "prune": PRUNED["prune"]}}
    )


@pytest.mark.parametrize("file", ["d.pt2", "d.param", "d.pte"])
@pytest.mark.parametrize("made", [PRUNED, {"from": "dense", "formats": ["openvino"]}])
def test_a_parent_that_nothing_can_be_built_from(file: str, made: dict[str, Any]) -> None:
    assert "dense has only " in refused({"dense": {"model": file}, "x": made})


def test_one_recipe_over_several_networks() -> None:
    found = study(
        {
            "a": {"model": "a.onnx"},
            "b": {"model": "b.onnx"},
            "slim": {"from": ["a", "b"], "prune": {"method": "channels", "sparsity": 0.4}},
        }
    )
    assert list(found.variants) == ["a", "b", "a-slim", "b-slim"]
    assert found.variants["b-slim"].parent == "b"
    document = found.document()
    assert families.baseline_of(document, "b-slim") == "b"
    assert families.baselines(document) == ["a", "b"]
    assert families.recipe_of(document, "a-slim") == families.recipe_of(document, "b-slim")
    assert parse_study(document, Path()).document() == document


def test_a_variant_given_as_a_file_is_compared_with_the_baseline_of_the_study() -> None:
    document = study(
        {"dense": DENSE, "other": {"model": "o.onnx"}, "made": {**PRUNED, "from": "dense"}}
    ).document()
    assert families.baseline_of(document, "other") == "dense"
    assert families.baseline_of(document, "made") == "dense"
    assert families.members(document, "dense", list(document["variants"])) == [
        *("dense", "other", "made"),
    ]


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (
            {"from": "dens", **HALF},
            "is made from 'dens', which is no variant; did you mean 'dense'?",
        ),
        ({"from": "x", **HALF}, "is made from itself: x from x"),
        ({"from": None, **HALF}, "there is nothing to build from"),
        ({"prune": {"method": "magnitude", "sparsity": 70}}, "it is 70\n  next: write 0.7"),
        ({"prune": {"method": "magnitude", "sparsity": 0}}, "between 0 and 1; it is 0"),
        ({"prune": {"method": "magnitude", "sparsity": 1.0}}, "between 0 and 1; it is 1"),
        ({"prune": {"method": "magnitude", "sparsity": -0.1}}, "between 0 and 1; it is -0.1"),
        ({"prune": {"method": "magnitude"}}, "give `sparsity:`, a share from 0 to 1"),
        ({"prune": {"method": "magnitud", "sparsity": 0.5}}, "should be 'magnitude'"),
        ({"prune": {"method": "mask"}}, "method mask takes `mask: FILE`"),
        ({"prune": {"method": "mask", "mask": "m", "pattern": "2:4"}}, "takes no pattern"),
        ({"prune": {"method": "mask", "mask": "m", "scope": "global"}}, "takes no scope"),
        ({"prune": {"method": "mask", "mask": "m", "criterion": "l2"}}, "takes no criterion"),
        ({"prune": {"method": "magnitude", "sparsity": 0.5, "mask": "m"}}, "takes no mask"),
        ({"prune": {"method": "magnitude", "pattern": "2:2"}}, "must leave fewer weights"),
        ({"prune": {"method": "magnitude", "pattern": "1x1", "sparsity": 0.5}}, "is no block"),
        ({"prune": {"method": "magnitude", "pattern": 124}}, "prune.pattern"),
        (
            {"prune": {"method": "magnitude", "pattern": "2:4", "sparsity": 0.7}},
            "pattern 2:4 means sparsity 0.5, not 0.7",
        ),
        (
            {"prune": {"method": "magnitude", "pattern": "2:4", "scope": "global"}},
            "write scope: local",
        ),
        (
            {"prune": {"method": "wanda", "sparsity": 0.5, "scope": "global"}},
            "scope must be local",
        ),
        ({"prune": {"method": "wanda", "sparsity": 0.5}}, "`prune:` needs calibration samples"),
        (
            {"prune": {"method": "channels", "sparsity": 0.5, "criterion": "activation"}},
            "`prune:` needs calibration samples",
        ),
        (
            {"prune": {"method": "channels", "sparsity": 0.5, "pattern": "2:4"}},
            "takes no pattern",
        ),
        (
            {"prune": {"method": "magnitude", "sparsity": 0.5, "criterion": "l2"}},
            "takes no criterion",
        ),
        ({"quantize": {"to": "int8"}}, "`quantize:` needs calibration samples"),
        ({"quantize": {"to": "int4"}}, "should be 'int8' or 'fp16'"),
        ({"formats": ["onnx", "onnx"], "quantize": {"to": "fp16"}}, "'onnx' is listed twice"),
    ],
)
def test_wrong_recipe(recipe: dict[str, Any], expected: str) -> None:
    assert expected in refused({"dense": DENSE, "x": {"from": "dense", **recipe}})


def test_calibration_of_the_study_or_of_the_step_is_enough() -> None:
    step = {"from": "dense", "quantize": {"to": "int8", "calibration": CALIBRATION}}
    assert study({"dense": DENSE, "x": step}).variants["x"].built
    whole = {"from": "dense", "quantize": {"to": "int8"}}
    assert study({"dense": DENSE, "x": whole}, calibration=CALIBRATION).variants["x"].built


def test_what_is_quantised_is_neither_pruned_nor_quantised_again() -> None:
    variants = {
        "dense": DENSE,
        "half": {"from": "dense", "quantize": {"to": "fp16"}},
        "x": {"from": "half", "prune": {"method": "magnitude", "sparsity": 0.5}},
    }
    assert "is made from half, which is quantised" in refused(variants)


def test_a_format_that_nothing_can_be_converted_to() -> None:
    variants = {
        "dense": {"model": "d.tflite"},
        "x": {"from": "dense", "formats": ["onnx"]},
    }
    assert "cannot be made as onnx: dense has only tflite" in refused(variants)


def test_a_study_whose_variants_are_not_built_says_how(tmp_path: Path) -> None:
    (tmp_path / "d.onnx").write_bytes(b"x")
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: t\nbaseline: dense\nruntimes: [onnxruntime]\nvariants:\n"
        "  dense: {model: d.onnx}\n"
        "  x: {from: dense, prune: {method: magnitude, sparsity: 0.5}}\n"
    )
    with pytest.raises(InputError) as caught:
        load_study(path)
    assert "has not been built" in str(caught.value)
    assert f"next: edgeproof variants build {path}" in str(caught.value)
    assert load_study(path, built=False).variants["x"].built


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdefg"), min_size=1))
def test_any_parents_are_accepted_or_refused(parents: dict[str, str]) -> None:
    variants: dict[str, Any] = {"dense": DENSE}
    for name, parent in parents.items():
        variants[name] = {"from": parent, "quantize": {"to": "fp16"}, "formats": ["onnx"]}
    try:
        found = study(variants)
    except InputError as error:
        assert "is made from" in str(error) or "which is quantised" in str(error)
        return
    for name in found.variants:
        assert families.root_of(found.document(), name) == "dense"
