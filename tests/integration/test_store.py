"""The store on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import harness
from agents import wire
from harness import releases
from harness.errors import StoreError
from harness.samples import packed, unpacked
from harness.store import SCHEMA_VERSION, Store
from reports.run import Run
from tests.boards.board import free_port
from tests.unit.run_builder import floor, realistic
from tests.unit.session_builder import keep, session


def postgres_bin() -> Path | None:
    """Folder of the newest PostgreSQL server of this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    other = shutil.which("initdb")
    return found[-1].parent if found else Path(other).parent if other else None


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a fresh server on loopback; it refuses to run as root, so then it is nobody's."""
    programs = postgres_bin()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine")
    folder = tmp_path_factory.mktemp("postgres")
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        for parent in (folder, *folder.parents):
            if parent.owner() == "root" and parent.is_relative_to("/tmp/pytest-of-root"):
                parent.chmod(parent.stat().st_mode | 0o011)
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    port, data = free_port(), folder / "data"
    setup = [str(programs / "initdb"), "-D", str(data), "-U", "bench", "-A", "trust", "-N"]
    subprocess.run(setup, user=user, check=True, capture_output=True, cwd="/")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -F"
    control = [str(programs / "pg_ctl"), "-D", str(data), "-w"]
    start = [*control, "-o", options, "-l", str(folder / "log"), "start"]
    subprocess.run(start, user=user, check=True, capture_output=True, cwd="/")
    yield f"postgresql://bench@127.0.0.1:{port}/postgres"
    stop = [*control, "-m", "immediate", "stop"]
    subprocess.run(stop, user=user, check=True, capture_output=True, cwd="/")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/folder/store.db"
    address: str = request.getfixturevalue("postgres")
    with sa.create_engine(address.replace("://", "+psycopg://")).begin() as link:
        link.execute(sa.text("drop schema public cascade; create schema public"))
    return address


def event(group: str, ordinal: int, cell: str, blocks: list[list[int]]) -> Any:
    record = {"cell": cell, "status": "ok", "reason": None, "blocks": blocks, "executed": {}}
    return {
        "kind": "launch",
        "group": group,
        "ordinal": ordinal,
        "started": float(ordinal),
        "seconds": 1.5,
        "interleaved": True,
        "conditions": {"before": {"steal": None}, "after": {"steal": ordinal}},
        "cells": [record],
    }


def empty_run(name: str = "r1") -> Run:
    """A run that was planned and has measured nothing."""
    made = realistic(launches=1, batches=(1,))
    devices = [replace(device, floor=None) for device in made.devices]
    planned = {"id": name, "devices": devices, "launches": [], "evaluations": []}
    return Run(**{**vars(made), **planned})


def test_a_run_comes_back_as_it_was(url: str) -> None:
    store, run = Store(url), empty_run()
    store.create_run(run, Path("/studies"), Path("/lab.yaml"), "abc")
    loaded = Store(url).load("r1")
    assert loaded.cells == run.cells
    assert loaded.devices == run.devices
    assert loaded.artifacts == run.artifacts
    assert loaded.groups == run.groups
    assert loaded.study == run.study
    assert (loaded.labels, loaded.boxes) == (run.labels, None)
    assert loaded.finished is None
    assert (store.inventory("r1"), store.dataset("r1")) == (Path("/lab.yaml"), "abc")
    store.finish_run("r1")
    assert store.load("r1").finished is not None


def test_boxes_stand_in_for_labels(url: str) -> None:
    store, boxes = Store(url), [[[2, 0.5, 1, 3.5, 4]], [], [[0, 0, 0, 1, 1], [1, 0, 0, 2, 2]]]
    store.create_run(replace(empty_run(), labels=None, boxes=boxes), Path(), None)
    loaded = store.load("r1")
    assert (loaded.labels, loaded.boxes) == (None, boxes)


def test_a_launch_is_stored_once(url: str) -> None:
    store, run = Store(url), empty_run()
    store.create_run(run, Path(), None)
    device, cell = run.cells[0].device, run.cells[0].cell["id"]
    blocks = [[1, 2**40, 3], [4]]
    for _ in range(2):
        store.add_launch("r1", device, event("g", 0, cell, blocks))
    store.add_launch("r1", device, event("g", 1, cell, [[5]]))
    loaded = store.load("r1").launches
    assert [item.launch["blocks"] for item in loaded] == [blocks, [[5]]]
    assert [item.conditions["after"]["steal"] for item in loaded] == [0, 1]
    assert store.done("r1", device) == ([], [("g", 0), ("g", 1)])


def test_sets_are_added_to_their_evaluation_once(url: str) -> None:
    store, run = Store(url), empty_run()
    store.create_run(run, Path(), None)
    device, name = run.cells[0].device, "dense/onnxruntime/fp32"
    clean, *waiting = [
        {"name": one, "kind": kind, "severity": level, "samples": 4, "reason": reason}
        for one, kind, level, reason in (
            ("clean", "clean", 0, None),
            ("noise", "corruption", 1, wire.NOT_RUN),
            ("noise", "corruption", 2, wire.NOT_RUN),
        )
    ]
    found: Any = {"kind": "evaluation", "evaluation": name, "status": "ok", "seconds": 2.0}
    found = {**found, "scores": "logits", "sets": [clean, *waiting]}
    lost = {**found, "evaluation": "lost", "status": "failed", "reason": "it broke", "sets": []}
    for one in (found, lost):
        store.add_evaluation("r1", device, one)
    assert store.answered("r1", device) == {name: {"scores": "logits", "sets": []}}
    second = {**waiting[1], "reason": "out of memory"}
    event: Any = {"kind": "set", "evaluation": name, "scored": second, "seconds": 0.75}
    for _ in range(2):  # as the journal comes again after a lost link
        store.add_evaluation("r1", device, found)
        store.add_set("r1", device, event)
    stored = {item.event["evaluation"]: item.event for item in store.load("r1").evaluations}
    assert stored[name]["sets"] == [clean, waiting[0], second]
    assert stored[name]["seconds"] == 2.75
    assert store.answered("r1", device) == {name: {"scores": "logits", "sets": [["noise", 2]]}}
    assert store.board_seconds("r1", device) == 4.75


