"""The heads: what outputs of classifiers, detectors and segmentation models come to."""

from __future__ import annotations

import base64
import zlib
from typing import Any, List, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agents import boxes, exam, pixels, scores
from agents.backends import UnsupportedError

IMAGE: Any = {"inputs": [{"shape": [1, 40, 60, 3]}], "outputs": [], "batch": 1}


def unpacked(packed: Any) -> Any:
    data = zlib.decompress(base64.b64decode(packed["data"]))
    return np.frombuffer(data, "<f4").reshape(packed["shape"])


def output(dtype: str = "float32", scale: Any = None, zero: Any = None) -> Any:
    return [{"name": "y", "dtype": dtype, "scale": scale, "zero_point": zero}]


def read(rows: Any, labels: Any = None, reading: Optional[str] = None, batch: int = 3) -> Any:
    """A head that has seen all rows, in batches."""
    head = scores.Head(reading, output())
    for start in range(0, len(rows), batch):
        part = np.asarray(rows[start : start + batch], "float32")
        known = None if labels is None else np.asarray(labels[start : start + batch])
        head.add([part], known, len(part))
    return head


def softmax(rows: Any) -> Any:
    powers = np.exp(np.asarray(rows, "float64"))
    return powers / powers.sum(axis=1, keepdims=True)


# --- classes


def test_best_classes_take_the_lower_class_on_a_tie() -> None:
    rows = np.array([[0.1, 0.9, 0.9, 0.2, 0.0, 0.0, 0.3]])
    assert scores.best_classes(rows) == [[1, 2, 6, 3, 0]]


def test_best_classes_of_integers_do_not_overflow() -> None:
    assert scores.best_classes(np.array([[-128, 127, 0]], "int8")) == [[1, 2, 0]]


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), min_size=1, max_size=5))
def test_the_best_class_is_argmax(rows: List[List[float]]) -> None:
    found = scores.best_classes(np.array(rows))
    assert [row[0] for row in found] == np.array(rows).argmax(axis=1).tolist()


def test_a_row_that_is_not_finite_has_no_best_class_and_is_counted() -> None:
    head = read([[np.nan, 1.0], [0.0, 1.0], [np.inf, 0.0]], [1, 1, 1])
    assert head.top == [[], [1, 0], []]
    assert head.nonfinite == 2
    found = unpacked(head.answers()["classes"])
    assert np.isnan(found[[0, 2]]).all()
    assert np.isfinite(found[1]).all()


@given(arrays.arrays("float32", (7, 5), elements=st.floats(-30, 30, width=32)))
def test_five_numbers_of_logits(rows: Any) -> None:
    labels = np.arange(7) % 5
    chances = softmax(rows)
    found = unpacked(read(rows, labels, "logits").answers()["classes"])
    assert found[:, 0].tolist() == rows.argmax(axis=1).tolist()
    np.testing.assert_allclose(found[:, 1], chances.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(found[:, 2], chances[np.arange(7), labels], atol=1e-6)
    np.testing.assert_allclose(found[:, 3], (chances**2).sum(axis=1), atol=1e-6)
    entropy = -(chances * np.log(np.maximum(chances, 1e-300))).sum(axis=1)
    np.testing.assert_allclose(found[:, 4], entropy, atol=1e-5)


@given(arrays.arrays("float32", (6, 4), elements=st.floats(-9, 9, width=32)))
def test_logits_and_their_softmax_come_to_the_same(rows: Any) -> None:
    chances = softmax(rows).astype("float32")
    logits, shares = read(rows, reading="logits"), read(chances)
    assert shares.reading == "probabilities"
    found, expected = (unpacked(head.answers()["classes"]) for head in (shares, logits))
    np.testing.assert_allclose(found[:, 1:2], expected[:, 1:2], atol=1e-5)
    np.testing.assert_allclose(found[:, 3:], expected[:, 3:], atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "reading"),
    [
        ([[0.2, 0.8], [1.0, 0.0]], "probabilities"),
        ([[0.2, 0.8], [0.9, 0.3]], "logits"),  # each within 0..1, but the sum is not 1
        ([[0.2, 0.8]] * 9 + [[2.5, -1.5]], "logits"),  # the sum is 1, but the last is beyond
        ([[0.97, 0.04, -0.01]], "probabilities"),  # an int8 softmax
        ([[np.nan, 0.0], [0.4, 0.6]], "probabilities"),  # what is not finite says nothing
        ([[np.nan, 0.0]], None),
    ],
)
def test_the_whole_set_tells_how_scores_are_read(rows: Any, reading: Optional[str]) -> None:
    assert read(rows, batch=2).reading == reading


