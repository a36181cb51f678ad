"""A session without a model or a runtime: what is timed around it is the cost of timing itself."""

from __future__ import annotations


class Session:
    """Answers at once, with nothing; see agents.floor."""

    native_ns = None

    def infer(self) -> None:
        """Do nothing."""
