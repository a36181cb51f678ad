"""What a scenario is: one module per scenario, found by its name.

A scenario module says in its docstring how requests come, and has
`flow(scenario, room)`: the Flow of its requests on cores that have room for so many streams,
`order(cells, blocks, seed)`: the agents.schedule.Order of a launch, and
`measure(arms, order, purpose)`: measures one launch of a group, whose cells all have this scenario,
into the records of the arms (agents.launch.Arm); returns whether cells took turns block by block.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, List, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType

    from agents import wire


class Flow(NamedTuple):
    """How requests flow: so many at once, and so many of them make one sample."""

    streams: int
    requests: int


def names() -> List[str]:
    """List the scenarios that can be measured; a name that begins with an underscore is none."""
    found = (module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("-"))


def find(name: str) -> ModuleType:
    """Import the module of a scenario; raises ImportError when there is none."""
    return importlib.import_module("agents.scenarios." + name.replace("-", "_"))


def one_request(scenario: wire.Scenario, room: int) -> Flow:
    """Return the flow of a scenario that sends a request when the last one is answered."""
    return Flow(1, 1)
