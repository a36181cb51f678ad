"""Where self-tests are stored: a table of its own beside the runs.

Nothing else refers to it, so an edgeproof that does not know it reads the same store as before, and
a store that lacks it gets it when it is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from reports.run import DeviceRecord, Selftest, SelftestModel, SelftestTrial

metadata = sa.MetaData()
selftests = sa.Table(
    "selftests",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("device", sa.String, nullable=False, index=True),
    sa.Column("started", sa.String, nullable=False),
    sa.Column("finished", sa.String),
    sa.Column("profile", sa.String, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),  # of the device, as a run has them
    sa.Column("setting", sa.JSON, nullable=False),  # what was tested: runtime, limit, ...
    sa.Column("models", sa.JSON, nullable=False),  # a SelftestModel each
    sa.Column("trials", sa.JSON, nullable=False),  # a SelftestTrial each
)
_SETTING = ("runtime", "runtime_version", "metric", "limit", "effort", "planned", "baseline_p50_ms")


def put(link: Connection, found: Selftest) -> None:
    """Store a self-test as far as it has come, in place of what was stored of it before."""
    link.execute(sa.delete(selftests).where(selftests.c.id == found.id))
    link.execute(
        selftests.insert().values(
            id=found.id,
            device=found.device.name,
            started=found.started,
            finished=found.finished,
            profile=found.device.profile,
            facts=dict(found.device.facts),
            setting={key: getattr(found, key) for key in _SETTING},
            models=[asdict(model) for model in found.models],
            trials=[asdict(trial) for trial in found.trials],
        )
    )


def newest(link: Connection, devices: Iterable[str]) -> list[Selftest]:
    """The newest self-test of each device that has one."""
    of_device = sa.select(selftests).order_by(selftests.c.started.desc(), selftests.c.id.desc())
    found = [link.execute(of_device.where(selftests.c.device == name)).first() for name in devices]
    return [_selftest(row) for row in found if row is not None]


def _selftest(row: Any) -> Selftest:
    return Selftest(
        id=row.id,
        started=row.started,
        finished=row.finished,
        device=DeviceRecord(row.device, row.profile, "ok", facts=row.facts),
        models=[SelftestModel(**model) for model in row.models],
        trials=[SelftestTrial(**trial) for trial in row.trials],
        **row.setting,
    )
