"""Densified twins in a study and in the plan: who gets one, and that it is no candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.study import Study, parse_study
from reports import families

PRUNE = {"method": "magnitude", "sparsity": 0.9}


def study(twins: Any, **variants: Any) -> Study:
    return parse_study(
        {
            "name": "s",
            "baseline": "dense",
            "variants": {
                "dense": {"model": "dense.onnx"},
                "given": {"model": "given.onnx"},
                "pruned": {"from": "dense", "prune": PRUNE},
                "slim": {"from": "dense", "prune": {"method": "channels", "sparsity": 0.4}},
                "pruned-int8": {"from": "pruned", "quantize": {"to": "int8"}},
                **variants,
            },
            "calibration": {"file": "x.npz", "inputs": "x"},
            "runtimes": ["onnxruntime"],
            "twins": twins,
        },
        Path(),
    )


def test_all_are_those_that_the_study_knows_to_hold_zeros() -> None:
    found = study("all").variants
    twins = [name for name, variant in found.items() if variant.densify]
    assert twins == ["pruned-twin", "pruned-int8-twin"]
    assert found["pruned-twin"].parent == "pruned"
    assert found["pruned-twin"].model == {"onnx": "variants/s/pruned-twin/pruned-twin.onnx"}


def test_all_leaves_out_given_files_whatever_they_were_made_from() -> None:
    """Training exports name their parent; what such a file holds is known to nobody yet."""
    found = study("all", tuned={"model": "tuned.onnx", "from": "pruned"}).variants
    assert "tuned-twin" not in found
    assert "tuned-twin" in study(["tuned"], tuned={"model": "t.onnx", "from": "pruned"}).variants


def test_given_files_are_named() -> None:
    assert study(["given"]).variants["given-twin"].parent == "given"
    assert study([]).variants.keys() == study(["given"]).variants.keys() - {"given-twin"}


def test_a_study_with_twins_is_read_again_as_it_is() -> None:
    first = study("all")
    again = parse_study(first.document(), Path())
    assert again.variants == first.variants
    assert again.twins == first.twins


@pytest.mark.parametrize(
    ("twins", "variants", "what"),
    [
        (["nobody"], {}, "unknown variant 'nobody'"),
        (["pruned", "pruned"], {}, "listed twice"),
        (["pruned-twin"], {"pruned-twin": {"from": "pruned", "densify": True}}, "a twin itself"),
        (["given"], {"given-twin": {"model": "t.onnx"}}, "as another variant is"),
        (
            [],
            {"odd": {"from": "pruned", "densify": True, "quantize": {"to": "int8"}}},
            "its parent in all else",
        ),
    ],
)
def test_twins_that_cannot_be(twins: Any, variants: Any, what: str) -> None:
    with pytest.raises(InputError) as error:
        study(twins, **variants)
    assert what in str(error.value)


def test_all_of_nothing_is_an_error() -> None:
    data = study([]).document()
    data["variants"] = {name: data["variants"][name] for name in ("dense", "given")}
    with pytest.raises(InputError, match="no variant of this study is pruned"):
        parse_study({**data, "twins": "all"}, Path())


def test_a_twin_is_of_its_parents_family_and_makes_none() -> None:
    document = study(["given", "pruned"]).document()
    assert families.baseline_of(document, "given") == "dense"
    assert families.baselines(document) == ["dense"]
    assert families.members(document, "dense", list(document["variants"]))[-2:] == [
        "given-twin",
        "pruned-twin",
    ]
    assert families.twin_of(document, "given") == "given-twin"
    assert families.twin_of(document, "dense") is None
    assert families.is_twin(document, "given-twin")
    assert not families.is_twin(document, "given")


def test_a_file_that_nothing_can_be_built_from_has_no_twin() -> None:
    with pytest.raises(InputError, match="'odd' has no file of onnx, tflite, openvino"):
        study(["odd"], odd={"model": "odd.pt2"})
