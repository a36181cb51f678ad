"""All devices of a run, side by side: plan, prepare, attend, store."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy.exc import SQLAlchemyError

from agents import wire
from harness import deploy, foresight, foresight_sets, plan, provision, session
from harness.connections import Connection, local, ssh
from harness.deploy import Site
from harness.devices import Device
from harness.errors import DeviceError, EdgeproofError, InputError, ProvisionError
from harness.inputs import Inputs
from harness.plan import DevicePlan
from harness.progress import Display
from harness.session import Event, Session
from harness.store import Store, now
from harness.study import Compare, parse_study
from reports import verdicts
from reports.run import CellRecord, DeviceRecord, GroupRecord, Run

# How often the main thread looks up while devices work, so that Ctrl-C is heard.
POLL_S = 0.2


def create(inputs: Inputs, devices: Sequence[Device], store: Store, inventory: Path | None) -> str:
    """Plan a study on its devices and store the run that begins; returns its id."""
    plans = [plan.plan(inputs.study, device, inputs.artifacts) for device in devices]
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run = Run(
        id=f"{inputs.study.name}-{stamp}-{secrets.token_hex(2)}",
        study=inputs.study.document(),
        started=now(),
        finished=None,
        devices=[DeviceRecord(device.name, device.profile, "running") for device in devices],
        artifacts={item.sha256: item.record() for item in inputs.artifacts.values()},
        cells=[
            CellRecord(one.device, item.cell, item.status, item.reason)
            for one in plans
            for item in one.cells
        ],
        groups=[GroupRecord(one.device, group) for one in plans for group in one.groups],
        launches=[],
        evaluations=[],
        labels=inputs.samples.labels if inputs.samples else None,
        boxes=inputs.samples.boxes if inputs.samples else None,
    )
    store.create_run(run, inputs.study.folder.resolve(), inventory, inputs.sets_sha256)
    return run.id


def check_same(inputs: Inputs, run: Run, dataset_sha256: str | None) -> None:
    """Refuse to go on with a run whose study or files are no longer those it began with.

    The groups are those that the run began with (`compare_of`), whatever the study says now.
    """
    document = inputs.study.with_budget(1.0).document()
    began = parse_study(run.study, inputs.study.folder).with_budget(1.0).document()
    if document != began:
        raise InputError(
            "is not the study of this run (its budget alone may change)",
            where=run.id,
            next_step="give the study as it was, or start a new run",
        )
    files = {(name, item.format): item for (name, _), item in inputs.artifacts.items()}
    for record in run.cells:
        cell = record.cell
        now_there = files.get((cell["variant"], cell["format"]))
        if now_there and now_there.sha256 != cell["artifact"]:
            raise _changed(now_there.path)
    if inputs.samples and inputs.sets_sha256 != dataset_sha256:
        raise _changed(inputs.samples.path)


def compare_of(run: Run) -> Compare:
    """Return which groups a run began with; those of `gate` are fewer than its study's."""
    return parse_study(run.study, Path()).compare


def check_devices(devices: Sequence[Device], run: Run) -> None:
    """Refuse devices that a run was not planned for."""
    planned = [device.name for device in run.devices]
    for device in devices:
        if device.name not in planned:
            raise InputError(
                f"the run was not planned for {device.name}, only for {', '.join(planned)}",
                where=run.id,
                next_step="leave --device out, or start a new run",
            )


def _changed(path: Path) -> InputError:
    return InputError(
        "has changed since the run began, so it cannot be continued",
        where=str(path),
        next_step="restore the file, or start a new run",
    )


def execute(
    run: str,
    inputs: Inputs,
    devices: Sequence[Device],
    store: Store,
    show: Display,
    profile: bool = False,
) -> set[str]:
    """Measure on all devices side by side; returns how they ended: ok, stopped, failed.

    `profile` has every model traced for long enough to tell what each layer takes.
    The first Ctrl-C asks every device to end after the launch in progress; a second one raises
    KeyboardInterrupt and leaves them at work, to be collected by --resume.
    """
    boards = [Board(run, inputs, device, store, show, profile) for device in devices]
    # Daemons: a second Ctrl-C must not wait for boards.
    threads = [threading.Thread(target=board.work, daemon=True) for board in boards]
    for thread in threads:
        thread.start()
    try:
        _await(threads)
    except KeyboardInterrupt:
        for board in boards:
            board.stop()
        _await(threads)
    store.finish_run(run)
    return {board.outcome for board in boards}


def _await(threads: list[threading.Thread]) -> None:
    while any(thread.is_alive() for thread in threads):
        time.sleep(POLL_S)


