"""Reference networks, built by code with seeded weights: to size hardware before models exist."""

from harness.reference.catalogue import FORMATS, Description, Format, build, describe, names

__all__ = ["FORMATS", "Description", "Format", "build", "describe", "names"]
