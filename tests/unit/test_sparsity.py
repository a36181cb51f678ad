"""Pruning by zeros: patterns hold exactly, the right layers are touched, methods do their job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.variants import mask_file
from harness.variants.networks import open_network
from harness.variants.recipe import Prune
from harness.variants.sparsity import patterns, sparsegpt, sparsify
from harness.variants.sparsity.features import grams
from harness.variants.sparsity.selection import select
from harness.variants.sparsity.weights import View
from tests.unit.seeded_nets import Net, classifier, samples

DIGITS = Path(__file__).parents[2] / "examples/digits/models"
FEEDS = {"": samples(12, 3, 8, 8)}
CALIBRATION = {"file": "samples.npz", "inputs": "x"}


def asked(method: str, **keys: Any) -> Prune:
    return Prune.model_validate({"method": method, "calibration": CALIBRATION, **keys})


def scores_of(draw: Any, shape: tuple[int, ...]) -> Any:
    """Draw scores, many of them equal."""
    seed = draw(st.integers(0, 99))
    return np.random.default_rng(seed).integers(0, draw(st.sampled_from([1, 3, 999])), shape) / 7


@st.composite
def layers(draw: st.DrawFn) -> tuple[View, Any]:
    groups, outputs, kernel, inputs = (draw(st.integers(1, high)) for high in (3, 7, 3, 9))
    view = View((), (), groups, outputs, kernel, inputs)
    return view, scores_of(draw, (groups, outputs, kernel * inputs))


SHARES = st.floats(0.01, 0.99)


@settings(max_examples=80, deadline=None)
@given(st.lists(layers(), min_size=1, max_size=3), SHARES)
def test_exactly_the_share_goes_whatever_is_equal(some: list[Any], share: float) -> None:
    scores = [score for _, score in some]
    masks = patterns.largest(scores, share)
    size = sum(score.size for score in scores)
    assert sum(int((~mask).sum()) for mask in masks) == round(share * size)
    kept = np.concatenate([score[mask] for score, mask in zip(scores, masks, strict=True)])
    gone = np.concatenate([score[~mask] for score, mask in zip(scores, masks, strict=True)])
    assert not len(kept) or not len(gone) or gone.max() <= kept.min()


@settings(max_examples=80, deadline=None)
@given(layers(), SHARES)
def test_rows_lose_the_same_share(layer: Any, share: float) -> None:
    _, scores = layer
    mask = patterns.largest_by_row(scores, np.zeros(scores.shape, bool), share)
    gone = (~mask).sum(axis=-1)
    assert gone.sum() == round(share * scores.size)
    assert np.abs(gone - share * scores.shape[-1]).max() <= 1
    for at in np.ndindex(scores.shape[:2]):
        row, stays = scores[at], mask[at]
        assert stays.all() or not stays.any() or row[~stays].max() <= row[stays].min()


def test_rows_of_zeros_leave_less_to_the_others() -> None:
    scores = 1 + np.arange(40.0).reshape(1, 4, 10)
    zeros = np.zeros(scores.shape, bool)
    zeros[0, 0] = True
    mask = patterns.largest_by_row(scores, zeros, 0.5)
    assert (~mask).sum(axis=2).tolist() == [[10, 3, 4, 3]]
    # More zeros than asked for: nothing else goes.
    assert patterns.largest_by_row(scores, zeros, 0.2)[0, 1:].all()


@settings(max_examples=80, deadline=None)
@given(st.data(), st.integers(2, 8))
def test_n_of_m_holds_in_every_group(data: st.DataObject, m: int) -> None:
    n = data.draw(st.integers(1, m - 1))
    scores = scores_of(data.draw, (2, 3, 4 * m))
    mask = patterns.n_of_m(scores, n, m).reshape(-1, m)
    assert (mask.sum(axis=1) == n).all()
    for group, stays in zip(scores.reshape(-1, m), mask, strict=True):
        assert group[~stays].max() <= group[stays].min()


@settings(max_examples=80, deadline=None)
@given(st.lists(layers(), min_size=1, max_size=3), st.integers(1, 4), st.integers(2, 4), SHARES)
def test_blocks_go_whole(some: list[Any], rows: int, columns: int, share: float) -> None:
    views, scores = [view for view, _ in some], [score for _, score in some]
    zeros = [np.zeros(score.shape, bool) for score in scores]
    masks = patterns.blocks(scores, zeros, views, (rows, columns), share)
    for view, mask in zip(views, masks, strict=True):
        planes = mask.reshape(view.groups, view.outputs, view.kernel, view.inputs)
        for top in range(0, view.outputs, rows):
            for left in range(0, view.inputs, columns):
                block = planes[:, top : top + rows, :, left : left + columns]
                assert (block.all(axis=(1, 3)) | ~block.any(axis=(1, 3))).all()
    gone = sum(int((~mask).sum()) for mask in masks)
    assert abs(gone - share * sum(mask.size for mask in masks)) <= rows * columns / 2


def test_zeros_that_are_there_count_towards_the_share_of_blocks() -> None:
    view = View((8, 8), (0, 1), 1, 8, 1, 8)
    scores = np.arange(64.0).reshape(1, 8, 8)
    zeros = np.zeros(scores.shape, bool)
    zeros[0, :, 6:] = True
    mask = patterns.blocks([scores], [zeros], [view], (4, 1), 0.5)[0]
    assert (~mask | zeros).sum() == 32


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("share", [0.3, 0.77, 0.9])
def test_magnitude_reaches_the_share_and_touches_weights_only(
    tmp_path: Path, scope: str, share: float
) -> None:
    network = classifier().open(tmp_path)
    before = {name: network.constant(name) for name in network.graph.constants}
    done = sparsify(network, asked("magnitude", sparsity=share, scope=scope), None)
    assert done.reached == pytest.approx(share, abs=0.001)
    assert set(done.masks) == {"depth.w", "point.w", "grouped.w", "hidden.w"}
    assert done.left == {"stem": "leave: first", "head": "leave: last"}
    size = sum(mask.size for mask in done.masks.values())
    assert sum(int((~mask).sum()) for mask in done.masks.values()) == round(done.reached * size)
    for name, values in before.items():
        expected = np.where(done.masks.get(name, True), values, 0)
        assert np.array_equal(network.constant(name), expected)
    for one, mask in zip(done.layers, done.masks.values(), strict=True):
        assert one.target == (None if scope == "global" else share)
        if scope == "local":
            assert one.reached == pytest.approx(share, abs=0.5 / mask.size)
    if scope == "global":  # the smallest of all go
        flat = np.concatenate([np.abs(before[name]).ravel() for name in done.masks])
        stays = np.concatenate([mask.ravel() for mask in done.masks.values()])
        assert flat[~stays].max() <= flat[stays].min()


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("keys", [{"sparsity": 0.6}, {"pattern": "2:4"}, {"pattern": "1:8"}])
def test_every_method_reaches_its_share(tmp_path: Path, method: str, keys: Any) -> None:
    network = classifier().open(tmp_path)
    done = sparsify(network, asked(method, scope="local", **keys), FEEDS)
    share = {"2:4": 0.5, "1:8": 0.875}.get(keys.get("pattern"), 0.6)
    assert done.reached == pytest.approx(share, abs=0.001)
    for name, mask in done.masks.items():
        assert np.array_equal(network.constant(name) != 0, mask)
    if "pattern" in keys:
        m = int(keys["pattern"][2:])
        point = done.masks["point.w"][:, :, 0, 0].reshape(32, -1, m)
        assert (point.sum(axis=2) == round(m * (1 - share))).all()
        assert "depth" in done.left and "multiple" in done.left["depth"]
        # Per kernel position, along the inputs.
        inner = done.masks["grouped.w"].transpose(0, 2, 3, 1).reshape(-1, m)
        assert (inner.sum(axis=1) == round(m * (1 - share))).all()


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_blocks_of_a_network(tmp_path: Path, method: str) -> None:
    network = classifier().open(tmp_path)
    done = sparsify(network, asked(method, pattern="4x2", sparsity=0.5), FEEDS)
    assert done.reached == pytest.approx(0.5, abs=0.01)
    point = done.masks["point.w"][:, :, 0, 0].reshape(8, 4, 8, 2)
    assert (point.all(axis=(1, 3)) | ~point.any(axis=(1, 3))).all()
    assert done.left["depth"] == "its 1 x 1 weights are smaller than a block 4x2"


def test_tflite_and_onnx_agree() -> None:
    if not (DIGITS / "dense.tflite").exists():
        pytest.skip("the example's models are not there")
    for keys in ({"sparsity": 0.7}, {"pattern": "2:4"}):
        done = {}
        for format in ("onnx", "tflite"):
            network = open_network(DIGITS / f"dense.{format}", format)
            made = sparsify(network, asked("magnitude", **keys), None)
            targets, _ = select(
                open_network(DIGITS / f"dense.{format}", format), asked("magnitude", **keys)
            )
            done[format] = [target.view.matrix(made.masks[target.weight]) for target in targets]
        for one, other in zip(done["onnx"], done["tflite"], strict=True):
            assert np.array_equal(one, other)


def test_wanda_weighs_weights_by_their_inputs(tmp_path: Path) -> None:
    network = Net(["n", 4]).gemm("a", 4, 4).gemm("one", 4, 2).gemm("b", 2, 2).open(tmp_path)
    network.replace("a.w", np.diag([1.0, 100, 1, 1]))
    network.replace("a.b", np.zeros(4))
    network.replace("one.w", np.array([[1, 1], [0.1, 0.1], [0.9, -0.9], [0.8, 0.8]]))
    done = sparsify(network, asked("wanda", sparsity=0.5), {"": np.eye(4, dtype=np.float32)})
    assert done.masks["one.w"].tolist() == [[True] * 2, [True] * 2, [False] * 2, [False] * 2]


@pytest.mark.parametrize("keys", [{"sparsity": 0.5}, {"sparsity": 0.5, "pattern": "2x2"}])
def test_sparsegpt_makes_up_for_what_it_takes(keys: Any) -> None:
    random = np.random.default_rng(0)
    mixing = random.standard_normal((2, 40, 40)) * np.linspace(0.1, 2, 40)
    features = np.maximum(mixing @ random.standard_normal((2, 40, 900)), 0)
    weights = random.standard_normal((2, 16, 40))
    gram, view = features @ features.transpose(0, 2, 1), View((), (), 2, 16, 1, 40)

    def error(changed: Any) -> float:
        return float(np.linalg.norm((changed - weights) @ features))

    pruned, mask = sparsegpt.compensated(weights, gram, view, asked("sparsegpt", **keys))
    assert not pruned[~mask].any()
    without = np.where(mask, weights, 0)
    assert error(pruned) < 0.85 * error(without)
    # Optimal brain surgeon, one row after the other, cannot beat least squares on its support.
    best = without + _least_squares(gram, (weights - without) @ gram, mask)
    assert error(best) <= error(pruned) < 1.25 * error(best)


def _least_squares(gram: Any, cross: Any, mask: Any) -> Any:
    change = np.zeros_like(cross)
    for group, row in np.ndindex(mask.shape[:2]):
        some = np.flatnonzero(mask[group, row])
        change[group, row, some] = np.linalg.solve(
            gram[group][np.ix_(some, some)], cross[group, row, some]
        )
    return change


def test_sparsegpt_goes_on_from_layers_already_pruned(tmp_path: Path) -> None:
    ask = asked("sparsegpt", sparsity=0.5, leave=["first", "last", "grouped", "hidden"])
    network, dense = classifier().open(tmp_path), classifier().open(tmp_path)
    sparsify(network, ask, FEEDS)
    [_, target] = select(dense, ask)[0]
    for fed, agrees in ((network, True), (dense, False)):
        [gram] = grams(fed, target.layers, FEEDS)
        pruned, _ = sparsegpt.compensated(target.matrix(dense), gram, target.view, ask)
        same = np.allclose(target.view.restore(pruned), network.constant("point.w"), atol=1e-5)
        assert same == agrees


def test_shared_weights_are_pruned_once(tmp_path: Path) -> None:
    net = Net(["n", 6]).gemm("a", 6, 6).gemm("b", 6, 6).relu().gemm("c", 6, 6).gemm("d", 6, 2)
    net.nodes[3].input[1] = "b.w"
    network = net.open(tmp_path)
    for method in ("magnitude", "wanda", "sparsegpt"):
        done = sparsify(network, asked(method, sparsity=0.5), {"": samples(9, 6)})
        assert set(done.masks) == {"b.w"} and done.reached == 0.5
    done_all = select(network, asked("magnitude", sparsity=0.5, leave=["c"]))
    assert done_all[1] == {"b": "leave: c", "c": "leave: c"}


def test_leave_by_kind_and_name(tmp_path: Path) -> None:
    network = classifier().open(tmp_path)
    done = sparsify(network, asked("magnitude", sparsity=0.5, leave=["linear", "point"]), None)
    assert set(done.masks) == {"stem.w", "depth.w", "grouped.w"}
    assert done.left["point"] == "leave: point" and done.left["head"] == "leave: linear"
    with pytest.raises(InputError, match="unknown layer 'pint'; did you mean 'point'"):
        sparsify(network, asked("magnitude", sparsity=0.5, leave=["pint"]), None)
    with pytest.raises(InputError, match="no layer remains to prune"):
        sparsify(
            network,
            asked("magnitude", sparsity=0.5, leave=["linear", "convolution", "depthwise"]),
            None,
        )


def test_missing_samples_and_broken_weights_are_refused(tmp_path: Path) -> None:
    network = classifier().open(tmp_path)
    for ask in (asked("wanda", sparsity=0.5), asked("magnitude", sparsity=0.5, calibrate=True)):
        with pytest.raises(InputError, match=r"needs samples\n  next: give `calibration:"):
            sparsify(network, ask, None)
    spoiled = network.constant("point.w")
    spoiled[3, 3] = np.nan
    network.replace("point.w", spoiled)
    with pytest.raises(InputError, match=r"layer point: .* not finite"):
        sparsify(network, asked("magnitude", sparsity=0.5), None)


def test_what_was_zero_before_is_counted_and_told(tmp_path: Path) -> None:
    network = classifier().open(tmp_path)
    weights = network.constant("point.w")
    weights[:24] = 0
    network.replace("point.w", weights)
    done = sparsify(network, asked("magnitude", sparsity=0.5, scope="local"), None)
    [point] = [one for one in done.layers if one.name == "point"]
    assert point.reached == 0.75 and point.target == 0.5
    assert any("not 0.5" in note for note in done.notes)
    assert not done.masks["point.w"][:24].any()


def test_a_layer_without_weights_is_told(tmp_path: Path) -> None:
    network = classifier().open(tmp_path)
    network.replace("depth.w", 1e-9 * network.constant("depth.w"))
    done = sparsify(network, asked("magnitude", sparsity=0.5), None)
    assert "depth: no weight is left" in done.notes


def test_a_mask_goes_over_to_another_network(tmp_path: Path) -> None:
    first = classifier(seed=0).open(tmp_path)
    done = sparsify(first, asked("magnitude", sparsity=0.6), None)
    path = tmp_path / "m.mask.npz"
    mask_file.write(path, {**done.masks, "hidden.w": np.ones((3, 3), bool)}, None)
    ask = asked("mask", mask=str(path))
    other = classifier(seed=1).open(tmp_path)
    again = sparsify(other, ask, None)
    assert set(again.masks) == {"depth.w", "point.w", "grouped.w"}
    for name, mask in again.masks.items():
        assert np.array_equal(mask, done.masks[name])
        assert np.array_equal(other.constant(name) != 0, mask)
    assert again.left["hidden"] == "its weight is [16, 24], the mask [3, 3]"
    assert again.left["head"] == "there is no mask for its weight 'head.w'"
    assert again.notes == ["mask 'hidden.w' [3, 3] fits no layer that is pruned"]
    spared = sparsify(other, ask.model_copy(update={"leave": ("point",)}), None)
    assert spared.left["point"] == "leave: point"


def test_a_mask_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    network, path = classifier().open(tmp_path), tmp_path / "m.mask.npz"
    for masks, words in [
        ({"nowhere": np.ones(3, bool)}, "no layer has a weight 'nowhere'"),
        ({"point.w": np.ones(3, bool)}, r"its weight is \[32, 16, 1, 1\], the mask \[3\]"),
        ({}, "holds no masks of zeros"),
    ]:
        mask_file.write(path, masks, None)
        with pytest.raises(InputError, match=words):
            sparsify(network, asked("mask", mask=str(path)), None)
