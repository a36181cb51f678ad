"""OpenVINO IR: the bytes of constants in the .bin; the .xml stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.formats import Array
from harness.variants.files import written


def patch(source: Path, target: Path, values: Mapping[str, Array]) -> None:
    """Write the model with other values for some constants, whose keys say where they lie."""
    data = np.fromfile(source.with_suffix(".bin"), np.uint8)
    for key, array in values.items():
        offset, size = map(int, key.split("+"))
        data[offset : offset + size] = np.frombuffer(np.ascontiguousarray(array), np.uint8)
    with written(target, ".bin") as draft:
        data.tofile(draft.with_suffix(".bin"))
        draft.write_bytes(source.read_bytes())
