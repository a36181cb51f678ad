"""What is coupled in hand-made graphs, and how many units each family loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.variants.channels import Coupling, find
from harness.variants.channels.counts import Room, share_out
from harness.variants.channels.reshapes import aligned
from harness.variants.network import Graph, Node, Product, Window

Shape = tuple[int | None, ...]
WINDOW = Window((2, 3), (2, 3), (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)))


class Sketch:
    """A graph under construction; shapes are given, nothing is computed."""

    def __init__(self, **inputs: Shape) -> None:
        self.shapes: dict[str, Shape] = dict(inputs)
        self.inputs = list(inputs)
        self.nodes: list[Node] = []
        self.constants: set[str] = set()

    def constant(self, name: str, *shape: int) -> str:
        self.shapes[name] = shape
        self.constants.add(name)
        return name

    def node(self, name: str, kind: Any, inputs: Sequence[str], *shapes: Shape, **keys: Any) -> str:
        """Add a node; its outputs are called after it."""
        outputs = [name, *(f"{name}.{i}" for i in range(1, len(shapes)))]
        self.shapes.update(zip(outputs, shapes, strict=True))
        self.nodes.append(Node(name, kind, kind, tuple(inputs), tuple(outputs), **keys))
        return name

    def conv(self, name: str, source: str, channels: int, *, groups: int = 1) -> str:
        batch, fan_in, *rest = self.shapes[source]
        assert fan_in is not None
        inputs = [
            source,
            self.constant(f"{name}.w", channels, fan_in // groups, 1, 1),
            self.constant(f"{name}.b", channels),
        ]
        product = Product(1, 1, 1, 0, groups, window=WINDOW)
        return self.node(name, "product", inputs, (batch, channels, *rest), product=product)

    def linear(self, name: str, source: str, channels: int) -> str:
        *rest, fan_in = self.shapes[source]
        assert fan_in is not None
        axis = len(rest)
        inputs = [source, self.constant(f"{name}.w", fan_in, channels)]
        return self.node(
            name, "product", inputs, (*rest, channels), product=Product(axis, axis, 0, 1)
        )

    def find(self, *outputs: str) -> Coupling:
        graph = Graph(self.nodes, self.inputs, outputs, self.shapes, frozenset(self.constants))
        return find(graph)


def image(channels: int = 3) -> Sketch:
    return Sketch(x=(None, channels, 4, 4))


def families(coupling: Coupling) -> dict[tuple[str, ...], int]:
    return {family.names: len(family.units) for family in coupling.families}


def cuts(coupling: Coupling, family: int, units: Sequence[int]) -> dict[tuple[str, int], list[int]]:
    """Return what goes of every tensor axis with some units of a family."""
    kept = coupling.kept(coupling.families[family].units[list(units)])
    return {
        (tensor, axis): sorted(set(range(len(coupling.positions[tensor][axis]))) - set(stays))
        for tensor, axes in kept.items()
        for axis, stays in _lists(axes).items()
    }


def _lists(axes: Mapping[int, Any]) -> dict[int, list[int]]:
    return {axis: positions.tolist() for axis, positions in axes.items()}


def test_a_channel_goes_with_its_bias_its_norm_and_its_readers() -> None:
    net = image()
    net.conv("a", "x", 4)
    norm = [net.constant(f"n{i}", 4) for i in range(4)]
    net.node("norm", "per_channel", ["a", *norm], (None, 4, 4, 4), axis=1)
    net.conv("b", "norm", 2)
    coupling = net.find("b")
    assert families(coupling) == {("a",): 4}
    expected = {("a", 1), ("a.w", 0), ("a.b", 0), ("norm", 1), ("b.w", 1)}
    expected |= {(name, 0) for name in norm}
    assert cuts(coupling, 0, [2]) == {key: [2] for key in expected}
    assert coupling.fixed == {"b": "they reach an output of the network"}


def test_a_sum_couples_its_terms_and_a_broadcast_gate() -> None:
    net = image()
    net.conv("stem", "x", 4)
    net.conv("branch", "stem", 4)
    net.node("sum", "elementwise", ["branch", "stem"], (None, 4, 4, 4))
    net.node("pool", "reduce", ["sum"], (None, 4, 1, 1), axes=(2, 3))
    net.conv("gate", "pool", 4)
    net.node("scaled", "elementwise", ["gate", "sum", ""], (None, 4, 4, 4))
    net.conv("single", "x", 1)
    net.node("mapped", "elementwise", ["scaled", "single"], (None, 4, 4, 4))
    net.conv("head", "mapped", 2)
    coupling = net.find("head")
    assert families(coupling) == {("stem", "branch", "gate"): 4}
    assert cuts(coupling, 0, [1])["branch.w", 1] == [1]
    assert coupling.fixed["single"] == "it has a single channel"


def test_groups_go_whole() -> None:
    net = image()
    net.conv("a", "x", 6)
    net.conv("b", "a", 9, groups=3)
    net.conv("c", "b", 2)
    coupling = net.find("c")
    assert families(coupling) == {("a", "b"): 3}
    assert coupling.families[0].width == 3
    gone = cuts(coupling, 0, [1])
    assert gone["a.w", 0] == [2, 3]
    assert gone["b.w", 0] == gone["c.w", 1] == [3, 4, 5]
    assert ("b.w", 1) not in gone


def test_groups_with_an_axis_of_their_own() -> None:
    net = image()
    net.conv("a", "x", 6)
    inputs = ["a", net.constant("g.w", 3, 4, 2, 1, 1)]
    product = Product(1, 1, 2, 1, 3, weight_group=0, window=WINDOW)
    net.node("g", "product", inputs, (None, 12, 4, 4), product=product)
    net.conv("c", "g", 2)
    gone = cuts(net.find("c"), 0, [2])
    assert gone["a.w", 0] == [4, 5]
    assert gone["g.w", 0] == [2]
    assert gone["c.w", 1] == [8, 9, 10, 11]
    assert ("g.w", 1) not in gone


def test_a_depthwise_layer_goes_channel_by_channel_with_its_multiples() -> None:
    net = image()
    net.conv("a", "x", 3)
    net.conv("deep", "a", 6, groups=3)
    net.conv("c", "deep", 2)
    gone = cuts(net.find("c"), 0, [0])
    assert gone["a.w", 0] == [0]
    assert gone["deep.w", 0] == gone["deep.b", 0] == gone["c.w", 1] == [0, 1]


def test_groups_in_a_layout_that_does_not_fit_are_left() -> None:
    """A transposed convolution's weight may count the outputs of one group only."""
    net = image()
    net.conv("a", "x", 4)
    inputs = ["a", net.constant("t.w", 4, 4, 2, 2)]
    product = Product(1, 1, 0, 1, 2, window=WINDOW)
    net.node("t", "product", inputs, (None, 8, 8, 8), product=product)
    net.conv("c", "t", 2)
    assert not net.find("c").families


