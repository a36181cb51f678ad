"""Stored runs that lack nearly all, at the command line: told in words, never a traceback."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from harness import cli
from harness.store import SCHEMA_VERSION, Store
from tests.unit.report_runs import POOR
from tests.unit.run_builder import realistic
from tests.unit.session_builder import keep

Command = Callable[..., tuple[int, str, str]]
NO_WORDS = re.compile(r"\b(?:nan|NaN|None|inf|Traceback)\b")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/runs.db"
    store = Store(url)
    for at, (name, make) in enumerate(POOR.items()):
        run = make()
        named = {**run.study, "name": name, "variants": {"dense": {}, "int8": {}}}
        keep(store, replace(run, id=name, study=named, started=f"2026-01-{at + 1:02d}T10:00:00Z"))
    return url


@pytest.fixture
def edgeproof(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command on the store; gives exit code, output and errors."""

    def run(*arguments: str, store: str = url) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setattr(sys, "argv", ["edgeproof", *arguments, "--store", store])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        assert not NO_WORDS.search(shown.out.replace("None of", "") + shown.err)
        return int(ended.value.code or 0), shown.out, shown.err

    return run


@pytest.mark.parametrize("name", POOR)
def test_every_form_of_a_report_comes(edgeproof: Command, tmp_path: Path, name: str) -> None:
    code, shown, error = edgeproof("report", name)
    assert (code, error) == (0, "") and "Summary" in shown
    for form in ("csv", "json", "junit", "md"):
        code, shown, error = edgeproof("report", name, "--format", form)
        assert (code, error) == (0, "") and shown
    for file in ("report.html", "report.parquet"):
        assert edgeproof("report", name, "-o", str(tmp_path / file))[0] == 0
        assert (tmp_path / file).stat().st_size > 0
    assert edgeproof("report", name, "-o", str(tmp_path / "r.md"), "--pictures")[0] == 0


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("nothing", "one-cell", "they have no cell in common"),
        ("one-cell", "nothing", "they have no cell in common"),
        ("only-failures", "one-launch", ""),
        ("devices-failed", "running", ""),
        ("one-launch", "no-dataset", ""),
    ],
)
def test_compare_says_what_can_be_said(
    edgeproof: Command, first: str, second: str, told: str
) -> None:
    code, shown, error = edgeproof("compare", first, second)
    assert "Answer" in shown
    assert (code == 2) == bool(error) and told in error
    if error:
        assert "next: edgeproof gate STUDY --against" in error
    code, shown, _ = edgeproof("compare", first, second, "--format", "json")
    assert json.loads(shown)["schema"] == "edgeproof.compare/1"


@pytest.mark.parametrize("name", POOR)
def test_history_of_a_run_that_lacks_all(edgeproof: Command, name: str) -> None:
    code, shown, error = edgeproof("history", name, "--variant", "dense", "--device", "pi5")
    if code:
        assert code == 2 and "next: " in error
    else:
        assert "before 6 sessions" in shown


@pytest.mark.parametrize("name", POOR)
def test_select_of_a_run_that_lacks_all(edgeproof: Command, name: str) -> None:
    code, shown, error = edgeproof("select", name, "--max", "latency_p95_ms=1000")
    if code:
        assert code == 2 and "next: " in error and name in error
    else:
        assert ("CHOOSE" in shown) == (name in ("one-cell", "no-dataset"))


COMMANDS = (
    ("report", "latest"),
    ("compare", "one-cell", "latest"),
    ("history", "latest", "--variant", "dense"),
    ("select", "latest"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_store_of_a_newer_version_is_left_alone(
    edgeproof: Command, tmp_path: Path, command: Any
) -> None:
    newer = Store(f"sqlite:///{tmp_path}/newer.db")
    keep(newer, realistic(launches=1, batches=(1,)))
    with newer.engine.begin() as link:
        link.execute(sa.text(f"update schema_version set version = {SCHEMA_VERSION + 1}"))
    before = (tmp_path / "newer.db").read_bytes()
    code, shown, error = edgeproof(*command, store=newer.url)
    assert (code, shown) == (2, "")
    assert f"version {SCHEMA_VERSION + 1}, this edgeproof reads {SCHEMA_VERSION}" in error
    assert "next: use the edgeproof that wrote it" in error
    assert (tmp_path / "newer.db").read_bytes() == before


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_empty_store_says_how_to_fill_it(
    edgeproof: Command, tmp_path: Path, command: Any
) -> None:
    code, shown, error = edgeproof(*command, store=f"sqlite:///{tmp_path}/empty.db")
    assert (code, shown) == (2, "")
    assert "holds no run yet" in error and "next: edgeproof run STUDY" in error


@pytest.mark.parametrize(
    "command",
    [("report", "one-sell"), ("compare", "one-sell", "latest"), ("select", "one-sell")],
    ids=lambda command: command[0],
)
def test_an_unknown_run_names_the_nearest(edgeproof: Command, command: Any) -> None:
    code, shown, error = edgeproof(*command)
    assert (code, shown) == (2, "")
    assert "'one-cell'" in error and "next: edgeproof" in error


def test_an_unknown_run_is_shown_without_its_control_characters(edgeproof: Command) -> None:
    code, _, error = edgeproof("report", "one\x1b[31m\u202ecell")
    assert code == 2 and "\x1b" not in error and "\u202e" not in error
