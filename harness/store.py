"""The one place where results live: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agents import wire
from harness import database
from harness.errors import StoreError
from harness.rows import cell_document, cell_record, device_record, launch_record, launch_row
from harness.selftest import kept
from reports.run import ArtifactRecord, EvaluationRecord, GroupRecord, Run, Selftest

SCHEMA_VERSION = 4
LATEST = "latest"

metadata = sa.MetaData()
schema = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("study", sa.JSON, nullable=False),
    sa.Column("folder", sa.String, nullable=False),  # that the study's paths are relative to
    sa.Column("inventory", sa.String),
    sa.Column("dataset", sa.String),  # sha256
    sa.Column("started", sa.String, nullable=False),
    sa.Column("finished", sa.String),
    sa.Column("artifacts", sa.JSON, nullable=False),
    sa.Column("labels", sa.JSON),
    sa.Column("boxes", sa.JSON(none_as_null=True)),  # of each sample; see Run.boxes
)
devices = sa.Table(
    "run_devices",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("profile", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("reason", sa.String),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("pushed_bytes", sa.JSON, nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("floor", sa.JSON(none_as_null=True)),  # a FloorEvent
    sa.Column("cells", sa.JSON, nullable=False),  # [{cell, status, reason}]
    sa.Column("groups", sa.JSON, nullable=False),
)
launches = sa.Table(
    "launches",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("device", sa.String, nullable=False),
    sa.Column("group_id", sa.String, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("cell", sa.String, nullable=False),
    sa.Column("interleaved", sa.Boolean, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),  # a CellLaunch with the length of each block
    sa.Column("samples", sa.LargeBinary, nullable=False),  # see harness/samples.py
    sa.Column("conditions", sa.JSON, nullable=False),  # around the whole launch of the group
    sa.UniqueConstraint("run", "device", "group_id", "ordinal", "cell"),
)
evaluations = sa.Table(
    "evaluations",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("device", sa.String, primary_key=True),
    sa.Column("evaluation", sa.String, primary_key=True),
    sa.Column("event", sa.JSON, nullable=False),
)


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Store:
    """Runs, devices, launches and evaluations behind one database URL."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or database.default_url()
        try:
            self.engine = database.engine(self.url)
            metadata.create_all(self.engine)
            self._check_version()
            kept.metadata.create_all(self.engine)
        except ModuleNotFoundError as error:
            raise StoreError(
                f"the store needs the package {error.name}",
                where=database.shown(self.url),
                next_step="for PostgreSQL: pip install 'edgeproof[postgres]'",
            ) from None
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise StoreError(
                f"the store cannot be opened: {error}",
                where=database.shown(self.url),
                next_step="give --store URL, for example sqlite:///results.db",
            ) from None

    def _check_version(self) -> None:
        with self.engine.begin() as link:
            found = link.execute(sa.select(schema.c.version)).scalar()
            if found is None:
                link.execute(schema.insert().values(version=SCHEMA_VERSION))
            elif found != SCHEMA_VERSION:
                raise StoreError(
                    f"the store has version {found}, this edgeproof reads {SCHEMA_VERSION}",
                    where=database.shown(self.url),
                    next_step="use the edgeproof that wrote it, or another --store URL",
                )

    def create_run(
        self, run: Run, folder: Path, inventory: Path | None, dataset: str | None = None
    ) -> None:
        """Store a run that begins, with its devices, all that is planned, its dataset's sha256."""
        with self.engine.begin() as link:
            link.execute(
                runs.insert().values(
                    id=run.id,
                    study=dict(run.study),
                    folder=str(folder),
                    inventory=str(inventory.resolve()) if inventory else None,
                    dataset=dataset,
                    started=run.started,
                    finished=None,
                    artifacts={key: vars(value) for key, value in run.artifacts.items()},
                    labels=list(run.labels) if run.labels is not None else None,
                    boxes=run.boxes,
                )
            )
            for position, device in enumerate(run.devices):
                cells = [cell for cell in run.cells if cell.device == device.name]
                groups = [group.group for group in run.groups if group.device == device.name]
                row = {key: value for key, value in vars(device).items() if key != "facts"}
                link.execute(
                    devices.insert().values(
                        run=run.id,
                        position=position,
                        facts=dict(device.facts),
                        cells=[cell_document(cell) for cell in cells],
                        groups=groups,
                        **row,
                    )
                )

    def update_device(self, run: str, name: str, **values: Any) -> None:
        """Change columns of a device's row: status, reason, facts, pushed_bytes, seconds, floor."""
        with self.engine.begin() as link:
            link.execute(_of_device(sa.update(devices), run, name).values(**values))

    def mark_cells(
        self, run: str, name: str, status: wire.Status, reasons: Mapping[str, str | None]
    ) -> None:
        """Give cells (id -> reason) of a device another status."""
        with self.engine.begin() as link:
            cells = link.execute(_of_device(sa.select(devices.c.cells), run, name)).scalar_one()
            for item in cells:
                if item["cell"]["id"] in reasons:
                    item["status"], item["reason"] = status, reasons[item["cell"]["id"]]
            link.execute(_of_device(sa.update(devices), run, name).values(cells=cells))

    def finish_run(self, run: str) -> None:
        """Note when a run ended."""
        with self.engine.begin() as link:
            link.execute(sa.update(runs).where(runs.c.id == run).values(finished=now()))

    def add_launch(self, run: str, device: str, launch: wire.LaunchEvent) -> None:
        """Store one launch of a group, unless it is there already."""
        rows = [launch_row(run, device, launch, cell) for cell in launch["cells"]]
        key = (run, device, launch["group"], launch["ordinal"])
        with self.engine.begin() as link:
            if key[2:] not in _stored_launches(link, run, device) and rows:
                link.execute(launches.insert(), rows)

    def add_evaluation(self, run: str, device: str, found: wire.EvaluationEvent) -> None:
        """Store one evaluation, unless it is there already."""
        with self.engine.begin() as link:
            if found["evaluation"] not in _stored_evaluations(link, run, device):
                link.execute(
                    evaluations.insert().values(
                        run=run, device=device, evaluation=found["evaluation"], event=dict(found)
                    )
                )

    def add_set(self, run: str, device: str, found: wire.SetEvent) -> None:
        """Store the answers to one set of an evaluation that is stored, unless they are there."""
        mine = (
            (evaluations.c.run == run)
            & (evaluations.c.device == device)
            & (evaluations.c.evaluation == found["evaluation"])
        )
        new = found["scored"]
        with self.engine.begin() as link:
            event = link.execute(sa.select(evaluations.c.event).where(mine)).scalar_one()
            for at, old in enumerate(event["sets"]):
                same = (old["name"], old["severity"]) == (new["name"], new["severity"])
                if same and old["reason"] == wire.NOT_RUN:
                    event["sets"][at] = new
                    event["seconds"] += found["seconds"]
                    link.execute(sa.update(evaluations).where(mine).values(event=event))

    def done(self, run: str, device: str) -> tuple[list[str], list[tuple[str, int]]]:
        """Evaluations and launches (group, ordinal) of a device that are stored."""
        with self.engine.connect() as link:
            return (
                sorted(_stored_evaluations(link, run, device)),
                sorted(_stored_launches(link, run, device)),
            )

    def answered(self, run: str, device: str) -> dict[str, wire.Answered]:
        """What is stored of the evaluations of a device that went well."""
        return {
            event["evaluation"]: {
                "scores": event["scores"],
                "sets": [
                    [one["name"], one["severity"]]
                    for one in event["sets"]
                    if one["kind"] != "clean" and one["reason"] != wire.NOT_RUN
                ],
            }
            for event in self._evaluations(run, device)
            if event["status"] == "ok"
        }

    def resolve(self, name: str) -> str:
        """Turn `latest` or a run's id into the id; an unknown one names the nearest."""
        with self.engine.connect() as link:
            ids = sa.select(runs.c.id).order_by(runs.c.started, runs.c.id)
            known: list[str] = list(link.execute(ids).scalars())
        if name == LATEST and known:
            return known[-1]
        if name in known:
            return name
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
        what = "the store holds no run yet" if not known else f"no run '{name}' in the store"
        raise StoreError(
            what + (f"; the nearest is '{near[0]}'" if near else ""),
            where=database.shown(self.url),
            next_step="edgeproof run STUDY" if not known else "edgeproof report latest",
        )

    def inventory(self, run: str) -> Path | None:
        """The inventory that a run was started with."""
        with self.engine.connect() as link:
            path = link.execute(sa.select(runs.c.inventory).where(runs.c.id == run)).scalar_one()
        return Path(path) if path else None

    def dataset(self, run: str) -> str | None:
        """The sha256 of a run's dataset."""
        with self.engine.connect() as link:
            found = link.execute(sa.select(runs.c.dataset).where(runs.c.id == run)).scalar_one()
        return str(found) if found else None

    def board_seconds(self, run: str, device: str) -> float:
        """Board time that a device has spent on a run, over all its sessions.

        Of the floor, measured once a session, the last is kept and counts.
        """
        columns = (launches.c.group_id, launches.c.ordinal, launches.c.seconds)
        mine = (launches.c.run == run) & (launches.c.device == device)
        with self.engine.connect() as link:
            launched = link.execute(sa.select(*columns).where(mine).distinct()).all()
            floor = link.execute(_of_device(sa.select(devices.c.floor), run, device)).scalar()
        events = [*self._evaluations(run, device), *([floor] if floor else [])]
        return float(sum(row.seconds for row in launched) + sum(e["seconds"] for e in events))

    def failed_evaluations(self, run: str, device: str) -> dict[str, str]:
        """Evaluations in which a model did not run, with the reason."""
        found = self._evaluations(run, device)
        bad = [event for event in found if event["status"] != "ok"]
        return {event["evaluation"]: event["reason"] or "it failed" for event in bad}

    def _evaluations(self, run: str, device: str) -> Sequence[wire.EvaluationEvent]:
        mine = (evaluations.c.run == run) & (evaluations.c.device == device)
        with self.engine.connect() as link:
            return link.execute(sa.select(evaluations.c.event).where(mine)).scalars().all()

    def load(self, run: str) -> Run:
        """Read a run whole."""
        with self.engine.connect() as link:
            row = link.execute(sa.select(runs).where(runs.c.id == run)).one()
            boards = link.execute(
                sa.select(devices).where(devices.c.run == run).order_by(devices.c.position)
            ).all()
            found = link.execute(
                sa.select(launches).where(launches.c.run == run).order_by(launches.c.id)
            ).all()
            evaluated = link.execute(
                sa.select(evaluations.c.device, evaluations.c.event).where(evaluations.c.run == run)
            ).all()
            selftests = kept.newest(link, [board.name for board in boards])
        return Run(
            id=row.id,
            study=row.study,
            started=row.started,
            finished=row.finished,
            devices=[device_record(board) for board in boards],
            artifacts={key: ArtifactRecord(**value) for key, value in row.artifacts.items()},
            cells=[cell_record(board.name, item) for board in boards for item in board.cells],
            groups=[GroupRecord(board.name, group) for board in boards for group in board.groups],
            launches=[launch_record(item) for item in found],
            evaluations=[EvaluationRecord(item.device, item.event) for item in evaluated],
            labels=row.labels,
            boxes=row.boxes,
            dataset=row.dataset,
            selftests=selftests,
        )

    def keep_selftest(self, found: Selftest) -> None:
        """Store a self-test, in place of what was stored of it before."""
        with self.engine.begin() as link:
            kept.put(link, found)


def _of_device(statement: Any, run: str, name: str) -> Any:
    return statement.where(devices.c.run == run, devices.c.name == name)


def _stored_launches(link: Connection, run: str, device: str) -> set[tuple[str, int]]:
    found = link.execute(
        sa.select(launches.c.group_id, launches.c.ordinal)
        .where(launches.c.run == run, launches.c.device == device)
        .distinct()
    )
    return {(row.group_id, row.ordinal) for row in found}


def _stored_evaluations(link: Connection, run: str, device: str) -> set[str]:
    found = link.execute(
        sa.select(evaluations.c.evaluation).where(
            evaluations.c.run == run, evaluations.c.device == device
        )
    )
    return set(found.scalars())