def test_the_study_says_how_scores_are_read() -> None:
    rows = [[0.2, 0.8]]
    assert unpacked(read(rows, reading="logits").answers()["classes"])[0, 1] == pytest.approx(
        1 / (1 + np.exp(-0.6))
    )


def test_probabilities_are_scaled_to_add_up() -> None:
    found = unpacked(read([[0.5, 0.47, -0.01]], [1]).answers()["classes"])
    assert found[0, 1:3].tolist() == pytest.approx([0.5 / 0.97, 0.47 / 0.97])


def test_probabilities_that_are_all_zero_are_no_answer() -> None:
    found = unpacked(read([[0.0, 0.0], [0.0, 1.0]], [1, 1], "probabilities").answers()["classes"])
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [1, 1, 1, 1, 0]


def test_a_quantised_softmax_of_many_classes_adds_up_to_less() -> None:
    # 300 classes, all but one rounded to 0: the row adds up to 0.5.
    rows = np.zeros((4, 300), "float32")
    rows[:, 7] = 0.5
    declared = scores.Head(None, output("int8", 1 / 256, -128))
    declared.add([rows], None, 4)
    assert declared.reading == "probabilities"
    assert read(rows).reading == "logits"


@pytest.mark.parametrize(
    ("values", "reading", "expected"),
    [
        ([0.1, 0.9, 0.5], "probabilities", [0.1, 0.9, 0.5]),
        ([-3.0, 2.0, 0.0], "logits", [1 / (1 + np.exp(3)), 1 / (1 + np.exp(-2)), 0.5]),
    ],
)
def test_one_output_is_the_second_of_two_classes(
    values: List[float], reading: str, expected: List[float]
) -> None:
    head = read([[value] for value in values], [0, 1, 1])
    assert head.reading == reading
    assert head.top == [[0, 1], [1, 0], [0, 1]]
    found = head.answers()
    np.testing.assert_allclose(unpacked(found["positive"]), expected, rtol=1e-6)
    right = [1 - expected[0], expected[1], expected[2]]
    np.testing.assert_allclose(unpacked(found["classes"])[:, 2], right, rtol=1e-6)


def test_two_classes_have_a_positive_one_and_three_have_none() -> None:
    assert unpacked(read([[0.0, 1.0]]).answers()["positive"]).tolist() == [1.0]
    assert read([[0.0, 1.0, 0.0]]).answers()["positive"] is None


def test_a_label_beyond_the_classes_has_no_probability() -> None:
    found = unpacked(read([[0.0, 1.0]], [5]).answers()["classes"])
    assert np.isnan(found[0, 2])
    assert np.isfinite(found[0, [0, 1, 3, 4]]).all()


@pytest.mark.parametrize("shape", [[3], [2, 4, 5], [2, 3, 4, 4]])
def test_what_is_no_classifier_is_refused(shape: List[int]) -> None:
    with pytest.raises(UnsupportedError, match=r"not \[batch, classes\]"):
        scores.Head(None, []).add([np.zeros(shape)], None, 2)


def test_codes_become_the_reals_they_stand_for() -> None:
    (spec,) = output("int8", 0.5, -10)
    found = exam.real_values(np.array([[-10, -8, 0]], "int8"), spec)
    assert found.tolist() == [[0.0, 1.0, 5.0]]
    real = np.array([[0.5]], "float32")
    assert exam.real_values(real, spec) is real


# --- boxes


def yolo(*anchors: List[float], count: int = 40, masks: int = 0) -> Any:
    """An output of 2 classes: [1, 6 + masks, anchors]; each anchor is x, y, w, h and its scores."""
    rows = np.zeros((6 + masks, count), "float32")
    rows[0] = 30  # somewhere in the image, with scores of 0
    for at, anchor in enumerate(anchors):
        rows[:6, at] = anchor
    return rows[None]


def detected(outputs: List[Any], kind: Optional[str] = None) -> Any:
    head = boxes.Head(kind, IMAGE)
    head.add(outputs, None, 1)
    return head.answers()["boxes"][0]


