"""Bytes as a device sends them -> lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield each line without its newline as soon as it is complete, and an unended last one.

    Only a newline ends a line: str.splitlines would also cut at characters that JSON may hold.
    """
    rest: list[bytes] = []
    for chunk in chunks:
        head, *lines = chunk.split(b"\n")
        rest.append(head)
        for line in lines:
            yield as_text(b"".join(rest))
            rest = [line]
    if last := b"".join(rest):
        yield as_text(last)


def as_text(data: bytes) -> str:
    """UTF-8, with a mark in place of what is not."""
    return data.decode("utf-8", errors="replace")
