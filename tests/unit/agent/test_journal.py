"""The journal survives whatever a power cut leaves behind."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Dict, List

from hypothesis import given
from hypothesis import strategies as st

from agents import follow, supervisor
from agents.journal import NAME, Journal, read

EVENTS = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text()), max_size=6)


@given(EVENTS, st.data())
def test_a_cut_anywhere_loses_only_the_torn_line(events: List[Dict[str, Any]], data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(folder)
        for event in events:
            journal.append(event)
        journal.file.close()
        path = os.path.join(folder, NAME)
        whole = open(path, "rb").read()
        cut = data.draw(st.integers(0, len(whole)))
        with open(path, "wb") as file:
            file.write(whole[:cut])
        kept = whole[:cut].count(b"\n")
        again = Journal(folder)
        assert again.events == events[:kept]
        again.append({"after": "the cut"})
        again.file.close()
        assert read(path)[1] == [*events[:kept], {"after": "the cut"}]


def test_blocks_that_the_disk_never_wrote_end_the_journal(tmp_path: Any) -> None:
    path = tmp_path / NAME
    path.write_bytes(b'{"a":1}\n\0\0\0\0\0\n{"b":2}\n')
    assert read(str(path)) == (8, [{"a": 1}])


def test_following_returns_only_whole_lines(tmp_path: Any) -> None:
    path = tmp_path / NAME
    path.write_bytes(b'{"a":1}\n{"b":')
    assert follow.whole_lines(str(path), 0) == b'{"a":1}\n'
    assert follow.whole_lines(str(path), 8) == b""
    with path.open("ab") as file:
        file.write(b"2}\n")
    assert json.loads(follow.whole_lines(str(path), 8)) == {"b": 2}


def test_no_journal_is_an_empty_one(tmp_path: Any) -> None:
    assert read(str(tmp_path / NAME)) == (0, [])
    assert follow.whole_lines(str(tmp_path / NAME), 0) == b""


def test_an_empty_identity_left_by_a_power_cut_is_nobody(tmp_path: Any) -> None:
    folder = str(tmp_path)
    assert not supervisor.is_alive(folder)
    supervisor.identify(folder)
    assert supervisor.is_alive(folder)
    (tmp_path / supervisor.IDENTITY).write_bytes(b"")
    assert not supervisor.is_alive(folder)
