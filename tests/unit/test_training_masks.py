"""Masks: exactly as many zeros as asked, that no training brings back and no export loses."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from torch import nn

from harness.errors import InputError
from harness.training import masks
from tests.unit.training_nets import Training, classifier

torch.set_num_threads(1)
SIZES = {"body.0": 36, "hidden": 512, "head": 24}


def zeros(found: masks.Masks) -> dict[str, int]:
    return {name: int((~mask).sum()) for name, mask in found.items()}


def tied() -> nn.Module:
    """A language model's usual tie: what reads words in also writes them out."""
    network = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5))
    network[2].weight = network[0].weight
    return network


@settings(max_examples=60, deadline=None)
@given(st.floats(0.001, 0.999), st.sampled_from([1, 3, 99]), st.integers(0, 99))
def test_exactly_the_share_asked_for_goes(sparsity: float, values: int, seed: int) -> None:
    network = classifier()
    draws = torch.Generator().manual_seed(seed)
    for layer in masks.layers(network).values():  # many weights are equal
        drawn = torch.randint(-values, values + 1, layer.weight.shape, generator=draws)
        layer.weight.data = drawn.float()
    found = masks.magnitude(network, sparsity, "global")
    assert sum(zeros(found).values()) == round(sparsity * sum(SIZES.values()))
    kept = torch.cat([layer.weight[found[name]] for name, layer in masks.layers(network).items()])
    gone = torch.cat([layer.weight[~found[name]] for name, layer in masks.layers(network).items()])
    if len(kept) and len(gone):
        assert gone.abs().max() <= kept.abs().min()
    local = masks.magnitude(network, sparsity, "local")
    assert zeros(local) == {name: round(sparsity * size) for name, size in SIZES.items()}
    again = masks.magnitude(copy.deepcopy(network), sparsity, "global")
    assert all(torch.equal(again[name], mask) for name, mask in found.items())


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.floats(0.01, 0.99), min_size=2, max_size=4), st.sampled_from(["local", "global"])
)
def test_what_is_pruned_counts_and_stays_pruned(shares: list[float], scope: masks.Scope) -> None:
    network, draws = classifier(), torch.Generator().manual_seed(0)
    before = {name: torch.zeros(()) == 0 for name in SIZES}
    for share in sorted(shares):
        masks.apply(network, masks.magnitude(network, share, scope))
        found = masks.of(network)
        assert all(not (mask & ~before[name]).any() for name, mask in found.items())
        asked = [share * size for size in SIZES.values()]
        expected = round(sum(asked)) if scope == "global" else sum(map(round, asked))
        assert sum(zeros(found).values()) == expected
        before = found
        with torch.no_grad():  # any training
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draws))


def test_less_than_is_pruned_already_is_refused() -> None:
    network = classifier()
    masks.apply(network, masks.magnitude(network, 0.5, "global"))
    with pytest.raises(InputError, match=r"more weights are pruned already than sparsity 0\.4"):
        masks.magnitude(network, 0.4, "global")


def test_training_brings_no_weight_back() -> None:
    network, training = classifier(), Training()
    first = training.optimizer(network)
    training.epoch(network, first)  # gathers momentum for weights that will be pruned
    masks.apply(network, masks.magnitude(network, 0.7))
    found = masks.of(network)
    for optimizer in (first, training.optimizer(network)):
        before = network.hidden.weight.clone()
        training.epoch(network, optimizer)
        masks.refresh(network)
        assert not torch.equal(network.hidden.weight, before)
        for name, mask in found.items():
            assert not network.get_submodule(name).weight[~mask].any()
    masks.make_permanent(network)
    for name, mask in found.items():
        assert torch.equal(network.get_submodule(name).weight != 0, mask)


def test_a_refreshed_weight_is_what_the_next_pass_computes_with() -> None:
    network, training = classifier(), Training()
    masks.apply(network, masks.magnitude(network, 0.5))
    training.epoch(network, training.optimizer(network))
    stale = network.head.weight.detach().clone()
    masks.refresh(network)
    fresh = network.head.weight.clone()
    twin = copy.deepcopy(network).eval()
    network.eval()(training.x)
    assert torch.equal(network.head.weight, fresh) and not torch.equal(stale, fresh)
    assert torch.equal(twin(training.x), network(training.x))