@pytest.mark.parametrize("last", [False, True])
def test_flattening_carries_the_channels(last: bool) -> None:
    net = Sketch(x=(None, 3, 2, 2))
    net.conv("a", "x", 3)
    source, shape = "a", (None, 3, 2, 2)
    if last:
        source, shape = "t", (None, 2, 2, 3)
        net.node("t", "transpose", ["a"], shape, perm=(0, 2, 3, 1))
    net.node("flat", "reshape", [source, net.constant("s", 2)], (None, 12))
    net.linear("c", "flat", 2)
    gone = cuts(net.find("c"), 0, [1])
    assert gone["c.w", 0] == ([1, 4, 7, 10] if last else [4, 5, 6, 7])
    assert ("s", 0) not in gone


def test_concat_split_and_gather_carry_positions_along() -> None:
    net = image()
    net.conv("a", "x", 4)
    net.conv("b", "x", 4)
    net.node("joined", "concat", ["a", "b"], (None, 8, 4, 4), axis=1)
    net.node("parts", "split", ["joined"], (None, 3, 4, 4), (None, 5, 4, 4), axis=1)
    back = np.array([4, 3, 2, 1, 0])
    net.node("turned", "gather", ["parts.1"], (None, 5, 4, 4), axis=1, positions=back)
    net.conv("c", "turned", 2)
    net.conv("d", "parts", 2)
    coupling = net.find("c", "d")
    assert families(coupling) == {("a",): 4, ("b",): 4}
    assert cuts(coupling, 0, [3]) == {
        ("a", 1): [3],
        ("a.w", 0): [3],
        ("a.b", 0): [3],
        ("joined", 1): [3],
        ("parts.1", 1): [0],
        ("turned", 1): [4],
        ("c.w", 1): [4],
    }


