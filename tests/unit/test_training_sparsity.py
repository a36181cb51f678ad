"""Which weight of an exported file is the one that training masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from harness.errors import InputError  # torch may be missing
from harness.training.sparsity import Masked, zeroed
from harness.variants.network import Array, Network
from tests.unit.onnx_nets import build, noise, opened


def network(folder: Path, one: Array, other: Array) -> Network:
    """A depthwise layer of 1x1 kernels, whose rows hold one weight each, and a convolution."""
    nodes = [
        helper.make_node("Conv", ["x", "one"], ["a"], name="depthwise", group=4),
        helper.make_node("Conv", ["a", "other"], ["y"], name="convolution", pads=[1, 1, 1, 1]),
    ]
    return opened(build(nodes, {"one": one, "other": other}), folder)


def masked(weight: Array) -> Masked:
    return Masked(weight, weight != 0)


def half(*shape: int) -> Array:
    weight = noise(*shape)
    weight.reshape(-1)[::2] = 0
    return weight


def test_each_mask_finds_its_own_weight(tmp_path: Path) -> None:
    one, other = half(4, 1, 1, 1), half(4, 4, 3, 3)
    factors = np.array([2, -3, 0, 1], np.float32).reshape(4, 1, 1, 1)  # of a batch norm
    file = network(tmp_path, one, other * factors)
    told, masks = zeroed(file, {"b": masked(other), "a": masked(one)}, 0.5)
    assert [layer.name for layer in told.layers] == ["depthwise", "convolution"]
    assert masks.keys() == {"one", "other"}


@pytest.mark.parametrize("shape", [(4, 1, 1, 1), (4, 4, 3, 3)])
def test_other_values_are_another_weight(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """By shares of its only value, any row of one weight was like any other."""
    file = network(tmp_path, noise(4, 1, 1, 1), noise(4, 4, 3, 3))
    with pytest.raises(InputError, match="masked weight of 'a' is not in the exported file"):
        zeroed(file, {"a": masked(noise(*shape))}, 0.5)


def test_a_weight_of_zeros_is_only_that_of_which_all_went(tmp_path: Path) -> None:
    nothing = np.zeros((4, 4, 3, 3), np.float32)
    file = network(tmp_path, noise(4, 1, 1, 1), nothing)
    told, _ = zeroed(file, {"a": masked(nothing)}, None)
    assert told.reached == 1
    with pytest.raises(InputError, match="masked weight of 'a' is not in the exported file"):
        zeroed(file, {"a": masked(half(4, 4, 3, 3))}, 0.5)


def test_a_weight_is_found_once(tmp_path: Path) -> None:
    """Two layers that were trained alike, of which the file has lost one."""
    other = half(4, 4, 3, 3)
    file = network(tmp_path, noise(4, 1, 1, 1), other)
    with pytest.raises(InputError, match="masked weight of 'b' is not in the exported file"):
        zeroed(file, {"a": masked(other), "b": masked(other.copy())}, 0.5)
