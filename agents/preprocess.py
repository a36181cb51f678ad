"""How a stored sample becomes what a model takes: a recipe of steps, the same on every device.

A recipe is a list, applied in its order. Axes count within one sample, without the batch:

    {cast: float32}
    {divide: 255}                       one number, or one for each index of the last axis;
    {subtract: [0.485, 0.456, 0.406]}   `axis: 0` beside them names another axis
    {transpose: [2, 0, 1]}              the axes in their new order
    {center_crop: [224, 224]}           height and width; an odd row or column more goes at the end
    {resize: [256, 256]}                bilinear, with half-pixel centres

Height and width are the two axes that hold no channels (agents/layout.py). Arithmetic is float32
and elementwise: IEEE 754 says what each result is, so the bytes are the same everywhere, but for
numbers below 1.2e-38, which the vector unit of 32-bit Arm takes for 0.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Tuple

from agents import layout
from agents.backends import UnsupportedError

Recipe = Sequence[Dict[str, Any]]


class StepError(Exception):
    """A step that cannot be done; the message is the reason."""


def apply(recipe: Recipe, samples: Any) -> Any:
    """Preprocess an array [samples, ...]; raises UnsupportedError that names the bad step."""
    for number, step in enumerate(recipe, 1):
        try:
            samples = done(step, samples)
        except StepError as error:
            raise UnsupportedError(
                "step {} of the preprocessing, {}: {}".format(number, step, error)
            ) from None
    return samples


def done(step: Any, samples: Any) -> Any:
    """Do one step."""
    named = [name for name in step if name != "axis"] if isinstance(step, dict) else []
    if len(named) != 1 or named[0] not in STEPS:
        raise StepError("a step is one of {}".format(", ".join(STEPS)))
    name = named[0]
    if "axis" not in step:
        return STEPS[name](samples, step[name])
    if name not in ("divide", "subtract"):
        raise StepError("{} takes no axis".format(name))
    return STEPS[name](samples, step[name], step["axis"])


def cast(samples: Any, dtype: Any) -> Any:
    """Make the values float32."""
    if dtype != "float32":
        raise StepError("values can be cast to float32 only")
    return samples.astype("float32")


def divide(samples: Any, divisors: Any, axis: Any = -1) -> Any:
    """Divide by one number, or by one for each index of an axis."""
    values = along(samples, divisors, axis)
    if not values.all():
        raise StepError("cannot divide by 0")
    return samples.astype("float32") / values


def subtract(samples: Any, amounts: Any, axis: Any = -1) -> Any:
    """Subtract one number, or one for each index of an axis."""
    return samples.astype("float32") - along(samples, amounts, axis)


def along(samples: Any, numbers: Any, axis: Any) -> Any:
    """Shape numbers so that they broadcast along an axis of the samples."""
    import numpy as np

    several = isinstance(numbers, (list, tuple))
    given = list(numbers) if several else [numbers]
    if not given or not all(type(one) in (int, float) and np.isfinite(one) for one in given):
        raise StepError("takes a finite number or a list of them")
    values = np.array(given, "float32")
    if not several:
        return values
    rank = samples.ndim - 1
    if type(axis) is not int or not -rank <= axis < rank:
        raise StepError("samples of shape {} have no axis {}".format(shape_of(samples), axis))
    size = samples.shape[1:][axis]
    if size != len(given):
        raise StepError("{} numbers for an axis of {}".format(len(given), size))
    return values.reshape([-1 if at == axis % rank else 1 for at in range(rank)])


def transpose(samples: Any, order: Any) -> Any:
    """Put the axes of each sample into another order."""
    axes = list(range(samples.ndim - 1))
    if not isinstance(order, (list, tuple)) or sorted(map(str, order)) != sorted(map(str, axes)):
        raise StepError("samples of shape {} have the axes {}".format(shape_of(samples), axes))
    return samples.transpose([0] + [axis + 1 for axis in order])


def center_crop(samples: Any, sizes: Any) -> Any:
    """Cut the middle out."""
    for axis, size in image_axes(samples, sizes):
        spare = samples.shape[axis] - size
        if spare < 0:
            raise StepError("samples of shape {} are smaller".format(shape_of(samples)))
        before = (slice(None),) * axis
        samples = samples[(*before, slice(spare // 2, spare // 2 + size))]
    return samples


def resize(samples: Any, sizes: Any) -> Any:
    """Interpolate rows, then columns."""
    for axis, size in image_axes(samples, sizes):
        samples = interpolated(samples.astype("float32"), axis, size)
    return samples


def interpolated(samples: Any, axis: int, size: int) -> Any:
    """Interpolate linearly along an axis; index i is taken from (i + 1/2) * length / size - 1/2.

    That is ONNX's Resize with mode linear and coordinates half_pixel, and PyTorch's interpolate
    with align_corners=False: no antialiasing, edges repeated.
    """
    import numpy as np

    length = samples.shape[axis]
    places = np.clip((np.arange(size) + 0.5) * (length / size) - 0.5, 0, length - 1)
    lower = np.floor(places).astype("int64")
    upper = np.minimum(lower + 1, length - 1)
    shape = [-1 if at == axis else 1 for at in range(samples.ndim)]
    weight = (places - lower).astype("float32").reshape(shape)
    return samples.take(lower, axis) * (1 - weight) + samples.take(upper, axis) * weight


def image_axes(samples: Any, sizes: Any) -> List[Tuple[int, int]]:
    """Pair the axes of height and width, in an array with a batch, with their new sizes."""
    good = isinstance(sizes, (list, tuple)) and len(sizes) == 2
    if not good or not all(type(size) is int and 0 < size <= 1 << 16 for size in sizes):
        raise StepError("takes [height, width], whole numbers from 1 to 65536")
    axes = layout.spatial_axes(samples.shape[1:])
    if len(axes) != 2:
        raise StepError("samples of shape {} are no images".format(shape_of(samples)))
    return [(axis + 1, size) for axis, size in zip(axes, sizes)]


def shape_of(samples: Any) -> List[int]:
    """Shape of one sample."""
    return list(samples.shape[1:])


STEPS: Dict[str, Callable[..., Any]] = {
    "cast": cast,
    "divide": divide,
    "subtract": subtract,
    "transpose": transpose,
    "center_crop": center_crop,
    "resize": resize,
}
