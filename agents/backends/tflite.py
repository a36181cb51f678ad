"""tflite-runtime, LiteRT's frozen predecessor: the only one with wheels for 32-bit Arm."""

from __future__ import annotations

from agents import wire
from agents.backends import litert

MODULE = "tflite_runtime.interpreter"
# The last release was built against numpy 1 and breaks at import under numpy 2.
REQUIRES = ("tflite-runtime", "numpy<2")
FORMATS = litert.FORMATS
LACKS = litert.LACKS


def load(path: str, cell: wire.Cell, trace: bool) -> litert.InterpreterSession:
    """Load a TFLite file; the interpreter tells what runs, so trace is unused."""
    return litert.load_with("tflite_runtime", path, cell)