def test_a_position_that_is_picked_out_stays() -> None:
    net = image()
    net.conv("a", "x", 4)
    net.node("one", "gather", ["a"], (None, 4, 4), axis=1, positions=np.array([2]))
    net.conv("c", "a", 2)
    assert families(net.find("c", "one")) == {("a",): 3}


def attention(net: Sketch, heads: int = 2, depth: int = 3) -> Coupling:
    """Attend over the axis `tokens` of x [batch, tokens, width]."""
    tokens, width = net.shapes["x"][1], heads * depth
    for name in "qkv":
        net.linear(name, "x", width)
        net.node(f"{name}.apart", "reshape", [name], (None, tokens, heads, depth))
        net.node(
            f"{name}.first",
            "transpose",
            [f"{name}.apart"],
            (None, heads, tokens, depth),
            perm=(0, 2, 1, 3),
        )
    net.node(
        "scores",
        "matmul",
        ["q.first", "k.first"],
        (None, heads, tokens, tokens),
        transposed=(False, True),
    )
    net.node("soft", "mix", ["scores"], (None, heads, tokens, tokens), axes=(3,))
    net.node("mixed", "matmul", ["soft", "v.first"], (None, heads, tokens, depth))
    net.node("back", "transpose", ["mixed"], (None, tokens, heads, depth), perm=(0, 2, 1, 3))
    net.node("joined", "reshape", ["back"], (None, tokens, width))
    net.linear("out", "joined", 5)
    return net.find("out")


def test_attention_heads_go_whole() -> None:
    coupling = attention(Sketch(x=(None, 7, 5)))
    (family,) = coupling.families
    assert (family.names, family.heads, family.width) == (("q", "k", "v"), True, 3)
    gone = cuts(coupling, 0, [1])
    assert gone["q.w", 1] == gone["k.w", 1] == gone["v.w", 1] == gone["out.w", 0] == [3, 4, 5]
    assert gone["scores", 1] == gone["v.apart", 2] == [1]


def test_what_a_product_of_activations_sums_over_stays() -> None:
    net = Sketch(x=(None, 7, 5))
    net.linear("q", "x", 6)
    net.linear("k", "x", 6)
    net.node("scores", "matmul", ["q", "k"], (None, 7, 7), transposed=(False, True))
    coupling = net.find("scores")
    assert not coupling.families
    assert coupling.fixed["q"] == "scores (matmul) sums over them"


def test_shuffled_channels_go_in_the_finest_units() -> None:
    net = image()
    net.conv("a", "x", 8)
    net.node("apart", "reshape", ["a"], (None, 2, 4, 4, 4))
    net.node("crossed", "transpose", ["apart"], (None, 4, 2, 4, 4), perm=(0, 2, 1, 3, 4))
    net.node("again", "reshape", ["crossed"], (None, 8, 4, 4))
    net.conv("c", "again", 2)
    coupling = net.find("c")
    assert families(coupling) == {("a",): 4}
    gone = cuts(coupling, 0, [1])
    assert (gone["a.w", 0], gone["c.w", 1]) == ([1, 5], [2, 3])


def test_a_weight_that_two_layers_use_couples_them() -> None:
    net = image(4)
    net.conv("a", "x", 4)
    net.conv("b", "a", 4)
    net.conv("c", "b", 4)
    net.nodes[2] = Node(
        "c", "product", "product", ("b", "b.w"), ("c",), product=net.nodes[2].product
    )
    net.conv("d", "c", 2)
    coupling = net.find("d")
    assert families(coupling) == {("a", "b", "c"): 4}


def test_an_embedding_table_goes_with_its_width() -> None:
    net = Sketch(x=(None, 7))
    inputs = [net.constant("table", 100, 6), "x"]
    net.node("embedded", "embedding", inputs, (None, 7, 6))
    net.linear("a", "embedded", 6)
    net.node("sum", "elementwise", ["a", "embedded"], (None, 7, 6))
    net.linear("c", "sum", 2)
    coupling = net.find("c")
    assert families(coupling) == {("embedded", "a"): 6}
    assert cuts(coupling, 0, [5])["table", 1] == [5]


