"""The supervisor: does a job on the device, alone on it, and keeps on when the host is gone."""

from __future__ import annotations

import fcntl
import json
import os
from typing import IO, Any, Dict, Iterator, List, Optional, Set, Tuple

from agents import evaluation, floor, launch, proc, wire
from agents.bench import Bench
from agents.journal import Journal

IDENTITY = "supervisor.json"
STOP = "stop"
# A cell whose worker fails this often in a row is given up, so that it cannot eat the budget.
GIVE_UP_AFTER = 2


class Supervisor:
    """One job, from wherever its journal ends."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.job = bench.job
        self.journal = Journal(bench.folder)
        self.spent_s = 0.0
        self.skip: Dict[str, str] = dict(self.job["skip"])
        self.failures: Dict[str, int] = {}
        self.has_floor = False
        self.done_evaluations: Set[str] = set(self.job["done_evaluations"])
        self.done_launches: Set[Tuple[str, int]] = {
            (group, ordinal) for group, ordinal in self.job["done_launches"]
        }
        for event in self.journal.events:
            self.learn(event)

    def learn(self, event: Dict[str, Any]) -> None:
        """Take in an event of the journal, new or from before a restart."""
        if event["kind"] == "floor":
            self.spent_s += event["seconds"]
            self.has_floor = True
        elif event["kind"] == "evaluation":
            self.spent_s += event["seconds"]
            self.done_evaluations.add(event["evaluation"])
            if event["status"] != "ok":
                self.skip_evaluated(event)
        elif event["kind"] == "launch":
            self.spent_s += event["seconds"]
            self.done_launches.add((event["group"], event["ordinal"]))
            for record in event["cells"]:
                self.count_failures(record)

    def skip_evaluated(self, event: Dict[str, Any]) -> None:
        """Leave out the cells of an evaluation in which the model did not run."""
        for cell in self.job["cells"].values():
            if cell["evaluation"] == event["evaluation"]:
                self.skip[cell["id"]] = event["reason"]

    def count_failures(self, record: wire.CellLaunch) -> None:
        """Give a cell up when it is unsupported or keeps failing."""
        cell = record["cell"]
        self.failures[cell] = 0 if record["status"] == "ok" else self.failures.get(cell, 0) + 1
        if record["status"] == "unsupported" or self.failures[cell] >= GIVE_UP_AFTER:
            self.skip[cell] = record["reason"] or "failed"

    def run(self) -> None:
        """Do what is left of the job, until it is done, stopped, or out of budget."""
        reason = "done"
        for what, action in self.steps():
            if os.path.exists(os.path.join(self.bench.folder, STOP)):
                reason = "stopped"
                break
            if self.spent_s >= self.job["budget_s"]:
                reason = "budget"
                break
            self.announce(what)
            self.record(action())
        finished = {"kind": "finished", "reason": reason, "attempt": self.job["attempt"]}
        self.record(dict(finished, elapsed_s=self.spent_s))

    def steps(self) -> "Iterator[Tuple[str, Any]]":
        """What is to be done, in order: floor, evaluations, then launches through all groups.

        Every group gets its first launch before any gets its second, so that a budget that ends
        early leaves each with as many as the others.
        """
        if not self.has_floor:
            yield "the cost of measuring itself", lambda: floor.run(self.bench)
        for item in self.job["evaluations"]:
            if item["id"] not in self.done_evaluations:
                yield "evaluate " + item["id"], lambda item=item: evaluation.run(self.bench, item)
        for group, ordinal in self.launches():
            if (group["id"], ordinal) not in self.done_launches and self.alive(group):
                what = "{}: launch {} of {}".format(group["id"], ordinal + 1, group["launches"])
                yield what, lambda g=group, o=ordinal: launch.run(self.bench, g, o, self.skip)

    def launches(self) -> Iterator[Tuple[wire.Group, int]]:
        """Every launch of the job, ordinal by ordinal."""
        most = max((group["launches"] for group in self.job["groups"]), default=0)
        for ordinal in range(most):
            for group in self.job["groups"]:
                if ordinal < group["launches"]:
                    yield group, ordinal

    def alive(self, group: wire.Group) -> bool:
        """Whether a group has cells left to measure, and the host has not seen enough of it.

        One runtime alone compares with nothing, and its values come from the variants' group.
        """
        enough = os.path.join(self.bench.folder, wire.enough_file(group["id"]))
        left = [cell for cell in group["cells"] if cell not in self.skip]
        return not os.path.exists(enough) and len(left) >= (2 if group["kind"] == "runtime" else 1)

    def announce(self, what: str) -> None:
        """Tell the host what begins; of no worth after a crash, so not synced."""
        done = len(self.done_evaluations) + len(self.done_launches)
        event: wire.DoingEvent = {
            "kind": "doing",
            "what": what,
            "done": done,
            "total": self.total(),
            "elapsed_s": self.spent_s,
        }
        self.journal.append(event, durable=False)

    def total(self) -> int:
        """Count the steps of the whole job, those of dead groups left out."""
        launches = [
            (group["id"], ordinal)
            for group, ordinal in self.launches()
            if self.alive(group) or (group["id"], ordinal) in self.done_launches
        ]
        return len(self.job["evaluations"]) + len(launches)

    def record(self, event: Any) -> None:
        """Put an event on the disk and take it in."""
        self.journal.append(event)
        self.learn(event)


def device_lock(root: str, folder: str) -> IO[str]:
    """Wait until no other job runs on this device; the lock goes with the process."""
    file = open(os.path.join(root, "lock"), "a+", encoding="utf-8")  # noqa: SIM115 (returned)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        what = "waiting for another run on this device"
        waiting: wire.DoingEvent = {
            "kind": "doing",
            "what": what,
            "done": 0,
            "total": 0,
            "elapsed_s": 0.0,
        }
        Journal(folder).append(waiting)
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def identify(folder: str) -> None:
    """Write down which process does the job: pid, start time and boot name it for good."""
    identity = {"pid": os.getpid(), "start": proc.start_time(os.getpid()), "boot": proc.boot_id()}
    temporary = os.path.join(folder, IDENTITY + ".part")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(identity, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, os.path.join(folder, IDENTITY))


def is_alive(folder: str) -> bool:
    """Whether the supervisor of a job folder is still at work."""
    try:
        with open(os.path.join(folder, IDENTITY), encoding="utf-8") as file:
            identity = json.load(file)
    except (FileNotFoundError, ValueError):  # a power cut may leave an empty file
        return False
    started: Optional[str] = proc.start_time(identity["pid"])
    return bool(started == identity["start"] and proc.boot_id() == identity["boot"])


def main(arguments: List[str]) -> None:
    """Do the job in a folder: `supervise ROOT/jobs/NAME`."""
    folder = os.path.abspath(arguments[0])
    root = os.path.dirname(os.path.dirname(folder))
    identify(folder)
    with open(os.path.join(folder, "job.json"), encoding="utf-8") as file:
        job: wire.Job = json.load(file)
    with device_lock(root, folder):
        Supervisor(Bench(job, root, folder)).run()
