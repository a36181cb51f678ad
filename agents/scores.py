"""The head of a classifier: the best classes of each sample, and five numbers of its probabilities.

Scores are logits or probabilities already, and a model file does not say which. So every sample is
read both ways, ten numbers in all, and the reading is decided when the whole set has been seen:
probabilities when every finite row lies in [-0.02, 1.02] and adds up to 1 within 0.05, else logits.
The room is for outputs of 8 bits; more of it is given to a quantised output whose scale and zero
point are those of TFLite's SOFTMAX (1/256 from the lowest code on: its quantization specification),
for many classes rounded to 0 add up to less. A decision that was made before is kept.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from agents import wire
from agents.backends import UnsupportedError
from agents.packed import packed

TOP = 5
LOGITS, PROBABILITIES = READINGS = ("logits", "probabilities")
BEYOND, OFF_SUM = 0.02, 0.05


class Head:
    """Collects the answers to one set of samples."""

    def __init__(self, reading: Optional[str], outputs: List[wire.OutputSpec]) -> None:
        self.decided = reading
        self.softmax = bool(outputs) and is_softmax(outputs[0])
        self.nonfinite = 0
        self.finite = 0
        self.alike = True  # so far every row looks like probabilities
        self.two_classes = False
        self.tops: Dict[str, List[List[int]]] = {reading: [] for reading in READINGS}
        self.rows: Dict[str, List[Any]] = {reading: [] for reading in READINGS}
        self.positives: Dict[str, List[Any]] = {reading: [] for reading in READINGS}

    def add(self, outputs: List[Any], labels: Optional[Any], samples: int) -> None:
        """Take in the outputs for a batch, of which the first `samples` count."""
        scores = class_scores(outputs[0])[:samples]
        finite = int(all_finite(scores).sum())
        self.finite += finite
        self.nonfinite += samples - finite
        self.alike = self.alike and look_like_probabilities(scores, self.softmax)
        self.two_classes = scores.shape[1] <= 2
        top = best_classes(scores)
        for reading in READINGS if self.decided is None else (self.decided,):
            columns = as_columns(scores, reading)
            chances = probabilities(columns, reading)
            self.tops[reading] += top if columns is scores else best_classes(columns)
            self.rows[reading].append(figures(columns, chances, labels))
            self.positives[reading].append(chances[:, 1] if self.two_classes else chances[:, :0])

    @property
    def reading(self) -> Optional[str]:
        """How the scores are read; null when there is not one finite row to tell from."""
        if self.decided is None and not self.finite:
            return None
        return self.decided or (PROBABILITIES if self.alike else LOGITS)

    @property
    def top(self) -> List[List[int]]:
        """Best classes of each sample, at most five."""
        return self.tops[self.reading or LOGITS]

    def answers(self) -> Dict[str, Any]:
        """Return what `wire.Scored` holds of a classifier."""
        import numpy as np

        reading = self.reading or LOGITS
        positive = packed(np.concatenate(self.positives[reading])) if self.two_classes else None
        return {"classes": packed(np.concatenate(self.rows[reading])), "positive": positive}


def class_scores(output: Any) -> Any:
    """Bring an output to [batch, classes] in float64; raises UnsupportedError for another shape."""
    axes = [size for size in output.shape[1:] if size > 1]
    if output.ndim < 2 or len(axes) > 1 or not output.size:
        raise UnsupportedError(
            "output 0 has shape {}, not [batch, classes]: no accuracy from it".format(
                list(output.shape)
            )
        )
    return output.reshape(output.shape[0], -1).astype("float64")


def is_softmax(output: wire.OutputSpec) -> bool:
    """Whether a quantised output has the scale and zero point that TFLite gives a SOFTMAX."""
    return output["scale"] == 1 / 256 and (output["dtype"], output["zero_point"]) in (
        ("int8", -128),
        ("uint8", 0),
    )


def all_finite(scores: Any) -> Any:
    """Tell for each row whether all its scores are finite."""
    import numpy as np

    return np.isfinite(scores).all(axis=1)


def look_like_probabilities(scores: Any, softmax: bool = False) -> bool:
    """Whether every finite row lies in [0, 1] and, of several classes, adds up to 1; nearly."""
    rows = scores[all_finite(scores)]
    if not rows.size:
        return True
    if rows.min() < -BEYOND or rows.max() > 1 + BEYOND:
        return False
    # Each class may be off by half a step of 1/256.
    room = max(OFF_SUM, rows.shape[1] / 512) if softmax else OFF_SUM
    return bool(rows.shape[1] == 1 or abs(rows.sum(axis=1) - 1).max() <= room)


def as_columns(scores: Any, reading: str) -> Any:
    """Give a model with one output (a sigmoid, or what goes into one) its two classes."""
    import numpy as np

    if scores.shape[1] > 1:
        return scores
    other = np.zeros_like(scores) if reading == LOGITS else 1 - scores
    return np.concatenate([other, scores], axis=1)


def probabilities(scores: Any, reading: str) -> Any:
    """Softmax of logits, or probabilities clipped at 0 and scaled to add up to 1.

    A row that is not finite, or whose probabilities are all 0, comes back as NaN.
    """
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if reading == LOGITS:
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        else:
            shares = np.maximum(scores, 0)
        chances = shares / shares.sum(axis=1, keepdims=True)
    chances[~all_finite(scores) | ~all_finite(chances)] = np.nan
    return chances


def figures(scores: Any, chances: Any, labels: Optional[Any]) -> Any:
    """Return the five numbers of `wire.Scored.classes` for each row."""
    import numpy as np

    each = np.arange(len(scores))
    best = np.argmax(np.where(np.isnan(chances), -np.inf, scores), axis=1)
    right = np.full(len(scores), np.nan)
    if labels is not None:
        known = labels < scores.shape[1]
        right[known] = chances[each[known], labels[known]]
    with np.errstate(invalid="ignore", divide="ignore"):
        entropy = -np.where(chances == 0, 0.0, chances * np.log(chances)).sum(axis=1)
    rows = [best, chances[each, best], right, (chances * chances).sum(axis=1), entropy]
    found = np.stack([np.asarray(row, "float64") for row in rows], axis=1)
    found[~all_finite(chances)] = np.nan
    return found.astype("float32")


def best_classes(scores: Any) -> List[List[int]]:
    """Classes of each row from the best score down, at most five; ties go to the lower class.

    A row with a NaN or infinite score has no best class: it comes back empty.
    """
    import numpy as np

    real = scores.astype("float64")
    order = np.argsort(-real, axis=1, kind="stable")
    return [row[:TOP].tolist() if sound else [] for row, sound in zip(order, all_finite(real))]
