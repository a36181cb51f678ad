"""Opens the database behind a store's URL: SQLite by default, PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from harness.errors import StoreError

LOCK_TIMEOUT_S = 30.0


def default_url() -> str:
    """SQLite in the user's data folder; EDGEPROOF_STORE names another."""
    given = os.environ.get("EDGEPROOF_STORE")
    return given or f"sqlite:///{data_folder() / 'edgeproof.db'}"


def data_folder() -> Path:
    """Where edgeproof keeps what it must not lose (XDG_DATA_HOME)."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "edgeproof"


def shown(url: str) -> str:
    """A store's URL without its password."""
    try:
        return sa.engine.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return url


def is_there(url: str) -> bool:
    """Whether a store is there already, as far as can be told without opening it."""
    parsed = sa.engine.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return True
    return bool(parsed.database) and Path(str(parsed.database)).is_file()


def engine(url: str) -> Engine:
    """The engine of a store; raises StoreError for another kind of database."""
    parsed = sa.engine.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"))
    if parsed.get_backend_name() != "sqlite":
        raise StoreError(
            f"no store can be kept in {parsed.get_backend_name()}",
            where=shown(url),
            next_step="give a sqlite:/// or postgresql:// URL",
        )
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    made = sa.create_engine(parsed, connect_args={"timeout": LOCK_TIMEOUT_S})

    # The driver's own transactions begin late and lose updates between several writers, so it is
    # told to begin none, and each of ours takes the write lock at once.
    @event.listens_for(made, "connect")
    def _no_implicit_begin(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(made, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return made


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; SQLite does not wait for a lock here, so this does."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