def connect(device: Device) -> Connection:
    """Open a connection to a device; raises DeviceError."""
    if device.connection == "local":
        return local.LocalConnection()
    try:
        return ssh.connect(
            device.host or "",
            device.user,
            device.port,
            str(device.identity_file) if device.identity_file else None,
            config_file=device.ssh_config,
            known_hosts=device.known_hosts,
        )
    except DeviceError as error:
        error.what = f"{error.where}: {error.what}" if error.where else error.what
        error.where = device.name
        raise


class Board:
    """One device's part of a run, in a thread of its own."""

    def __init__(
        self,
        run: str,
        inputs: Inputs,
        device: Device,
        store: Store,
        show: Display,
        profile: bool = False,
    ):
        self.run = run
        self.inputs = inputs
        self.device = device
        self.store = store
        self.show = show
        self.profile = profile
        self.plan: DevicePlan = plan.plan(inputs.study, device, inputs.artifacts)
        self.site: Site | None = None
        self.stopping = threading.Event()
        self.outcome = "failed"
        # Of the budget, by the agent's own count: a resumed run has it anew.
        self.spent_s = 0.0
        self.foreseen: list[str] | None = None  # gates that the budget cannot decide
        self.foreseen_sets: str | None = None  # why it cannot hold the sets of robustness

    def work(self) -> None:
        """Do this device's part; a device that fails is a result, and the others go on."""
        try:
            self.outcome = self._measure()
        except (EdgeproofError, SQLAlchemyError, OSError) as error:
            self._fail(str(error))
        except Exception as error:
            self._fail(f"edgeproof itself failed: {type(error).__name__}: {error}")
            raise
        finally:
            if self.site:
                self.site.connection.close()

    def _fail(self, reason: str) -> None:
        told = reason.removeprefix(f"{self.device.name}: ")
        self.show.end(self.device.name, f"failed: {told}")
        line = told.replace("\n  next: ", "; next: ")
        self.store.update_device(self.run, self.device.name, status="failed", reason=line)

    def stop(self) -> None:
        """Ask the device to end after the launch in progress."""
        self.stopping.set()
        self.say("stopping after the launch in progress")
        self._tell_to_stop()

    def _tell_to_stop(self) -> None:
        # The job may not be there yet, or the link be lost: what the device does next asks again.
        with contextlib.suppress(DeviceError):
            if self.site and self.site.agent:
                session.stop(self.site, self.run)

    def _heed_stop(self) -> None:
        if self.stopping.is_set():
            raise DeviceError(
                "stopped before measuring",
                where=self.device.name,
                next_step=f"edgeproof run STUDY --resume {self.run}",
            )

    def _measure(self) -> str:
        self.say("connecting")
        self.site = self.open()
        facts = self.site.facts()
        self.store.update_device(self.run, self.device.name, facts=facts, status="running")
        runtimes = self._runtimes(self.site, facts)
        self.say("pushing models")
        deploy.push(self.site, self.inputs.blobs(self.plan.artifacts))
        self.store.update_device(self.run, self.device.name, pushed_bytes=self.site.pushed)
        attended = Session(
            site=self.site,
            reopen=self.reopen,
            make_job=lambda attempt: self._job(attempt, runtimes),
            listener=self,
            run=self.run,
        )
        finished = attended.attend()
        self.site = attended.site
        return self._close_books(finished)

    def _close_books(self, finished: wire.FinishedEvent) -> str:
        assert self.site
        session.forget(self.site, self.run)
        ended = "the board-time budget ended before everything was measured"
        foreseen = [*(self.foreseen or []), *filter(None, [self.foreseen_sets])]
        reasons = {
            "done": None,
            "budget": "; ".join([ended, *foreseen]),
            "stopped": f"stopped; go on with --resume {self.run}",
        }
        status = "stopped" if finished["reason"] == "stopped" else "ok"
        self.store.update_device(
            self.run,
            self.device.name,
            status=status,
            reason=reasons[finished["reason"]],
            seconds=self.store.board_seconds(self.run, self.device.name),
        )
        whole = finished["reason"] == "done"
        told = "done" if whole else str(reasons[finished["reason"]])
        self.show.end(self.device.name, told, whole)
        return status

    def open(self) -> Site:
        """Connect and bring the agent."""
        return deploy.open_site(self.device, connect(self.device))

    def reopen(self) -> Site:
        """Connect again after a loss."""
        if self.site:
            self.site.connection.close()
        self.site = self.open()
        return self.site

    def _runtimes(self, site: Site, facts: Mapping[str, Any]) -> dict[str, wire.Runtime]:
        """Bring every runtime; one that cannot be brought makes its cells unsupported."""
        ready: dict[str, wire.Runtime] = {}
        for name in self.plan.runtimes:
            self._heed_stop()
            self.say(f"bringing {name}")
            try:
                ready[name] = {"path": self._runtime(site, name, facts)}
            except ProvisionError as error:
                self._mark(name, error.status, error.what)
                self.say(f"no {name} here: {error.what}")
            else:
                self._mark(name, "ok", None)  # it may have failed before a --resume
        return ready

    def _mark(self, runtime: str, status: wire.Status, reason: str | None) -> None:
        cells = [c["id"] for c in self.plan.measurable.values() if c["runtime"] == runtime]
        self.store.mark_cells(self.run, self.device.name, status, dict.fromkeys(cells, reason))

    def _runtime(self, site: Site, name: str, facts: Mapping[str, Any]) -> str:
        requires = provision.requirements(name, self.device.details())
        if requires is None:
            return ""
        return deploy.install(site, provision.archive(name, requires, provision.target(facts)))

    def _job(self, attempt: str, runtimes: Mapping[str, wire.Runtime]) -> wire.Job:
        self._heed_stop()
        lost = self.store.failed_evaluations(self.run, self.device.name)
        evaluations, launches = self.store.done(self.run, self.device.name)
        job = plan.job(
            self.plan,
            self.run,
            seed=seed(self.run),
            runtimes=runtimes,
            files=self.inputs.parts(),
            attempt=attempt,
            profile=self.profile,
            skip={
                key: lost[cell["evaluation"]]
                for key, cell in self.plan.measurable.items()
                if cell["evaluation"] in lost
            },
            dataset=self.inputs.samples.wire() if self.inputs.samples else None,
            robustness=self.inputs.robustness(),
            done_evaluations=evaluations,
            answered=self.store.answered(self.run, self.device.name),
            done_launches=launches,
        )
        stored = {group for group, _ in launches}
        for group in job["groups"]:
            if group["id"] in stored and self._is_decided(group["id"]):
                group["launches"] = 0
        return job

    def event(self, event: Event) -> None:
        """Store what was measured, at once; show the rest."""
        if event["kind"] == "launch":
            self.store.add_launch(self.run, self.device.name, cast(wire.LaunchEvent, event))
            self.spent_s += event["seconds"]
            self._look(event["group"], event["ordinal"] + 1)
        elif event["kind"] == "evaluation":
            self.store.add_evaluation(self.run, self.device.name, cast(wire.EvaluationEvent, event))
            if self.foreseen_sets is None:
                self._foresee_sets()
        elif event["kind"] == "set":
            self.store.add_set(self.run, self.device.name, cast(wire.SetEvent, event))
        elif event["kind"] == "floor":
            self.store.update_device(self.run, self.device.name, floor=event)
        elif event["kind"] == "doing":
            self.spent_s = event["elapsed_s"]
            self.show.update(self.device.name, event["what"], cast(wire.DoingEvent, event))
            if self.stopping.is_set():
                self._tell_to_stop()

    def _look(self, group: str, launches: int) -> None:
        """At a look before the last, end a group all of whose gates at looks are decided."""
        if launches > 1 and self.foreseen is None:
            self._foresee()
        looks = verdicts.LOOKS[self.inputs.study.measure.effort]
        if launches in looks[:-1] and self.site and self._is_decided(group):
            session.enough(self.site, self.run, group)
            self.say(f"{group}: decided after {launches} launches")

    def _foresee(self) -> None:
        """Say which gates the budget cannot decide: every group has had a launch by now."""
        run, device = self.store.load(self.run), self.device.name
        budget = self.inputs.study.measure.budget
        self.foreseen = foresight.after_first_launches(run, device, self.spent_s, budget)
        for line in self.foreseen:
            self.say(line)

    def _foresee_sets(self) -> None:
        """Say when the sets of robustness take longer than the budget, as soon as that is known."""
        budget = self.inputs.study.measure.budget
        run = self.store.load(self.run)
        self.foreseen_sets = foresight_sets.too_long(run, self.device.name, budget)
        if self.foreseen_sets:
            self.say(self.foreseen_sets)

    def _is_decided(self, group: str) -> bool:
        return verdicts.is_decided(self.store.load(self.run), self.device.name, group)

    def say(self, what: str) -> None:
        """Show news about this device."""
        self.show.update(self.device.name, what)


def seed(run: str) -> int:
    """Seed of a run's random orders: from its id, so that a resumed run keeps them."""
    return int.from_bytes(run.encode()[-4:], "big")