def test_several_writers_lose_nothing(url: str) -> None:
    store, run = Store(url), empty_run()
    store.create_run(run, Path(), None)
    device, cell = run.cells[0].device, run.cells[0].cell["id"]

    def write(group: int) -> None:
        mine = Store(url)
        for ordinal in range(15):
            mine.add_launch("r1", device, event(f"g{group}", ordinal, cell, [[1, 2]]))

    threads = [threading.Thread(target=write, args=(group,)) for group in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.load("r1").launches) == 60


def test_cells_and_devices_change_their_status(url: str) -> None:
    store, run = Store(url), empty_run()
    store.create_run(run, Path(), None)
    device, cell = run.cells[0].device, run.cells[0].cell["id"]
    store.mark_cells("r1", device, "unsupported", {cell: "no wheels"})
    assert store.load("r1").devices[0].floor is None
    store.update_device("r1", device, status="failed", reason="gone", facts={"cpus": 4})
    store.update_device("r1", device, floor=floor())
    store.add_launch("r1", device, event("g", 0, cell, [[5]]))
    assert store.board_seconds("r1", device) == 1.5 + floor()["seconds"]
    loaded = store.load("r1")
    assert loaded.devices[0].floor == floor()
    assert (loaded.cells[0].status, loaded.cells[0].reason) == ("unsupported", "no wheels")
    assert loaded.devices[0].facts == {"cpus": 4}
    assert loaded.devices[0].reason == "gone"


def test_a_run_is_given_the_release_before_it_and_the_runs_since(url: str) -> None:
    store = Store(url)
    for at in range(1, 5):
        keep(store, session(at, launches=1))
    other = session(5, launches=1)
    keep(store, replace(other, study={**other.study, "name": "other"}))
    last = store.load("kws-04")
    assert releases.with_release(store, last).release is None
    releases.call(store, store.load("kws-02"), "1.4", "slim-40")
    found = releases.with_release(store, last)
    assert found.release and (found.release.name, found.release.run) == ("1.4", "kws-02")
    assert [run.id for run in found.since] == ["kws-03"]
    for run in ("kws-01", "kws-02", "kws-05"):
        assert releases.with_release(store, store.load(run)).release is None, run


def test_names_of_runs(url: str) -> None:
    store = Store(url)
    with pytest.raises(StoreError, match="no run yet"):
        store.resolve("latest")
    store.create_run(empty_run("kws-1"), Path(), None)
    assert store.resolve("latest") == store.resolve("kws-1") == "kws-1"
    with pytest.raises(StoreError, match="nearest is 'kws-1'"):
        store.resolve("kws-2")


def test_a_store_of_another_version_is_refused(url: str) -> None:
    store = Store(url)
    with store.engine.begin() as link:
        link.execute(sa.text(f"update schema_version set version = {SCHEMA_VERSION + 1}"))
    with pytest.raises(StoreError, match="version"):
        Store(url)


def test_a_notebook_reads_a_run(url: str) -> None:
    store, run = Store(url), empty_run()
    store.create_run(run, Path(), None)
    device, cell = run.cells[0].device, run.cells[0].cell["id"]
    record = event("g", 0, cell, [[9_000_000, 2_000_000, 4_000_000]])
    record["cells"][0].update(memory=None, load_ns=3_000_000, first_ns=None)
    record["cells"][0].update(noise=None, streams=1, trials=[])
    store.add_launch("r1", device, record)
    frame = harness.load_run("r1", store=url)
    assert frame.loc[0, "p50_ms"] == 3.0
    assert frame.loc[0, "load_ms"] == 3.0
    assert frame.loc[0, "variant"] == run.cells[0].cell["variant"]
    assert list(frame.loc[0, "samples_ms"]) == [2.0, 4.0]


@pytest.mark.parametrize("bad", ["mysql://x/y", "nonsense", "sqlite:////proc/no/store.db"])
def test_a_url_that_is_no_store(bad: str) -> None:
    with pytest.raises(StoreError):
        Store(bad)


def test_an_unreachable_server_does_not_show_its_password() -> None:
    with pytest.raises(StoreError) as caught:
        Store(f"postgresql://bench:secret@127.0.0.1:{free_port()}/x")
    assert "secret" not in str(caught.value)


@given(st.lists(st.lists(st.integers(0, 2**62), max_size=5), max_size=5))
def test_samples_survive_packing(blocks: list[list[int]]) -> None:
    assert unpacked(packed(blocks), [len(block) for block in blocks]) == blocks


def open_new_stores(folder: Path, barrier: Any, failures: Any) -> None:
    for number in range(250):
        barrier.wait(60)
        try:
            Store(f"sqlite:///{folder / str(number)}.db").engine.dispose()
        except StoreError as error:
            failures.put(str(error))


def test_two_runs_open_a_new_store_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, failures = context.Barrier(2), context.Queue()
    openers = [
        context.Process(target=open_new_stores, args=(tmp_path, barrier, failures))
        for _ in range(2)
    ]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(120)
    assert [opener.exitcode for opener in openers] == [0, 0]
    assert failures.empty(), failures.get()
