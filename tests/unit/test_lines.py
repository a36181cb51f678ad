"""Chunks of bytes become lines, however the chunks are cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.connections.lines import split_lines
from harness.connections.tail import KEPT_BYTES, Tail


@given(st.text(), st.lists(st.integers(min_value=0, max_value=60)))
def test_any_cut_of_any_text_gives_its_lines(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", errors="replace")
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in pairwise(places)]
    expected = data.decode().split("\n")
    assert list(split_lines(chunks)) == (expected[:-1] if expected[-1] == "" else expected)


@given(st.lists(st.binary()))
def test_any_bytes_are_some_text(chunks: list[bytes]) -> None:
    lines = list(split_lines(chunks))
    assert len(lines) >= b"".join(chunks).count(b"\n")


def test_a_line_comes_before_the_next_chunk_is_asked_for() -> None:
    asked: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        for chunk in (b"a\nb", b"c\n"):
            asked.append(chunk)
            yield chunk

    assert next(split_lines(chunks())) == "a"
    assert len(asked) == 1


def test_a_tail_keeps_the_end() -> None:
    tail = Tail()
    for _ in range(3):
        tail.add(b"x" * KEPT_BYTES)
    tail.add(b" the end\n")
    said = tail.failure(["make", "it so"], 2)
    assert said.startswith("`make 'it so'` ended with status 2: x") and said.endswith("the end")
    assert len(said) < KEPT_BYTES + 60
