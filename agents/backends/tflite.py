"""tflite-runtime, LiteRT's frozen predecessor: the only one with wheels for 32-bit Arm."""

from __future__ import annotations

from agents import wire
from agents.backends import litert

MODULE = "tflite_runtime.interpreter"
# The last release was built against numpy 1 and breaks at import under numpy 2.
REQUIRES = ("tflite-runtime", "numpy<2")
FORMATS = litert.FORMATS
LACKS = litert.LACKS
TARGETS = litert.TARGETS


def load(path: str, cell: wire.Cell, streams: int, trace: bool) -> litert.InterpreterSession:
    """Load a TFLite file; the interpreter knows of no other streams, so these are unused."""
    return litert.load_with("tflite_runtime", path, cell, trace)
