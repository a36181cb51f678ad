"""What a backend is: one module per runtime, found by its file name.

A backend module has MODULE (what to import), REQUIRES (what to install for it: requirements as pip
takes them, with markers for platforms and Pythons), FORMATS (which model files it reads, the
preferred first), LACKS (phrases by which the runtime says that it cannot do what a sound model asks
of it: an operator, a newer format, another batch), TARGETS (where and how it can run a model, the
usual one first) and `load(path, cell, streams, trace)`, which returns a Session; so many of them,
the others made by its `another`, may run at the same time with the cell's threads each.
TARGET_REQUIRES may say what a target installs instead, COMPILES which targets may compile a model
for minutes while they load it. A Session may have a method `memory()`, for those fields of
wire.Account that the runtime tells; it is asked last of all, after `executed`.

A study names a runtime by a label, NAME or NAME:TARGET. A target that the device lacks is an
UnsupportedError which says what would bring it: nothing falls back to another one in silence.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Protocol, Sequence, Tuple

if TYPE_CHECKING:
    from types import ModuleType

    from agents import wire


class UnsupportedError(Exception):
    """The runtime cannot do what the cell asks for; the message is the reason."""


class Session(Protocol):
    """One loaded model, ready to run."""

    input_dtypes: Dict[str, str]  # by the names of the cell's inputs, as the runtime wants them
    infer: Callable[[], Any]  # the timed call and nothing else
    # Time of the last inference by the runtime's own clock, ns; null where it has none.
    native_ns: Optional[Callable[[], int]]

    def bind(self, arrays: Dict[str, Any]) -> None:
        """Take the inputs of the next inferences; arrays have the cell's shapes and dtypes."""

    def outputs(self) -> List[Any]:
        """Return the arrays of the last inference, in the model's order."""

    def executed(self) -> wire.Executed:
        """Read back what really ran, threads per stream; called once, after an inference.

        With trace it holds the layers, timed over as many inferences as there were but the first.
        """

    def another(self) -> Session:
        """Open a further stream on the same loaded model; it is bound to nothing yet."""


def names() -> List[str]:
    """List the runtimes that have a backend; a name with an underscore is no runtime."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("_"))


def name_of(label: str) -> str:
    """Name the runtime of a label."""
    return label.partition(":")[0]


def find(label: str) -> ModuleType:
    """Import the backend of a runtime; raises ImportError when there is none."""
    return importlib.import_module("agents.backends." + name_of(label))


def targets(name: str) -> Tuple[str, ...]:
    """List what a label may name after the colon; the first is meant without one."""
    found: Tuple[str, ...] = find(name).TARGETS
    return found


def target_of(label: str) -> str:
    """Name the target that a label means."""
    return label.partition(":")[2] or targets(label)[0]


def by_name(specs: Sequence[wire.TensorSpec], actual: Sequence[str]) -> List[int]:
    """Position of each declared input among the runtime's own; one input needs no equal name.

    Raises UnsupportedError when a name is missing.
    """
    if len(specs) == 1 and len(actual) == 1:
        return [0]
    missing = [spec["name"] for spec in specs if spec["name"] not in actual]
    if missing or len(specs) != len(actual):
        raise UnsupportedError(
            "the runtime names the inputs {}, the file {}".format(
                list(actual), [spec["name"] for spec in specs]
            )
        )
    return [list(actual).index(spec["name"]) for spec in specs]


def dominant(layers: Dict[str, int]) -> Tuple[Optional[str], Optional[str]]:
    """Name the precision most compute layers ran in, and a note when they differ.

    `layers` counts convolutions and matrix products by precision; empty gives null for both.
    """
    if not layers:
        return None, None
    ranked = sorted(layers.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) == 1:
        return ranked[0][0], None
    return ranked[0][0], "layers: " + ", ".join("{1} {0}".format(*item) for item in ranked)
