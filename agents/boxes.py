"""The head of a detector: the best boxes of each sample, in pixels of the model's input.

Two kinds are read. `yolo`: one output [batch, 4 + classes (+ masks), anchors] of centre, width and
height and the probability of each class, as Ultralytics exports it; a second output of rank 4 holds
the mask prototypes of a segmentation model, one for each of `masks` rows that are left out.
Coordinates are in pixels or, in their TFLite files, shares of the sides. `ssd`: the four outputs of
TFLite_Detection_PostProcess: boxes [batch, n, 4] of ymin, xmin, ymax, xmax as shares of the sides,
classes and scores [batch, n], and how many count [batch].
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from agents import layout, wire
from agents.backends import UnsupportedError

YOLO, SSD = "yolo", "ssd"
# What Ultralytics' own validation uses (conf 0.001, iou 0.7, max_nms 30000); COCO's evaluation
# counts the best 100 boxes of an image (arXiv 1405.0312; maxDets of pycocotools).
LEAST_SCORE, OVERLAP, CANDIDATES, BEST = 0.001, 0.7, 30_000, 100
SHARES_END = 2.0  # centres that all lie below it are shares of the sides, not pixels


class Head:
    """Collects the boxes of one set of samples."""

    def __init__(self, kind: Optional[str], cell: wire.Cell) -> None:
        self.kind = kind
        self.size = input_size(cell)
        self.nonfinite = 0
        self.boxes: List[List[List[float]]] = []
        self.waiting: List[Tuple[List[Any], int]] = []  # batches of an SSD, with their samples
        self.top = self.reading = None

    def add(self, outputs: List[Any], truths: Optional[Any], samples: int) -> None:
        """Take in the outputs for a batch, of which the first `samples` count."""
        self.kind = self.kind or kind_of(outputs)
        if self.kind == YOLO:
            self.take(yolo(outputs, self.size)[:samples], YOLO)
        else:
            self.waiting.append(([part.copy() for part in ssd_parts(outputs)], samples))

    def take(self, found: "Found", kind: str) -> None:
        """Keep the best boxes of each sample."""
        for corners, scores, classes in found:
            sound = all_finite(corners) & all_finite(scores[:, None])
            self.nonfinite += int(not sound.all())
            self.boxes.append(best(corners[sound], scores[sound], classes[sound], kind))

    def answers(self) -> Dict[str, Any]:
        """Return what `wire.Scored` holds of a detector.

        Which output of an SSD has the classes is told by the whole set: by one batch it may not be.
        """
        swapped = are_swapped([parts[1:3] for parts, _ in self.waiting])
        for (corners, one, other, counts), samples in self.waiting:
            pair = (other, one) if swapped else (one, other)
            self.take(ssd(corners, pair, counts, self.size)[:samples], SSD)
        self.waiting = []
        return {"boxes": self.boxes}


Found = List[Tuple[Any, Any, Any]]  # per sample: corners [n, 4] in pixels, scores, classes


def input_size(cell: wire.Cell) -> Tuple[int, int]:
    """Height and width of the model's input; raises UnsupportedError when it takes no images."""
    shape = cell["inputs"][0]["shape"][1:]
    axes = layout.spatial_axes(shape)
    if len(axes) != 2:
        raise UnsupportedError("an input of shape {} is no image: no boxes from it".format(shape))
    return shape[axes[0]], shape[axes[1]]


def kind_of(outputs: List[Any]) -> str:
    """Tell the kind of head by the shapes of its outputs; raises UnsupportedError for others."""
    whole = [output.shape for output in outputs if output.ndim == 3]
    if len(outputs) == 4 and len(whole) == 1 and whole[0][2] == 4:
        return SSD
    if len(whole) == 1 and 4 < whole[0][1] < whole[0][2]:
        return YOLO
    raise UnsupportedError(
        "outputs of shapes {} are neither [batch, 4 + classes, anchors] nor those of "
        "TFLite_Detection_PostProcess: no boxes from them".format(
            [list(output.shape) for output in outputs]
        )
    )


def yolo(outputs: List[Any], size: Tuple[int, int]) -> Found:
    """Read boxes and all class scores above the least; an anchor may give several boxes."""
    import numpy as np

    rows = next(output for output in outputs if output.ndim == 3)
    masks = next((min(o.shape[1], o.shape[3]) for o in outputs if o.ndim == 4), 0)
    found = []
    for sample in rows.astype("float64"):
        scores = sample[4 : len(sample) - masks]
        with np.errstate(invalid="ignore"):
            if not len(scores) or (scores > 1.01).any():
                raise UnsupportedError("class scores beyond 1: no probabilities of a yolo head")
            # A NaN stays, to be counted.
            classes, anchors = np.nonzero(~(scores <= LEAST_SCORE))
        picked = scores[classes, anchors]
        found.append((corners_of(sample[:4], size)[anchors], picked, classes))
    return found