def test_permanent_masks_leave_plain_layers_that_compute_the_same() -> None:
    network, x = classifier(), Training().x
    masks.apply(network, masks.magnitude(network, 0.6))
    expected, found = network.eval()(x), masks.of(network)
    masks.make_permanent(network)
    assert torch.equal(network(x), expected)
    assert set(network.state_dict()) == set(classifier().state_dict())
    assert masks.of(network) == {} == masks.sparsity(network)
    for name, mask in found.items():
        gone = network.get_submodule(name).weight.detach()[~mask].numpy()
        assert not gone.any() and not np.signbit(gone).any()


def test_sparsity_is_told_layer_by_layer() -> None:
    network = classifier()
    masks.apply(network, masks.magnitude(network, 0.25, "local", ("head",)))
    assert masks.sparsity(network) == {"body.0": 0.25, "hidden": 0.25}


def test_biases_norms_and_what_is_left_stay() -> None:
    network = classifier()
    masks.apply(network, masks.magnitude(network, 0.9, leave=("body", "head")))
    assert list(masks.of(network)) == ["hidden"]
    assert zeros(masks.of(network)) == {"hidden": round(0.9 * 512)}
    assert list(masks.layers(nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 4)))) == ["1"]


def test_a_mask_from_elsewhere_takes_only_more_away() -> None:
    network = classifier()
    first, second = torch.ones(3, 8, dtype=bool), torch.ones(3, 8, dtype=bool)
    first[0], second[:, 0] = False, False
    masks.apply(network, {"head": first})
    masks.apply(network, {"head": second})
    assert torch.equal(masks.of(network)["head"], first & second)


def test_an_attention_is_trained_as_before() -> None:
    # nn.MultiheadAttention reads the weight of out_proj without calling it: a mask would freeze it.
    attention = nn.MultiheadAttention(4, 2)
    network = nn.ModuleDict({"attention": attention, "head": nn.Linear(4, 2)})
    masks.apply(network, masks.magnitude(network, 0.5))
    assert list(masks.of(network)) == ["head"]
    x = torch.randn(3, 1, 4)
    for _ in range(2):
        network["head"](attention(x, x, x)[0]).sum().backward()
    assert attention.out_proj.weight.grad is not None


def diverged() -> nn.Module:
    network = classifier()
    network.head.weight.data[0, 0] = math.nan
    return network


def parametrised() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)))


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: masks.layers(classifier(), ("haed",)), "did you mean 'head'"),
        (lambda: masks.layers(classifier(), ("body.1",)), "unknown layer 'body.1'"),
        (lambda: masks.layers(nn.Sequential(nn.ReLU())), "no convolution or linear layer"),
        (lambda: masks.layers(classifier(), ("body", "hidden", "head")), "no convolution"),
        (lambda: masks.magnitude(classifier(), 1.0), "a share between 0 and 1"),
        (lambda: masks.magnitude(classifier(), 0.5, "layer"), "unknown scope 'layer'"),
        (lambda: masks.magnitude(diverged(), 0.5), "no numbers"),
        (lambda: masks.magnitude(parametrised(), 0.5), "no plain weight"),
        (lambda: masks.apply(classifier(), {"tail": torch.ones(3, 8)}), "unknown layer 'tail'"),
        (
            lambda: masks.apply(classifier(), {"head": torch.ones(8)}),
            r"\(8,\), its weight \(3, 8\)",
        ),
        (lambda: masks.apply(tied(), masks.magnitude(tied(), 0.5)), "shares its weight"),
    ],
)
def test_what_cannot_be_done_is_refused(ask: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ask()


def test_a_tied_layer_can_be_left() -> None:
    network = tied()
    masks.apply(network, masks.magnitude(network, 0.5, leave=("2",)))
    assert network[2].weight is network[0].weight
    assert zeros(masks.of(network)) == {"1": 8}
