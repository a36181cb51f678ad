"""The sets of samples that one loaded model answers: the dataset, or what is made of it."""

from __future__ import annotations

import hashlib
import os
from typing import Any, Dict, Iterator, List, Optional

from agents import boxes, feed, pixels, scores, wire
from agents.corruptions import Corruption


class Exam:
    """Runs sets through a session. What its first is read as, all are."""

    def __init__(self, session: Any, cell: wire.Cell) -> None:
        self.session = session
        self.cell = cell
        self.dataset: Optional[wire.Dataset] = None
        self.reading: Optional[str] = None

    def answer(self, request: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Run one set: `dataset` at `dataset_path`, its first `samples`, under a `corruption`.

        Its outputs are read as those of the dataset `read_as`, which for the first set of all may
        leave open how scores are read. Null when the file `stop` appears between two batches.
        """
        dataset, path = request["dataset"], request["dataset_path"]
        if self.dataset is None:
            self.dataset, self.reading = request["read_as"], request["read_as"]["scores"]
        corruption = Corruption(*request["corruption"]) if request["corruption"] else None
        batches = feed.sample_batches(path, dataset, self.cell, request["samples"], corruption)
        head, fingerprint = self.head(), Fingerprint()
        for arrays, truths in zip(batches, self.truths(path, dataset)):
            if os.path.exists(request["stop"]):
                return None
            count = len(next(iter(arrays.values())))
            fingerprint.add(arrays)
            head.add(self.outputs(arrays), None if truths is None else truths[:count], count)
        self.reading = head.reading
        return {
            "answers": head.answers(),
            "top": head.top,
            "nonfinite": head.nonfinite,
            "scores": head.reading,
            "inputs_sha256": fingerprint.hex(),
        }

    def head(self) -> Any:
        """Make the head that reads the outputs, by what the first set has to compare with."""
        assert self.dataset is not None
        if self.dataset["boxes"]:
            return boxes.Head(self.dataset["head"], self.cell)
        if self.dataset["masks"]:
            return pixels.Head(self.reading)
        return scores.Head(self.reading, self.cell["outputs"])

    def truths(self, path: str, dataset: wire.Dataset) -> Iterator[Any]:
        """Yield labels or masks batch by batch; null for a set without. Boxes are the host's."""
        key = dataset["labels"] or dataset["masks"]
        if key:
            yield from feed.rows(path, key, self.cell["batch"])
        while not key:
            yield None

    def outputs(self, arrays: Dict[str, Any]) -> List[Any]:
        """Run one batch; a short last one is padded. Quantised outputs come back as reals."""
        full = feed.padded(arrays, self.cell["batch"])
        self.session.bind(
            feed.as_runtime_wants(full, self.cell["inputs"], self.session.input_dtypes)
        )
        self.session.infer()
        found: List[Any] = self.session.outputs()
        if len(found) != len(self.cell["outputs"]):  # not as the file declares them
            return found
        return [real_values(output, spec) for output, spec in zip(found, self.cell["outputs"])]


def real_values(output: Any, spec: wire.OutputSpec) -> Any:
    """Undo the quantisation of an output that the runtime gives in codes."""
    if spec["scale"] is None or output.dtype.kind not in "iu":
        return output
    return (output.astype("float32") - float(spec["zero_point"] or 0)) * spec["scale"]


class Fingerprint:
    """The sha256 of samples as preprocessed: float32, little-endian, sample after sample.

    Of several inputs each has its own, and theirs, sorted, have one.
    """

    def __init__(self) -> None:
        self.sums: Dict[str, Any] = {}

    def add(self, arrays: Dict[str, Any]) -> None:
        """Take in one batch by input."""
        import numpy as np

        for name, array in arrays.items():
            data = np.ascontiguousarray(array, "<f4").tobytes()
            self.sums.setdefault(name, hashlib.sha256()).update(data)

    def hex(self) -> str:
        """Return the sum of all."""
        each = sorted(one.hexdigest() for one in self.sums.values())
        return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()
