"""Whether two model files compute the same: their outputs on the same samples, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.errors import InputError
from harness.variants.network import Array

Kind = Literal["exact", "half", "integer"]

# Shares of how far an output moves with the inputs.
# exact: float32 rounds at 6e-8 of a value; summing in another order through tens of layers has
# been seen to leave up to 1e-5. A wrong layer, padding or axis order is off by 1e-2 and more.
# half: float16 rounds at 5e-4; tens of layers of rounded weights leave up to 1e-2.
TOLERANCE: dict[Kind, float] = {"exact": 1e-4, "half": 2e-2}
# What float32 rounding alone may do to an output that moves little about a large value: its share
# of the largest value.
ROUNDING = 1e-5
# Outputs that move less than this share of their largest value prove nothing: rounding would be
# of the order of the tolerance.
STILL = 1e-3
# integer: a network of 12 classes that is wired wrongly agrees in 0.1 to 0.3, a sound INT8 one in
# 0.95 and more (0.9 with 1,000 close classes). Accuracy itself is measured on the device.
AGREEMENT = 0.9
# integer, other outputs: 8 bits per layer leave a root-mean-square error of 0.02 to 0.1 of the
# movement; an output that is always the mean has 1.
RELATIVE_RMS = 0.2
# integer, outputs that hold unlike things side by side (a detector's boxes in pixels and scores up
# to 1): with one scale for all, the small ones are rounded away, which their mean would not show.
LOST_ROWS = 0.1
# Outputs of whole numbers (the class itself, a map of classes): a tie may fall either way.
EQUAL: dict[Kind, float] = {"exact": 0.99, "half": 0.98, "integer": AGREEMENT}
ADVICE = "name sensitive layers under `leave:`, or give this format's file under `model:`"


class ParityError(InputError):
    """A file that was made does not compute what its source does."""


@dataclass(frozen=True)
class Parity:
    """How close the outputs are: of several outputs the worst figure."""

    kind: Kind
    samples: int
    max_absolute: float
    max_relative: float  # the largest difference as a share of how far the output moves
    relative_rms: float  # root mean square of the differences / that of the movement
    agreement: float | None  # share of samples with the same class; null without classes


def check(reference: Sequence[Array], candidate: Sequence[Array], kind: Kind, where: str) -> Parity:
    """Compare outputs that have the samples in their first axis.

    Raises ParityError when they differ in number, shape or order, beyond the tolerance of `kind`,
    or when the reference's outputs do not move with the inputs, so that nothing would be proved.
    """
    _check_shapes(reference, candidate, where)
    _check_finite(reference, candidate, where)
    if not any(_moves(array) for array in reference):
        raise ParityError(
            "outputs hardly move with the inputs, so parity means nothing",
            where=where,
            next_step="give several different samples that are like the network's real inputs",
        )
    found = [_compare(a, b, kind) for a, b in zip(reference, candidate, strict=True)]
    for at, (parity, array) in enumerate(zip(found, reference, strict=True)):
        if not _within(parity, array):
            raise _beyond(at, parity, reference, candidate, where)
        if kind == "integer":
            _check_rows(at, array, candidate[at], where)
    shares = [parity.agreement for parity in found if parity.agreement is not None]
    return Parity(
        kind=kind,
        samples=len(reference[0]),
        max_absolute=max(parity.max_absolute for parity in found),
        max_relative=max(parity.max_relative for parity in found),
        relative_rms=max(parity.relative_rms for parity in found),
        agreement=min(shares) if shares else None,
    )


def _check_shapes(reference: Sequence[Array], candidate: Sequence[Array], where: str) -> None:
    if len(reference) != len(candidate) or not reference:
        what = f"has {len(candidate)} outputs, its source {len(reference)}"
        raise ParityError(what, where=where, next_step=ADVICE)
    for at, (a, b) in enumerate(zip(reference, candidate, strict=True)):
        if len(a) != len(b):
            what = f"gives {len(b)} results in output {at}, its source {len(a)}"
            raise ParityError(what, where=where, next_step=ADVICE)
        if a.shape != b.shape:
            shapes = [list(array.shape[1:]) for array in (b, a)]
            what = f"gives output {at} in shape {shapes[0]}, its source in {shapes[1]}"
            raise ParityError(what + _order(at, reference, candidate), where=where)


def _check_finite(reference: Sequence[Array], candidate: Sequence[Array], where: str) -> None:
    for arrays, whose in ((reference, "its source's "), (candidate, "")):
        for at, array in enumerate(arrays):
            if not np.isfinite(array).all():
                what = f"{whose}output {at} holds NaN or infinite values"
                raise ParityError(what, where=where, next_step=ADVICE)


def _check_rows(at: int, reference: Array, candidate: Array, where: str) -> None:
    """Refuse an output some of whose channels are as far off as if they were always the mean."""
    for axis in {1, reference.ndim - 1} if reference.ndim > 2 else ():
        others = tuple(other for other in range(reference.ndim) if other != axis)
        moved = np.sqrt(np.mean(np.square(_movement(reference)), axis=others))
        off = np.sqrt(np.mean(np.square(_difference(reference, candidate)), axis=others))
        moving = moved > STILL * np.abs(reference).max(axis=others)
        lost = np.count_nonzero(moving & (off >= moved))
        if lost > LOST_ROWS * np.count_nonzero(moving):
            raise ParityError(
                f"output {at} has lost {lost} of {len(moved)} channels (axis {axis}): they are off "
                "by as much as they move, perhaps for sharing a scale with larger ones",
                where=where,
                next_step="leave the last layers, which join them, in floats: name them under "
                "`leave:`",
            )


def _movement(array: Array) -> Array:
    """Return how far each value is from its mean over the samples."""
    values = np.asarray(array, np.float64)
    moved: Array = values - values.mean(axis=0, keepdims=True)
    return moved


def _difference(reference: Array, candidate: Array) -> Array:
    off: Array = np.asarray(candidate, np.float64) - np.asarray(reference, np.float64)
    return off


def _moves(array: Array) -> bool:
    largest = float(np.abs(array).max(initial=0))
    return bool(np.abs(_movement(array)).max(initial=0) > STILL * largest)


def _compare(reference: Array, candidate: Array, kind: Kind) -> Parity:
    difference = _difference(reference, candidate)
    movement = _movement(reference)
    if not _moves(reference):
        # A constant output (say, the grid of a detector): its own size is the measure.
        movement = np.asarray(reference, np.float64)
    largest = float(np.abs(difference).max(initial=0))
    return Parity(
        kind=kind,
        samples=len(reference),
        max_absolute=largest,
        max_relative=_share(largest, float(np.abs(movement).max(initial=0))),
        relative_rms=_share(_rms(difference), _rms(movement)),
        agreement=_agreement(reference, candidate),
    )


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def _share(part: float, whole: float) -> float:
    """Return part / whole; nothing of nothing is 0."""
    return part / whole if whole else float("inf") if part else 0.0


def _agreement(reference: Array, candidate: Array) -> float | None:
    """Return the share of samples with the same largest class, or of equal whole numbers.

    Null for other outputs.
    """
    if reference.dtype.kind in "iub":
        return float(np.mean(reference == candidate))
    classes = max(reference.shape[1:], default=1)
    if reference[0].size != classes or classes < 2:
        return None
    count = len(reference)
    best = [array.reshape(count, classes).argmax(axis=1) for array in (reference, candidate)]
    return float(np.mean(best[0] == best[1]))


def _within(parity: Parity, reference: Array) -> bool:
    if reference.dtype.kind in "iub":
        return (parity.agreement or 0) >= EQUAL[parity.kind]
    if parity.kind == "integer":
        # Agreement counts for nothing where one class wins always: the values must move too.
        agrees = (parity.agreement or 0) >= AGREEMENT and parity.relative_rms < 1
        return agrees or parity.relative_rms <= RELATIVE_RMS
    rounding = ROUNDING * float(np.abs(reference).max(initial=0))
    return parity.max_relative <= TOLERANCE[parity.kind] or parity.max_absolute <= rounding


def _beyond(
    at: int, parity: Parity, reference: Sequence[Array], candidate: Sequence[Array], where: str
) -> ParityError:
    told = _told(parity)
    if reference[at].dtype.kind in "iub":
        told = f"equals the source's in {parity.agreement:.1%}; {EQUAL[parity.kind]:.0%} are needed"
    what = f"does not compute what its source does: output {at} {told}"
    return ParityError(what + _order(at, reference, candidate), where=where, next_step=ADVICE)


def _told(parity: Parity) -> str:
    if parity.kind != "integer":
        allowed = f"{TOLERANCE[parity.kind]:g} is allowed for {parity.kind} parity"
        return f"is off by up to {parity.max_relative:.2g} of its range; {allowed}"
    told = f"has a relative RMS error of {parity.relative_rms:.2g}; {RELATIVE_RMS:g} is allowed"
    if parity.agreement is None:
        return told
    return f"keeps the class of {parity.agreement:.0%} of samples, not {AGREEMENT:.0%}, and {told}"


def _order(at: int, reference: Sequence[Array], candidate: Sequence[Array]) -> str:
    """Say so when another output of the candidate is the one that was looked for."""
    wanted = reference[at]
    for other, array in enumerate(candidate):
        if other == at or array.shape != wanted.shape or not np.isfinite(array).all():
            continue
        if _moves(wanted) and _rms(_difference(wanted, array)) <= RELATIVE_RMS * _rms(
            _movement(wanted)
        ):
            return f"; its output {other} is the source's {at}: the order differs"
    return ""
