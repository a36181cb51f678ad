"""What a probe is: one module per metric, found by its file name.

A probe module has UNIT and `read(root)`, which returns a JSON value: null where the machine has no
such thing. It never raises for a file that is missing, and needs no more rights than the agent has.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any, Dict, List

if TYPE_CHECKING:
    from types import ModuleType


def names() -> List[str]:
    """List the metrics that have a probe."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(metric: str) -> ModuleType:
    """Import the probe of a metric; raises ImportError when there is none."""
    return importlib.import_module("agents.probes." + metric)


def read_all(root: str = "/") -> Dict[str, Any]:
    """Take the reading of every probe, by name."""
    return {name: find(name).read(root) for name in names()}
