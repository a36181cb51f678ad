"""The supervisor: does a job on the device, alone on it, and keeps on when the host is gone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from functools import partial
from typing import IO, Any, Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple

from agents import evaluation, floor, launch, proc, wire
from agents.bench import Bench
from agents.journal import Journal

IDENTITY = "supervisor.json"
# What has the budget to itself: measuring (floor, evaluations, launches), and what comes after it.
MEASURING, ROBUSTNESS = "measuring", "robustness"
# A cell whose worker fails this often in a row is given up, so that it cannot eat the budget.
GIVE_UP_AFTER = 2

# What it is for, what the host is told, and what does it: null when a stop came first.
Step = Tuple[str, str, Callable[[], Optional[Mapping[str, Any]]]]


class Supervisor:
    """One job, from wherever its journal ends."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.job = bench.job
        self.journal = Journal(bench.folder)
        self.spent_s = {MEASURING: 0.0, ROBUSTNESS: 0.0}
        self.skip: Dict[str, str] = dict(self.job["skip"])
        self.failures: Dict[str, int] = {}
        self.has_floor = False
        self.done_evaluations: Set[str] = set(self.job["done_evaluations"])
        # How the scores were read, by evaluation that went well.
        self.readings: Dict[str, Optional[str]] = {}
        self.done_sets: Set[Tuple[str, str, int]] = set()
        for key, answered in self.job["answered"].items():
            self.readings[key] = answered["scores"]
            self.done_sets.update((key, name, severity) for name, severity in answered["sets"])
        self.done_launches: Set[Tuple[str, int]] = {
            (group, ordinal) for group, ordinal in self.job["done_launches"]
        }
        for event in self.journal.events:
            self.learn(event)

    def learn(self, event: Dict[str, Any]) -> None:
        """Take in an event of the journal, new or from before a restart."""
        if event["kind"] in ("floor", "evaluation", "launch"):
            self.spent_s[MEASURING] += event["seconds"]
        if event["kind"] == "floor":
            self.has_floor = True
        elif event["kind"] == "evaluation":
            self.done_evaluations.add(event["evaluation"])
            if event["status"] == "ok":
                self.readings[event["evaluation"]] = event["scores"]
                self.done_sets.update(
                    (event["evaluation"], one["name"], one["severity"])
                    for one in event["sets"]
                    if one["kind"] != "clean" and one["reason"] != wire.NOT_RUN
                )
            else:
                self.skip_evaluated(event)
        elif event["kind"] == "set":
            self.spent_s[ROBUSTNESS] += event["seconds"]
            done = event["scored"]
            self.done_sets.add((event["evaluation"], done["name"], done["severity"]))
        elif event["kind"] == "launch":
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
        """Do what is left of the job, until it is done, stopped, or out of its budgets."""
        reason = "done"
        for purpose, what, action in self.steps():
            if os.path.exists(os.path.join(self.bench.folder, wire.STOP_FILE)):
                reason = "stopped"
                break
            if self.spent_s[purpose] >= self.job["budget_s"]:
                reason = "budget"
                continue
            self.announce(purpose, what)
            event = action()
            if event is None:
                reason = "stopped"
                break
            self.record(event)
        finished = {"kind": "finished", "reason": reason, "attempt": self.job["attempt"]}
        self.record(dict(finished, elapsed_s=sum(self.spent_s.values())))

    def steps(self) -> Iterator[Step]:
        """What is to be done, in order: floor, evaluations, launches, then the sets of robustness.

        Every group gets its first launch before any gets its second, so that a budget that ends
        early leaves each with as many as the others. The sets come last, for they heat the board,
        and have as much time again, so that they cost no launch and no launch costs them.
        """
        if not self.has_floor:
            yield MEASURING, "the cost of measuring itself", partial(floor.run, self.bench)
        for item in self.job["evaluations"]:
            if item["id"] not in self.done_evaluations:
                what = "evaluate " + item["id"]
                yield MEASURING, what, partial(evaluation.run, self.bench, item)
        for group, ordinal in self.launches():
            if (group["id"], ordinal) not in self.done_launches and self.alive(group):
                what = "{}: launch {} of {}".format(group["id"], ordinal + 1, group["launches"])
                yield MEASURING, what, partial(launch.run, self.bench, group, ordinal, self.skip)
        yield from self.sets()

    def sets(self) -> Iterator[Step]:
        """The sets of robustness that are not done, of each model that answered the dataset."""
        for item in self.answering():
            scores = self.readings[item["id"]]
            with contextlib.closing(evaluation.Asked(self.bench, item, scores)) as asked:
                for one in evaluation.further_sets(self.job):
                    if (item["id"], one.name, one.severity) not in self.done_sets:
                        what = "{}: {}".format(item["id"], one)
                        yield ROBUSTNESS, what, partial(asked.run, one)

    def answering(self) -> List[wire.Evaluation]:
        """The evaluations that answered the dataset."""
        asked = [item for item in self.job["evaluations"] if item["answers"]]
        return [item for item in asked if item["id"] in self.readings]

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

    def announce(self, purpose: str, what: str) -> None:
        """Tell the host what begins; of no worth after a crash, so not synced."""
        done, total = self.progress(purpose)
        event: wire.DoingEvent = {
            "kind": "doing",
            "what": what,
            "done": done,
            "total": total,
            "elapsed_s": self.spent_s[purpose],
        }
        self.journal.append(event, durable=False)

    def progress(self, purpose: str) -> Tuple[int, int]:
        """Count the steps done and all those of the job, the launches of dead groups left out."""
        if purpose == ROBUSTNESS:
            each = len(list(evaluation.further_sets(self.job)))
            return len(self.done_sets), len(self.answering()) * each
        launches = [
            (group["id"], ordinal)
            for group, ordinal in self.launches()
            if self.alive(group) or (group["id"], ordinal) in self.done_launches
        ]
        done = len(self.done_evaluations) + len(self.done_launches)
        return done, len(self.job["evaluations"]) + len(launches)

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
