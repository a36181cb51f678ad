"""Labels of runtimes: NAME, or NAME:TARGET where a runtime can run a model in several ways."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from agents import backends
from harness.documents import refused, unknown
from harness.fields import Text


def runtimes() -> list[str]:
    """List the runtimes that have a backend."""
    return backends.names()


def checked(value: str) -> str:
    """Return a label in lower case; raises the error of a study for one that nothing answers to."""
    label = value.lower()
    name, colon, target = label.partition(":")
    if name not in runtimes():
        raise refused(unknown("runtime", name, runtimes()))
    if colon and target not in backends.targets(name):
        known = backends.targets(name)
        raise refused(unknown(f"target of {name}", target, known), f"it has {', '.join(known)}")
    return label


Label = Annotated[Text, AfterValidator(checked)]
