"""A session without a model or a runtime: what is timed around it is the cost of timing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

if TYPE_CHECKING:
    from agents import wire


class Session:
    """Answers at once, with nothing; see agents.floor."""

    def __init__(self) -> None:
        self.input_dtypes: Dict[str, str] = {}
        self.native_ns: Optional[Callable[[], int]] = None

    def infer(self) -> None:
        """Do nothing."""

    def bind(self, arrays: Dict[str, Any]) -> None:
        """Take inputs, and leave them."""

    def outputs(self) -> List[Any]:
        """Return no arrays."""
        return []

    def another(self) -> Session:
        """Open a further stream."""
        return Session()

    def executed(self) -> wire.Executed:
        """Tell that nothing ran."""
        return {}
