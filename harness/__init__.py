"""The host controller: plans a study, drives the agents, stores what they measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load_run(run: str = "latest", store: str | None = None) -> pd.DataFrame:
    """Read a run into a table for a notebook: one row for each launch of each cell.

    `store` is a database URL, by default the one that `edgeproof run` writes. `samples_ms` holds
    the times that count (the first of each block follows a switch and is left out, but for cold
    starts), `trials` the rates that a server tried. Raises StoreError when there is no such run.
    """
    from harness.frame import launches
    from harness.store import Store

    opened = Store(store)
    return launches(opened.load(opened.resolve(run)))
