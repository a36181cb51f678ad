"""Self-tests in the store: kept as they were, the newest found, older stores opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from harness.errors import StoreError
from harness.store import Store
from tests.unit.run_builder import realistic
from tests.unit.selftest_builder import selftest, trial


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


def test_a_selftest_comes_back_with_the_run_as_it_was(url: str) -> None:
    store, run, found = Store(url), realistic(launches=1, batches=(1,)), selftest()
    store.create_run(run, Path(), None)
    assert store.load(run.id).selftests == []
    store.keep_selftest(found)
    assert Store(url).load(run.id).selftests == [found]


def test_each_gate_replaces_what_was_known_before_it(url: str) -> None:
    store, run = Store(url), realistic(launches=1, batches=(1,))
    store.create_run(run, Path(), None)
    for count in (1, 2):
        store.keep_selftest(selftest(finished=None, trials=[trial("same", "pass")] * count))
    [found] = store.load(run.id).selftests
    assert (len(found.trials), found.finished) == (2, None)


def test_the_newest_of_each_device_counts(url: str) -> None:
    store, run = Store(url), realistic(launches=1, batches=(1,))
    [device] = run.devices
    both = replace(run, devices=[device, replace(device, name="nuc")], cells=[], groups=[])
    store.create_run(both, Path(), None)
    for day in (3, 9, 5):
        started = f"2026-11-{day:02d}T10:00:00+00:00"
        store.keep_selftest(selftest(id=f"s{day}", started=started))
    other = replace(device, name="elsewhere")
    store.keep_selftest(selftest(id="other", device=other))
    assert [found.id for found in store.load(run.id).selftests] == ["s9"]


def test_a_store_of_before_selftests_opens_and_takes_one(url: str) -> None:
    store, run = Store(url), realistic(launches=1, batches=(1,))
    store.create_run(run, Path(), None)
    with store.engine.begin() as link:
        link.execute(sa.text("drop table selftests"))
    again = Store(url)
    assert again.load(run.id).selftests == []
    again.keep_selftest(selftest())
    assert len(again.load(run.id).selftests) == 1


def test_a_store_of_another_version_gets_no_table(url: str) -> None:
    with Store(url).engine.begin() as link:
        link.execute(sa.text("drop table selftests"))
        link.execute(sa.text("update schema_version set version = version + 1"))
    with pytest.raises(StoreError, match="has version"):
        Store(url)
    assert "selftests" not in sa.inspect(sa.create_engine(url)).get_table_names()
