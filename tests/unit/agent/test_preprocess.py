"""The preprocessing recipe: what each step computes, what it refuses, and equal bytes anywhere."""

from __future__ import annotations

import hashlib
from typing import Any, List

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import layout, preprocess
from agents.backends import UnsupportedError


def pixels(*shape: int) -> Any:
    """Bytes that no random generator is needed for."""
    return ((np.arange(np.prod(shape)) * 40503) % 251).astype("uint8").reshape(shape)


def test_an_image_becomes_what_a_network_takes() -> None:
    stored = pixels(2, 5, 6, 3)
    recipe = [
        {"cast": "float32"},
        {"divide": 255},
        {"subtract": [0.5, 0.25, 0.125]},
        {"divide": [0.5, 0.25, 2.0]},
        {"center_crop": [3, 4]},
        {"transpose": [2, 0, 1]},
    ]
    real = stored.astype("float32") / np.float32(255) - np.array([0.5, 0.25, 0.125], "float32")
    real = real / np.array([0.5, 0.25, 2.0], "float32")
    expected = real[:, 1:4, 1:5].transpose(0, 3, 1, 2)
    found = preprocess.apply(recipe, stored)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_numbers_along_another_axis() -> None:
    array = np.ones((1, 2, 3), "float32")
    found = preprocess.apply([{"subtract": [1, 2], "axis": 0}], array)
    assert found.tolist() == [[[0, 0, 0], [-1, -1, -1]]]


def test_half_pixel_centres() -> None:
    # Doubled, each new value lies a quarter of the way between two; the edges are repeated.
    row = np.array([[[0.0, 4.0, 8.0], [0.0, 4.0, 8.0], [0.0, 4.0, 8.0], [0.0, 4.0, 8.0]]])
    wide = preprocess.apply([{"resize": [4, 6]}], np.repeat(row, 2, axis=1)[..., None])
    assert wide.shape == (1, 4, 6, 1)
    assert wide[0, 0, :, 0].tolist() == [0, 1, 3, 5, 7, 8]


@given(st.integers(1, 9), st.integers(1, 9))
def test_resizing_to_the_same_size_changes_nothing(height: int, width: int) -> None:
    array = pixels(2, height, width, 1).astype("float32")
    found = preprocess.apply([{"resize": [height, width]}], array)
    np.testing.assert_array_equal(found, array)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(5, 12), st.integers(5, 12))
def test_resizing_stays_within_the_values(h: int, w: int, height: int, width: int) -> None:
    array = pixels(1, height, width).astype("float32")
    found = preprocess.apply([{"resize": [h, w]}], array)
    assert found.shape == (1, h, w)
    assert array.min() <= found.min() + 1e-4
    assert found.max() <= array.max() + 1e-4


def test_a_batch_changes_nothing() -> None:
    stored = pixels(4, 7, 9, 3)
    recipe = [{"resize": [5, 4]}, {"subtract": 7.5}]
    whole = preprocess.apply(recipe, stored)
    alone = [preprocess.apply(recipe, stored[at : at + 1]) for at in range(4)]
    assert whole.tobytes() == b"".join(part.tobytes() for part in alone)


# Found once, on x86-64 by numpy 2 under Python 3.11; every other must find the same.
SHA256 = "ca37591ce5b7f6b38d29c1b04d5593c3a31147336de7837014cf12d477c777f8"


def test_the_bytes_are_the_same_on_every_device() -> None:
    recipe = [
        {"cast": "float32"},
        {"divide": 255},
        {"resize": [13, 11]},
        {"subtract": [0.485, 0.456, 0.406]},
        {"divide": [0.229, 0.224, 0.225]},
        {"transpose": [2, 0, 1]},
    ]
    found = preprocess.apply(recipe, pixels(3, 17, 19, 3))
    data = np.ascontiguousarray(found, "<f4").tobytes()
    assert hashlib.sha256(data).hexdigest() == SHA256


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"blur": 3}, "a step is one of cast, divide"),
        ({"cast": "float32", "divide": 2}, "a step is one of"),
        ("cast", "a step is one of"),
        ({}, "a step is one of"),
        ({"cast": "int8"}, "to float32 only"),
        ({"cast": "float32", "axis": 0}, "takes no axis"),
        ({"divide": 0}, "divide by 0"),
        ({"divide": [1, 0, 1]}, "divide by 0"),
        ({"divide": [1, 2]}, "2 numbers for an axis of 3"),
        ({"subtract": "half"}, "a finite number or a list"),
        ({"subtract": float("nan")}, "a finite number or a list"),
        ({"subtract": True}, "a finite number or a list"),
        ({"subtract": []}, "a finite number or a list"),
        ({"subtract": [1, 2, 3], "axis": 3}, "have no axis 3"),
        ({"transpose": [0, 1]}, "have the axes [0, 1, 2]"),
        ({"transpose": [0, 1, 1]}, "have the axes [0, 1, 2]"),
        ({"transpose": 0}, "have the axes [0, 1, 2]"),
        ({"center_crop": [6, 4]}, "are smaller"),
        ({"center_crop": 4}, "takes [height, width]"),
        ({"resize": [0, 4]}, "takes [height, width]"),
        ({"resize": [4, 4, 3]}, "takes [height, width]"),
    ],
)
def test_a_bad_step_is_named(step: Any, reason: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        preprocess.apply([{"cast": "float32"}, step], pixels(1, 5, 5, 3))
    assert "step 2 of the preprocessing, {}: ".format(step) in str(caught.value)
    assert reason in str(caught.value)


def test_a_vector_has_no_height() -> None:
    with pytest.raises(UnsupportedError, match="are no images"):
        preprocess.apply([{"resize": [2, 2]}], np.ones((1, 8), "float32"))


@pytest.mark.parametrize(
    ("shape", "channels", "places"),
    [
        ([], None, []),
        ([64], 0, []),
        ([49, 10], None, [0, 1]),
        ([128, 3], 1, [0]),
        ([1, 16000], 0, [1]),
        ([224, 224, 3], 2, [0, 1]),
        ([3, 224, 224], 0, [1, 2]),
        ([49, 10, 1], 2, [0, 1]),
        ([1, 49, 10], 0, [1, 2]),
        ([56, 56, 32], 2, [0, 1]),
        ([8, 8, 8], 2, [0, 1]),
        ([16, 32, 32, 3], 3, [0, 1, 2]),
    ],
)
def test_where_channels_are(shape: List[int], channels: Any, places: List[int]) -> None:
    assert layout.channel_axis(shape) == channels
    assert layout.spatial_axes(shape) == places
