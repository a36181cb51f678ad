"""The head of a segmentation model: of each sample and class, pixels right, claimed and missed."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from agents import scores as classes
from agents.backends import UnsupportedError

IGNORED = 255
NO_CLASS = -1  # of a pixel without a finite score: it is missed, whatever it is


class Head:
    """Counts the pixels of one set of samples."""

    def __init__(self, reading: Optional[str]) -> None:
        self.reading = reading
        self.nonfinite = 0
        self.pixels: List[List[List[int]]] = []
        self.top = None

    def add(self, outputs: List[Any], masks: Optional[Any], samples: int) -> None:
        """Take in the outputs for a batch, of which the first `samples` count."""
        if masks is None:
            raise UnsupportedError("the set has no masks to compare with")
        found = predicted(outputs[0], masks.shape[1:], self.reading)[:samples]
        for answer, mask in zip(found, masks):
            self.nonfinite += int((answer == NO_CLASS).any())
            self.pixels.append(counts(answer, mask))

    def answers(self) -> Dict[str, Any]:
        """Return what `wire.Scored` holds of a segmentation model."""
        return {"pixels": self.pixels}


def predicted(output: Any, size: Any, reading: Optional[str]) -> Any:
    """Find the class of every pixel, [batch, height, width]; `size` is that of the masks.

    The output is [batch, classes, height, width], [batch, height, width, classes], or the classes
    themselves. It is never resized: that would be a part of the model which is not measured.
    """
    import numpy as np

    size = tuple(size)
    if output.ndim == 3 and output.shape[1:] == size:
        return codes(output)
    if output.ndim == 4 and output.shape[2:] == size:
        output = np.moveaxis(output, 1, -1)
    if output.ndim != 4 or output.shape[1:3] != size:
        raise UnsupportedError(
            "output 0 has shape {}, the masks {}: nothing is resized".format(
                list(output.shape), list(size)
            )
        )
    if output.shape[3] == 1:
        return codes(output[..., 0]) if output.dtype.kind in "iub" else halves(output, reading)
    finite = np.isfinite(output).all(axis=3) if output.dtype.kind == "f" else True
    return np.where(finite, output.argmax(axis=3), NO_CLASS)


def codes(output: Any) -> Any:
    """Take an output of classes; reals must be whole."""
    import numpy as np

    if output.dtype.kind != "f":
        return output.astype("int64")
    finite = np.isfinite(output)
    if not (output[finite] == np.round(output[finite])).all():
        raise UnsupportedError("output 0 holds one score for each pixel, and they are no classes")
    return np.where(finite, output, NO_CLASS).astype("int64")


def halves(output: Any, reading: Optional[str]) -> Any:
    """Split the pixels of one score each into two classes, at a probability of a half."""
    import numpy as np

    if reading is None:
        raise UnsupportedError(
            "output 0 holds one score for each pixel; say what it is: "
            "`scores: logits` or `scores: probabilities` in the study's dataset"
        )
    limit = 0.0 if reading == classes.LOGITS else 0.5
    score = output[..., 0]
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(score), (score > limit).astype("int64"), NO_CLASS)


def counts(answer: Any, mask: Any) -> List[List[int]]:
    """Count [class, right, wrongly claimed, missed] of each class in the answer or the mask."""
    import numpy as np

    counted = mask != IGNORED
    answer, truth = answer[counted], mask[counted].astype("int64")
    rows = []
    for number in np.union1d(answer, truth):
        claimed, there = answer == number, truth == number
        if number != NO_CLASS:
            right = int((claimed & there).sum())
            rows.append([int(number), right, int(claimed.sum()) - right, int(there.sum()) - right])
    return rows