def corners_of(middles: Any, size: Tuple[int, int]) -> Any:
    """Turn centre, width and height [4, anchors] into corners [anchors, 4] in pixels."""
    import numpy as np

    finite = middles[:2][np.isfinite(middles[:2])]
    in_shares = finite.size and finite.max() <= SHARES_END
    height, width = size if in_shares else (1, 1)
    scaled = middles * np.array([[width], [height], [width], [height]])
    return np.concatenate([scaled[:2] - scaled[2:] / 2, scaled[:2] + scaled[2:] / 2]).T


def ssd_parts(outputs: List[Any]) -> List[Any]:
    """Tell the outputs of an SSD: corners, classes and scores (in their order), counts."""
    corners = next(output for output in outputs if output.ndim == 3)
    batch, most = corners.shape[:2]
    rest = [output for output in outputs if output is not corners]
    pair = [output for output in rest if output.ndim == 2 and output.shape[1] == most][:2]
    counts = [output for output in rest if not any(output is one for one in pair)]
    if len(pair) != 2 or len(counts) != 1 or counts[0].size != batch:
        raise UnsupportedError(
            "outputs of shapes {} are not those of TFLite_Detection_PostProcess".format(
                [list(output.shape) for output in outputs]
            )
        )
    return [corners, *pair, *counts]


def ssd(corners: Any, pair: Tuple[Any, Any], counts: Any, size: Tuple[int, int]) -> Found:
    """Read the boxes that the model's own suppression has left; `pair` is classes and scores."""
    classes, scores = pair
    height, width = size
    found = []
    for at, count in enumerate(counts.reshape(-1).astype("int64")):
        pixels = corners[at, :count].astype("float64") * [height, width, height, width]
        numbers = classes[at, :count].astype("int64")
        found.append((pixels[:, [1, 0, 3, 2]], scores[at, :count], numbers))
    return found


def are_swapped(pairs: List[Any]) -> bool:
    """Whether scores come before classes in all batches of a set.

    Classes are whole numbers; if both or neither are, what exceeds 1 is a class; else they are in
    the operator's own order.
    """
    whole = [all(bool((pair[at] == pair[at].round()).all()) for pair in pairs) for at in (0, 1)]
    if whole[0] != whole[1]:
        return whole[1]
    beyond = [any(bool((pair[at] > 1).any()) for pair in pairs) for at in (0, 1)]
    return beyond == [False, True]


def all_finite(rows: Any) -> Any:
    """Tell for each row whether all its numbers are finite."""
    import numpy as np

    return np.isfinite(rows).all(axis=1)


def best(corners: Any, scores: Any, classes: Any, kind: str) -> List[List[float]]:
    """List the best boxes as [class, score, x1, y1, x2, y2]; those of an SSD overlap no more."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")[:CANDIDATES]
    order = order[scores[order] > LEAST_SCORE]
    kept = order[:BEST] if kind == SSD else suppressed(corners, classes, order)
    return [
        [float(classes[at]), round(float(scores[at]), 6)]
        + [round(float(value), 2) for value in corners[at]]
        for at in kept
    ]


def suppressed(corners: Any, classes: Any, order: Any) -> List[int]:
    """Keep, best first, each box that overlaps no better one of its class too much."""
    import numpy as np

    kept: List[int] = []
    while order.size and len(kept) < BEST:
        first, rest = order[0], order[1:]
        kept.append(int(first))
        rivals = np.nonzero(classes[rest] == classes[first])[0]
        beaten = overlaps(corners[first], corners[rest[rivals]]) > OVERLAP
        order = np.delete(rest, rivals[beaten])
    return kept


def overlaps(box: Any, others: Any) -> Any:
    """Intersection over union of one box with others."""
    import numpy as np

    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.maximum(sides, 0).prod(axis=1)
    areas = np.maximum(others[:, 2:] - others[:, :2], 0).prod(axis=1)
    union = np.maximum(box[2:] - box[:2], 0).prod() + areas - common
    return np.where(union > 0, common / np.where(union > 0, union, 1), 0.0)