def test_an_embedding_alone_stays() -> None:
    net = Sketch(x=(None, 7))
    net.node("embedded", "embedding", [net.constant("table", 100, 6), "x"], (None, 7, 6))
    net.linear("c", "embedded", 2)
    coupling = net.find("c")
    assert not coupling.families
    assert coupling.fixed["embedded"] == "nothing but an embedding makes its channels"


def test_what_mixes_channels_holds_them_and_says_so() -> None:
    net = image()
    net.conv("a", "x", 4)
    net.node("soft", "mix", ["a"], (None, 4, 4, 4), axes=(1,))
    net.conv("b", "soft", 4)
    net.node("strange", "unknown", ["b"], (None, 4))
    coupling = net.find("strange")
    assert not coupling.families
    assert coupling.fixed["a"] == "soft (mix) mixes them"
    assert coupling.fixed["b"] == "strange (unknown): no rule for this operator"
    assert coupling.untouched == {"strange": "no rule for this operator"}


def test_a_tensor_of_unknown_shape_holds_what_it_meets() -> None:
    net = image()
    net.conv("a", "x", 4)
    net.node("dim", "identity", ["a"], (None, 4, 4, 4))
    del net.shapes["dim"]
    coupling = net.find("dim")
    assert coupling.fixed["a"] == "dim (identity): the shape of dim is not known"


def test_channels_of_unknown_number_stay() -> None:
    net = image()
    net.conv("a", "x", 4)
    net.node("cast", "identity", ["a"], (None, None, 4, 4))
    net.conv("b", "a", 2)
    coupling = net.find("b", "cast")
    assert coupling.fixed["a"] == "its size is not known before it runs"


@pytest.mark.parametrize(
    ("before", "after", "runs"),
    [
        ((None, 6), (None, 2, 3), [([1], [1, 2])]),
        ((1, 8, 2, 2), (1, 32), [([1, 2, 3], [1])]),
        ((None, 8, 1, 1), (None, 8), [([1], [1])]),
        ((None, 5, 12), (None, 12), [([2], [1])]),
        ((4, 9, 2), (2, 2, 3, 6), [([0], [0, 1]), ([1, 2], [2, 3])]),
        ((6, None, 4), (2, 3, None, 2, 2), [([0], [0, 1]), ([2], [3, 4])]),
        ((None, 3, 4), (4, None), []),
    ],
)
def test_runs_of_axes(before: Shape, after: Shape, runs: list[Any]) -> None:
    assert aligned(before, after) == runs


def test_shares_are_of_whole_blocks() -> None:
    rooms = [Room(64, 63, 8)] * 5
    assert share_out(rooms, 128) == [32, 24, 24, 24, 24]
    # What is no whole block comes from a family without depthwise layers.
    mixed = [Room(64, 63, 8, depthwise=True)] * 4 + [Room(64, 63, 8)]
    assert [64 - count for count in share_out(mixed, 131)] == [32, 40, 40, 40, 37]


def test_a_family_of_uneven_size_is_made_even() -> None:
    assert Room(20, 19, 8).next(0) == 4
    assert Room(20, 19, 8).next(4) == 12


@given(st.lists(st.tuples(st.integers(1, 200), st.sampled_from([1, 8, 16])), min_size=1), st.data())
def test_shares_add_up_within_their_limits(
    sizes: list[tuple[int, int]], data: st.DataObject
) -> None:
    rooms = [
        Room(size, data.draw(st.integers(0, size - 1), label="limit"), block)
        for size, block in sizes
    ]
    goal = data.draw(st.integers(0, sum(room.limit for room in rooms)), label="goal")
    counts = share_out(rooms, goal)
    assert sum(counts) == goal
    assert all(0 <= count <= room.limit for count, room in zip(counts, rooms, strict=True))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.floats(0.05, 0.9))
def test_one_family_at_most_is_uneven(eights: list[int], share: float) -> None:
    rooms = [Room(8 * size, 8 * size - 8, 8) for size in eights]
    goal = round(share * sum(room.limit for room in rooms))
    counts = share_out(rooms, goal)
    assert sum(count % 8 != 0 for count in counts) <= 1
    assert all(
        abs(count - min(room.size * goal / sum(one.size for one in rooms), room.limit)) <= 16
        for count, room in zip(counts, rooms, strict=True)
        if all(one.limit > one.size * share for one in rooms)
    )