def test_yolo_boxes_in_pixels() -> None:
    found = detected([yolo([20, 10, 8, 4, 0.1, 0.9], [50, 30, 4, 4, 0.6, 0.0])])
    assert found == [
        [1, 0.9, 16, 8, 24, 12],
        [0, 0.6, 48, 28, 52, 32],
        [0, 0.1, 16, 8, 24, 12],  # a box counts for every class that it scores in
    ]


def test_yolo_boxes_in_shares_of_the_sides() -> None:
    rows = yolo([0.5, 0.25, 0.1, 0.1, 0.0, 0.9])
    rows[0, 0, 1:] = 0.4
    assert detected([rows]) == [[1, 0.9, 27, 8, 33, 12]]


def test_mask_coefficients_are_no_classes() -> None:
    rows = yolo([20, 10, 8, 4, 0.0, 0.9], count=60, masks=32)
    rows[0, 6:] = 0.7
    for prototypes in (np.zeros((1, 32, 160, 160)), np.zeros((1, 160, 160, 32))):
        assert detected([prototypes, rows]) == [[1, 0.9, 16, 8, 24, 12]]


def test_only_rivals_of_the_same_class_are_suppressed() -> None:
    found = detected(
        [
            yolo(
                [20, 20, 10, 10, 0.9, 0.0],
                [20, 21, 10, 10, 0.8, 0.0],  # overlaps the first by 9/11: away
                [20, 24, 10, 10, 0.7, 0.0],  # by 6/14: stays
                [20, 21, 10, 10, 0.0, 0.6],  # of the other class: stays
            )
        ]
    )
    assert [(row[0], row[1]) for row in found] == [(0, 0.9), (0, 0.7), (1, 0.6)]


def test_the_best_hundred_are_kept() -> None:
    anchors: List[List[float]] = [
        [at % 20 * 3, at // 20 * 3, 2, 2, 0.001 + at / 1000, 0.0] for at in range(300)
    ]
    found = detected([yolo(*anchors, count=300)])
    assert [row[1] for row in found] == pytest.approx([0.3 - at / 1000 for at in range(100)])


@given(st.integers(0, 10_000))
def test_suppression_is_that_of_its_definition(seed: int) -> None:
    random = np.random.RandomState(seed)
    start = random.uniform(0, 20, (30, 2))
    corners = np.concatenate([start, start + random.uniform(1, 15, (30, 2))], axis=1)
    chances, classes = random.permutation(30) / 40 + 0.1, random.randint(0, 2, 30)
    kept: List[int] = []
    for at in np.argsort(-chances):
        clear = [
            classes[at] != classes[other] or overlap(corners[at], corners[other]) <= 0.7
            for other in kept
        ]
        if all(clear):
            kept.append(int(at))
    found = boxes.best(corners, chances, classes, boxes.YOLO)
    assert [row[1] for row in found] == pytest.approx([chances[at] for at in kept])


def overlap(a: Any, b: Any) -> float:
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = wide * high
    return float(common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common))


def ssd_outputs() -> List[Any]:
    corners = np.array([[[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0], [0, 0, 0, 0]]], "float32")
    classes, chances = np.array([[3.0, 0.0, 0.0]]), np.array([[0.75, 0.5, 0.25]])
    return [corners, classes, chances, np.array([2.0])]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3]])
def test_ssd_boxes_in_any_order_of_the_outputs(order: List[int]) -> None:
    whole = ssd_outputs()
    found = detected([whole[at] for at in order])
    assert found == [[3, 0.75, 12, 4, 36, 20], [0, 0.5, 0, 0, 60, 40]]


def ssd_batch(classes: List[float], chances: List[float], *, swapped: bool) -> List[Any]:
    corners = np.array([[[0.0, 0.0, 0.5, 0.5]] * len(classes)], "float32")
    pair = [np.array([classes], "float32"), np.array([chances], "float32")]
    one, other = pair[::-1] if swapped else pair
    return [one, corners, np.array([len(classes)], "float32"), other]


@pytest.mark.parametrize("swapped", [False, True])
def test_the_whole_set_tells_classes_from_scores(swapped: bool) -> None:
    """The second batch has whole numbers only, and its scores must not become classes."""
    head = boxes.Head(None, IMAGE)
    outputs = ssd_batch([1, 2, 3], [0.9, 0.4, 0.2], swapped=swapped)
    head.add(outputs, None, 1)
    for output in outputs:  # a runtime may use its buffers again
        output[:] = -1
    head.add(ssd_batch([1, 2, 3], [0, 0, 0], swapped=swapped), None, 1)
    head.add(ssd_batch([2, 0, 1], [1, 1, 0], swapped=swapped), None, 1)
    told = [[row[:2] for row in sample] for sample in head.answers()["boxes"]]
    assert told == [[[1, 0.9], [2, 0.4], [3, 0.2]], [], [[2, 1.0], [0, 1.0]]]


