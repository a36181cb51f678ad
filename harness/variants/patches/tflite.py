"""TFLite: the bytes of buffers, where they lie; sparse tensors are stored densely first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.errors import InputError
from harness.formats import Array, tflite
from harness.variants.files import written
from harness.variants.zeros import dense


def patch(source: Path, target: Path, values: Mapping[str, Array]) -> None:
    """Write the model with other values for some constants."""
    data = bytearray(dense(source.read_bytes()))
    for one in tflite.stored_in(data):
        if one.key in values:
            if not np.may_share_memory(one.values, np.frombuffer(data, np.uint8)):
                what = f"packs several weights into a byte ('{one.name}'), which cannot be refilled"
                raise InputError(what, where=str(source))
            one.values[...] = values[one.key]
    with written(target) as draft:
        draft.write_bytes(data)
