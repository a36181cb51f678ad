"""What a model is fed, and how reals enter a quantised input."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import feed, wire
from agents.backends import UnsupportedError


def spec(
    dtype: str = "float32",
    shape: Optional[List[int]] = None,
    scale: Optional[float] = None,
    zero_point: Optional[int] = None,
    name: str = "x",
) -> wire.TensorSpec:
    return {
        "name": name,
        "dtype": dtype,
        "shape": shape or [1, 3],
        "scale": scale,
        "zero_point": zero_point,
    }


def dataset(inputs: Dict[str, str], samples: int, **changes: Any) -> wire.Dataset:
    whole: Any = {
        "artifact": "",
        "inputs": inputs,
        "labels": "y",
        "boxes": None,
        "head": None,
        "masks": None,
        "samples": samples,
        "preprocess": [],
        "scores": None,
    }
    whole.update(changes)
    return whole  # type: ignore[no-any-return]


def cell(inputs: List[wire.TensorSpec], batch: int = 1) -> Any:
    return {"inputs": inputs, "batch": batch}


@given(st.integers(1, 30), st.integers(1, 40))
def test_rows_come_back_whole_and_in_order(chunk: int, count: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "d.npz")
        array = np.arange(count * 6, dtype="float32").reshape(count, 2, 3)
        np.savez_compressed(path, x=array, y=np.arange(count))
        parts = list(feed.rows(path, "x", chunk))
        assert all(len(part) <= chunk for part in parts)
        np.testing.assert_array_equal(np.concatenate(parts), array)


def test_fortran_order_is_refused_rather_than_scrambled(tmp_path: Path) -> None:
    path = str(tmp_path / "d.npz")
    np.savez(path, x=np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    with pytest.raises(UnsupportedError, match="Fortran"):
        list(feed.rows(path, "x", 1))


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20),
    st.floats(1e-3, 1.0),
    st.integers(-128, 127),
)
def test_quantising_is_within_half_a_step_or_clipped(
    values: List[float], scale: float, zero_point: int
) -> None:
    array = np.array([values], "float32")
    quantised = feed.converted(array, spec("int8", scale=scale, zero_point=zero_point), "int8")
    assert quantised.dtype == np.int8
    real = (quantised.astype("float64") - zero_point) * scale
    lowest, highest = (-128 - zero_point) * scale, (127 - zero_point) * scale
    expected = np.clip(array.astype("float64"), lowest, highest)
    assert np.abs(real - expected).max() <= scale * 0.5 + 1e-4


def test_kws_input_is_quantised_by_its_own_scale() -> None:
    # The int8 keyword spotting model of MLPerf Tiny: scale 0.5847029, zero point 83.
    array = np.array([[0.0, 0.5847029, -48.53]], "float32")
    kws = spec("int8", scale=0.5847029, zero_point=83)
    assert feed.converted(array, kws, "int8").tolist() == [[83, 84, 0]]


def test_reals_never_become_plain_integers() -> None:
    with pytest.raises(UnsupportedError, match="names no scale"):
        feed.converted(np.ones((1, 3), "float32"), spec("int32"), "int32")


def test_the_runtimes_own_type_decides() -> None:
    array = np.array([[1.0, 2.0, 3.0]], "float32")
    quantised = spec("int8", scale=0.5, zero_point=0)
    ready = feed.as_runtime_wants({"x": array}, [quantised], {"x": "float32"})
    assert ready["x"].dtype == np.float32  # a runtime that takes reals for a quantised file


def test_a_dataset_feeds_batches_and_the_last_may_be_short(tmp_path: Path) -> None:
    path = str(tmp_path / "d.npz")
    np.savez(path, x=np.arange(15, dtype="float32").reshape(5, 3), y=np.arange(5))
    given_data = dataset({"": "x"}, 5)
    batches = list(feed.sample_batches(path, given_data, cell([spec(shape=[2, 3])], batch=2)))
    assert [len(batch["x"]) for batch in batches] == [2, 2, 1]
    full = feed.padded(batches[-1], 2)["x"]
    np.testing.assert_array_equal(full, np.array([[12, 13, 14]] * 2, "float32"))


def test_several_inputs_of_several_types_take_their_own_keys(tmp_path: Path) -> None:
    path = str(tmp_path / "d.npz")
    np.savez(path, a=np.ones((4, 3), "float32"), b=np.arange(8).reshape(4, 2), y=np.zeros(4))
    given_data = dataset({"first": "a", "second": "b"}, 4)
    inputs = [spec(name="first"), spec("int64", [1, 2], name="second")]
    batch = next(feed.sample_batches(path, given_data, cell(inputs)))
    assert batch["first"].tolist() == [[1, 1, 1]]
    assert batch["second"].tolist() == [[0, 1]]


def test_an_input_without_a_key_is_named() -> None:
    given_data = dataset({"a": "a"}, 1)
    with pytest.raises(UnsupportedError, match="input b"):
        feed.input_keys(given_data, [spec(name="a"), spec(name="b")])


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8", "int32", "int64", "bool"])
def test_random_values_have_type_and_shape(dtype: str) -> None:
    values = feed.random_values(spec(dtype, [2, 5]))
    assert values.dtype == np.dtype(dtype)
    assert values.shape == (2, 5)


def test_random_indices_stay_inside_any_table() -> None:
    assert set(feed.random_values(spec("int64", [100])).tolist()) <= {0, 1}


def test_integers_that_do_not_fit_are_refused_rather_than_wrapped() -> None:
    array = np.array([[1, 300, 3]])
    with pytest.raises(UnsupportedError, match="do not fit int8"):
        feed.converted(array, spec("int8"), "int8")
    assert feed.converted(np.array([[1, 2, 3]]), spec("int8"), "int8").dtype == np.int8


def test_codes_for_a_runtime_that_takes_reals_are_dequantised() -> None:
    codes = np.array([[10, 12, 8]], "int8")
    real = feed.converted(codes, spec("int8", scale=0.5, zero_point=10), "float32")
    assert real.tolist() == [[0.0, 1.0, -1.0]]
