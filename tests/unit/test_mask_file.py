"""The mask file: what is written is read again, to the bit, and nothing else is taken for one."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.errors import InputError
from harness.variants import mask_file

NAMES = st.text(min_size=1, max_size=12)
MASKS = st.dictionaries(
    NAMES, arrays.arrays(bool, arrays.array_shapes(min_dims=0, max_dims=4, max_side=5)), max_size=4
)
POSITIONS = st.sets(st.integers(0, 2**40), max_size=9).map(
    lambda some: np.array(sorted(some), np.int64)
)
KEPT = st.dictionaries(
    NAMES, st.dictionaries(st.integers(0, 5), POSITIONS, min_size=1, max_size=2), max_size=3
)


@settings(max_examples=60, deadline=None)
@given(MASKS, KEPT)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, masks: dict[str, Any], kept: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("masks") / "a.mask.npz"
    mask_file.write(path, masks, kept)
    found, stays = mask_file.read(path)
    assert found.keys() == masks.keys()
    for name, mask in masks.items():
        assert found[name].dtype == bool and np.array_equal(found[name], mask)
    assert {name: set(axes) for name, axes in stays.items()} == {
        name: set(axes) for name, axes in kept.items()
    }
    for name, axes in kept.items():
        for axis, positions in axes.items():
            assert np.array_equal(stays[name][axis], positions)


def test_bytes_depend_on_nothing_but_what_is_said(tmp_path: Path) -> None:
    masks = {"b": np.eye(40, dtype=bool), "a": np.ones((3, 5), bool)}
    mask_file.write(tmp_path / "one", masks, {"t": {1: np.array([1, 2]), 0: np.array([3])}})
    time.sleep(2.1)  # a zip file's clock ticks every two seconds
    turned = dict(reversed(masks.items()))
    mask_file.write(tmp_path / "two", turned, {"t": {0: np.array([3]), 1: np.array([1, 2])}})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_one_bit_a_weight_and_less(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    mask_file.write(tmp_path / "half", {"w": random.random((512, 512)) < 0.5}, None)
    mask_file.write(tmp_path / "few", {"w": random.random((512, 512)) < 0.02}, None)
    assert (tmp_path / "half").stat().st_size < 512 * 512 / 8 + 1500
    assert (tmp_path / "few").stat().st_size < 512 * 512 / 8 / 3


def test_numpy_reads_it_too(tmp_path: Path) -> None:
    mask_file.write(
        tmp_path / "a.npz", {"w": np.array([True, False, True])}, {"t": {1: np.array([4])}}
    )
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["mask-0"].tolist() == [0b10100000]
        assert archive["kept-0"].tolist() == [4]
        assert json.loads(archive["index.json"])["schema"] == "edgeproof.mask/1"


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def npy(array: Any) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def good(path: Path) -> Path:
    mask_file.write(path, {"w": np.ones((4, 5), bool)}, {"t": {0: np.array([1, 2])}})
    return path


@pytest.mark.parametrize(
    "name, data",
    [
        ("index.json", b"{"),
        ("index.json", b'{"schema": "edgeproof.mask/2", "masks": [], "kept": []}'),
        ("index.json", None),
        ("mask-0.npy", None),
        ("mask-0.npy", b"no array"),
        ("mask-0.npy", npy(np.zeros(4, np.uint8))),
        ("mask-0.npy", npy(np.zeros(3))),
        ("mask-0.npy", npy(np.zeros(9000, np.uint8))),
        ("kept-0.npy", npy(np.array([2, 1]))),
        ("kept-0.npy", npy(np.array([1, 1]))),
        ("kept-0.npy", npy(np.array([-1, 1]))),
        ("kept-0.npy", npy(np.array([0.5]))),
        ("kept-0.npy", npy(np.array([{}], object))),
    ],
)
def test_a_file_that_says_something_impossible_is_refused(
    tmp_path: Path, name: str, data: bytes | None
) -> None:
    path = good(tmp_path / "a.mask.npz")
    parts: dict[str, bytes | None] = {**members(path), name: data}
    with zipfile.ZipFile(path, "w") as file:
        for member, content in parts.items():
            if content is not None:
                file.writestr(member, content)
    with pytest.raises(InputError, match="no mask file"):
        mask_file.read(path)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    path = good(tmp_path / "a.mask.npz")
    whole = path.read_bytes()
    for data in (
        b"",
        b"something else",
        whole[: len(whole) // 2],
        whole[:60] + b"x" * 20 + whole[80:],
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match="no mask file"):
            mask_file.read(path)
    np.savez(tmp_path / "other.npz", w=np.ones(3))
    with pytest.raises(InputError, match="no mask file"):
        mask_file.read(tmp_path / "other.npz")
    with pytest.raises(InputError, match="No such file"):
        mask_file.read(tmp_path / "nothing.npz")
