"""What `leave:` of a study means: layers by name or kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.documents import unknown
from harness.errors import InputError
from harness.variants.network import Graph, Layer
from harness.variants.recipe import LEAVABLE


def left(graph: Graph, words: Sequence[str]) -> dict[str, str]:
    """Return the layers that words of `leave:` name, with the reason.

    Raises InputError for a word that is neither a layer nor a kind of layers.
    """
    by_word = _words(graph)
    for word in words:
        if word not in by_word:
            raise InputError(
                unknown("layer", word, by_word),
                where="prune: leave",
                next_step="name a layer of this model, or a kind: " + ", ".join(LEAVABLE),
            )
    return {name: f"leave: {word}" for word in reversed(words) for name in by_word[word]}


def _words(graph: Graph) -> Mapping[str, list[str]]:
    """Return what `leave:` may say, and the layers that it means."""
    layers = graph.layers()
    words: dict[str, list[str]] = {word: [] for word in LEAVABLE}
    for layer in layers:
        words[layer.kind].append(layer.node.name)
    words["first"], words["last"] = _ends(graph, layers)
    return words | {layer.node.name: [layer.node.name] for layer in layers}


def _ends(graph: Graph, layers: Sequence[Layer]) -> tuple[list[str], list[str]]:
    """Return the layers that no other lies before, and those that no other follows."""
    names = [layer.node.name for layer in layers]
    before: dict[str, frozenset[str]] = {}  # tensor -> the last layers on the ways to it
    first: list[str] = []
    followed: set[str] = set()
    for node in graph.nodes:
        met = frozenset[str]().union(*(before.get(tensor, ()) for tensor in node.inputs))
        if node.name in names:
            first += [] if met else [node.name]
            followed |= met
            met = frozenset({node.name})
        before.update(dict.fromkeys(node.outputs, met))
    return first, [name for name in names if name not in followed]