@pytest.mark.parametrize("swapped", [False, True])
def test_of_whole_numbers_alone_those_beyond_one_are_classes(swapped: bool) -> None:
    found = detected(ssd_batch([7, 2, 3], [1, 1, 0], swapped=swapped))
    assert [row[:2] for row in found] == [[7, 1.0], [2, 1.0]]


def test_a_box_without_a_finite_score_is_dropped_and_counted() -> None:
    head = boxes.Head(None, IMAGE)
    head.add([yolo([20, 10, 8, 4, np.nan, 0.9], [5, 5, 2, 2, 0.5, 0])], None, 1)
    assert [row[1] for row in head.boxes[0]] == [pytest.approx(0.9), 0.5]
    assert head.nonfinite == 1


@pytest.mark.parametrize(
    "shapes", [[[1, 10]], [[1, 300, 6]], [[1, 4, 40]], [[1, 3, 8, 8]], [[1, 9, 40], [1, 9, 40]]]
)
def test_what_is_no_detector_is_refused(shapes: List[List[int]]) -> None:
    with pytest.raises(UnsupportedError, match="no boxes from"):
        detected([np.zeros(shape, "float32") for shape in shapes])


def test_scores_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="class scores beyond 1"):
        detected([yolo([20, 10, 8, 4, 3.5, 0.0])])


def test_boxes_need_an_image() -> None:
    with pytest.raises(UnsupportedError, match="is no image"):
        boxes.Head(None, {**IMAGE, "inputs": [{"shape": [1, 64]}]})


# --- pixels


@pytest.mark.parametrize("layout", ["first", "last", "codes"])
@given(data=st.data())
def test_pixels_are_counted_class_by_class(layout: str, data: st.DataObject) -> None:
    mask = data.draw(arrays.arrays("uint8", (2, 5, 4), elements=st.sampled_from([0, 1, 2, 255])))
    answer = data.draw(arrays.arrays("int64", (2, 5, 4), elements=st.integers(0, 2)))
    shares = np.eye(3, dtype="float32")[answer]
    given_outputs = {"first": np.moveaxis(shares, -1, 1), "last": shares, "codes": answer}
    head = pixels.Head(None)
    head.add([given_outputs[layout]], mask, 2)
    for rows, sure, truth in zip(head.pixels, answer, mask):
        counted = truth != 255
        expected = []
        for number in range(3):
            said, there = (sure == number) & counted, truth == number
            if said.any() or there.any():
                right = int((said & there).sum())
                expected.append([number, right, int(said.sum()) - right, int(there.sum()) - right])
        assert rows == expected


def test_a_pixel_without_a_finite_score_is_missed() -> None:
    shares = np.zeros((1, 2, 1, 2), "float32")
    shares[0, 1, 0, 0] = np.nan
    head = pixels.Head(None)
    head.add([shares], np.zeros((1, 1, 2), "uint8"), 1)
    assert head.pixels == [[[0, 1, 0, 1]]]
    assert head.nonfinite == 1


def test_one_score_a_pixel_is_split_as_the_study_says() -> None:
    shares, mask = np.array([[[[-0.5, 0.3, 0.7]]]]), np.array([[[0, 1, 1]]])
    for reading, expected in (("logits", [[0, 1, 0, 0], [1, 2, 0, 0]]),):
        head = pixels.Head(reading)
        head.add([shares], mask, 1)
        assert head.pixels == [expected]
    head = pixels.Head("probabilities")
    head.add([shares], mask, 1)
    assert head.pixels == [[[0, 1, 1, 0], [1, 1, 0, 1]]]
    with pytest.raises(UnsupportedError, match="scores: logits"):
        pixels.Head(None).add([shares], mask, 1)


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="nothing is resized"):
        pixels.Head(None).add([np.zeros((1, 3, 8, 8))], np.zeros((1, 16, 16), "uint8"), 1)
    with pytest.raises(UnsupportedError, match="no masks"):
        pixels.Head(None).add([np.zeros((1, 3, 8, 8))], None, 1)
