"""Parity: what passes, what fails and how it is told, on outputs made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.variants.network import Array
from harness.variants.parity import Kind, ParityError, check

RANDOM = np.random.default_rng(7)
LOGITS: Array = RANDOM.normal(size=(200, 10)).astype(np.float32)
MAP: Array = RANDOM.normal(size=(20, 4, 4)).astype(np.float32)


def off_by(array: Array, share: float) -> Array:
    """Shift one value by a share of how far the output moves."""
    changed = np.array(array)
    changed.flat[3] += share * np.abs(array - array.mean(axis=0)).max()
    return changed


def test_identical_outputs_differ_by_nothing() -> None:
    found = check([LOGITS], [LOGITS], "exact", "m")
    assert (found.max_absolute, found.max_relative, found.relative_rms) == (0, 0, 0)
    assert found.agreement == 1
    assert found.samples == 200


@pytest.mark.parametrize(
    ("kind", "within", "beyond"), [("exact", 9e-5, 2e-4), ("half", 1.9e-2, 2.5e-2)]
)
def test_the_largest_difference_decides(kind: Kind, within: float, beyond: float) -> None:
    assert check([MAP], [off_by(MAP, within)], kind, "m").agreement is None
    with pytest.raises(ParityError, match="off by up to"):
        check([MAP], [off_by(MAP, beyond)], kind, "m")


def test_rounding_about_a_large_value_is_no_difference() -> None:
    large = 1000 + 5 * MAP
    check([large], [large * (1 + 5e-6)], "exact", "m")
    with pytest.raises(ParityError):
        check([large], [large * (1 + 5e-5)], "exact", "m")


@given(scale=st.floats(1e-6, 1e6), offset=st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_units_do_not_matter(scale: float, offset: float) -> None:
    moved = (MAP.astype(np.float64) + offset) * scale
    check([moved], [off_by(moved, 5e-5)], "exact", "m")
    with pytest.raises(ParityError):
        check([moved], [off_by(moved, 5e-4)], "exact", "m")


@pytest.mark.parametrize("still", [np.ones((50, 10)), np.zeros((50, 10)), LOGITS[:1]])
def test_outputs_that_do_not_move_prove_nothing(still: Array) -> None:
    with pytest.raises(ParityError, match="hardly move"):
        check([still], [still], "exact", "m")


def test_a_constant_output_beside_a_moving_one_is_compared_too() -> None:
    grid = np.tile(np.arange(16.0), (20, 1))
    check([MAP, grid], [MAP, grid], "exact", "m")
    with pytest.raises(ParityError, match="output 1"):
        check([MAP, grid], [MAP, grid + 1], "exact", "m")


def test_integers_may_change_a_tenth_of_the_classes() -> None:
    swapped = np.array(LOGITS)
    swapped[:18] = -swapped[:18]
    found = check([LOGITS], [swapped], "integer", "m")
    assert found.agreement is not None
    assert 0.9 <= found.agreement < 1
    with pytest.raises(ParityError, match="of samples"):
        check([LOGITS], [-LOGITS], "integer", "m")


def test_a_candidate_that_always_says_the_usual_class_is_refused() -> None:
    biased = np.array(LOGITS)
    biased[:190, 0] += 20
    constant = np.tile(biased.mean(axis=0), (len(biased), 1))
    agreement = np.mean(biased.argmax(axis=1) == constant.argmax(axis=1))
    assert agreement > 0.9
    with pytest.raises(ParityError):
        check([biased], [constant], "integer", "m")


def test_integers_are_judged_by_their_error_where_there_are_no_classes() -> None:
    noise = RANDOM.normal(size=MAP.shape)
    assert check([MAP], [MAP + 0.1 * noise], "integer", "m").relative_rms < 0.15
    with pytest.raises(ParityError, match="RMS"):
        check([MAP], [MAP + 0.4 * noise], "integer", "m")


def test_whole_numbers_are_equal_or_not() -> None:
    classes = LOGITS.argmax(axis=1)
    other = (classes + 1) % 10
    few = np.where(np.arange(200) < 1, other, classes)
    assert check([classes], [few], "exact", "m").agreement == 1 - 1 / 200
    with pytest.raises(ParityError, match="equals the source's"):
        check([classes], [np.where(np.arange(200) < 30, other, classes)], "integer", "m")


def test_the_order_of_outputs_is_named() -> None:
    with pytest.raises(ParityError, match="its output 1 is the source's 0: the order differs"):
        check([LOGITS, -LOGITS], [-LOGITS, LOGITS], "exact", "m")
    with pytest.raises(ParityError, match="the order differs"):
        check([LOGITS, MAP], [np.zeros((200, 3)), LOGITS], "exact", "m")


def test_number_and_shape_of_outputs_are_named() -> None:
    with pytest.raises(ParityError, match="has 1 outputs, its source 2"):
        check([LOGITS, MAP], [LOGITS], "exact", "m")
    with pytest.raises(ParityError, match=r"in shape \[16\], its source in \[4, 4\]"):
        check([MAP], [MAP.reshape(20, 16)], "exact", "m")
    with pytest.raises(ParityError, match="gives 10 results"):
        check([MAP], [MAP[:10]], "exact", "m")


def test_nan_is_never_within_a_tolerance() -> None:
    spoiled = np.array(LOGITS)
    spoiled[3, 3] = np.nan
    with pytest.raises(ParityError, match="NaN"):
        check([LOGITS], [spoiled], "integer", "m")
    with pytest.raises(ParityError, match="its source's output 0"):
        check([spoiled], [LOGITS], "integer", "m")


def test_it_is_bad_input_with_place_and_advice() -> None:
    with pytest.raises(InputError) as caught:
        check([LOGITS], [LOGITS + 1], "exact", "model.tflite")
    assert caught.value.where == "model.tflite"
    assert caught.value.next_step


def test_scores_that_share_a_scale_with_pixels_are_missed() -> None:
    """As INT8 files of YOLO have them: the mean error is small, for the boxes' sake."""
    rng = np.random.default_rng(5)
    boxes, scores = rng.uniform(0, 640, (32, 4, 50)), rng.uniform(0, 1, (32, 3, 50))
    reference = np.concatenate([boxes, scores], axis=1)
    scale = 640 / 255
    with pytest.raises(ParityError, match=r"lost 3 of 7 channels \(axis 1\)"):
        check([reference], [np.round(reference / scale) * scale], "integer", "m")
    apart = np.concatenate([np.round(boxes / scale) * scale, np.round(scores * 255) / 255], axis=1)
    assert check([reference], [apart], "integer", "m").relative_rms < 0.01
