"""A layer's weights as matrices, one for each group, whatever the file's layout."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from harness.variants.network import Array, Graph, Layer, Product


@dataclass(frozen=True)
class View:
    """How a weight of some shape is seen as matrices [groups, outputs, kernel * inputs].

    Column `k * inputs + i` holds the weights of input i at kernel position k: the inputs at one
    kernel position lie side by side, as the pattern n:m counts them.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]  # the weight's axes: group and outputs, then kernel, then inputs
    groups: int
    outputs: int  # of one group
    kernel: int  # positions in the window
    inputs: int  # of one group

    @property
    def columns(self) -> int:
        """Return the weights of one output."""
        return self.kernel * self.inputs

    def matrix(self, values: Array) -> Array:
        """Turn a weight into [groups, outputs, columns]."""
        ordered = values.reshape(self.shape).transpose(self.order)
        return ordered.reshape(self.groups, self.outputs, self.columns)

    def restore(self, matrix: Array) -> Array:
        """Turn [groups, outputs, columns] back into the weight's own layout."""
        ordered = matrix.reshape([self.shape[axis] for axis in self.order])
        back = [self.order.index(axis) for axis in range(len(self.order))]
        return ordered.transpose(back)


def view(graph: Graph, layer: Layer) -> View | str:
    """See a layer's weight as matrices, or say why that cannot be."""
    shape = tuple(size or 0 for size in graph.shapes[layer.weight])
    if not all(shape):
        return "the shape of its weight is not known"
    product = layer.node.product
    if product is None:  # an embedding: a row of the table is what one index gives
        return View(shape, tuple(range(len(shape))), 1, shape[0], 1, prod(shape[1:]))
    return _product_view(shape, product)


def _product_view(shape: tuple[int, ...], product: Product) -> View | str:
    window = product.window.weight_axes if product.window else ()
    group = () if product.weight_group is None else (product.weight_group,)
    named = (*group, product.weight_out, *window, product.weight_in)
    others = tuple(axis for axis in range(len(shape)) if axis not in named)
    if any(shape[axis] > 1 for axis in others):
        return "its weight has an axis that is neither output, input nor kernel"
    rows = prod(shape[axis] for axis in (*group, product.weight_out))
    if rows % product.groups:
        return f"its {rows} outputs do not divide into {product.groups} groups"
    return View(
        shape=shape,
        order=(*others, *named),
        groups=product.groups,
        outputs=rows // product.groups,
        kernel=prod(shape[axis] for axis in window),
        inputs=shape[product.weight_in],
    )
