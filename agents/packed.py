"""Arrays on the wire: float32, compressed, in JSON."""

from __future__ import annotations

import base64
import zlib
from typing import Any

from agents import wire


def packed(array: Any) -> wire.Packed:
    """Pack an array of any shape as float32; `wire.Packed` says how it is read."""
    import numpy as np

    values = np.ascontiguousarray(array, "<f4")
    data = base64.b64encode(zlib.compress(values.tobytes()))
    return {"shape": list(values.shape), "data": data.decode("ascii")}
