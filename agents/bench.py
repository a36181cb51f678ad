"""The job as laid out on the device: where files lie and how a worker is started for a cell."""

from __future__ import annotations

import os
from typing import Any, Dict, NamedTuple, Sequence

from agents import backends, cpus, process, scenarios, wire


class Bench(NamedTuple):
    """A job and its folders."""

    job: wire.Job
    root: str  # of everything edgeproof has on the device
    folder: str  # of the job

    def blob(self, sha256: str) -> str:
        """Path of a file that was pushed."""
        return os.path.join(self.root, "blobs", sha256)

    def model(self, cell: wire.Cell) -> str:
        """Path of a cell's model, under a name with its suffix and beside its companion files."""
        folder = os.path.join(self.folder, "models")
        os.makedirs(folder, exist_ok=True)
        links = {}
        for suffix, sha256 in self.job["files"][cell["artifact"]].items():
            links[suffix] = os.path.join(folder, cell["artifact"] + suffix)
            if not os.path.islink(links[suffix]):
                os.symlink(self.blob(sha256), links[suffix])
        return next(iter(links.values()))

    def spawn(self, cell: wire.Cell, purpose: str) -> process.Process:
        """Start a worker; its log is named after the purpose and the cell."""
        folder = os.path.join(self.folder, "logs")
        os.makedirs(folder, exist_ok=True)
        log = os.path.join(folder, "{}-{}.log".format(purpose, cell["id"].replace("/", "_")))
        path = self.job["runtimes"][cell["runtime"]]["path"]
        return process.Process(process.command(path), process.environment(path), log)

    def load_request(self, cell: wire.Cell, trace: bool) -> Dict[str, Any]:
        """Build the first message to a worker; raises WorkerError when there are too few cores.

        With trace, for an evaluation, requests come one by one whatever the scenario.
        """
        allowed = os.sched_getaffinity(0)
        if len(allowed) < cell["threads"]:
            raise process.WorkerError(
                "unsupported",
                "{} threads asked for, {} cores there".format(cell["threads"], len(allowed)),
            )
        flow = scenarios.Flow(1, 1) if trace else self.flow(cell, len(allowed))
        dataset = self.job["dataset"]
        return {
            "do": "load",
            "cell": cell,
            "path": self.model(cell),
            "cpus": cpus.choose(cell["threads"] * flow.streams, allowed),
            "streams": flow.streams,
            "requests": flow.requests,
            "trace": trace,
            "dataset": dataset,
            "dataset_path": self.blob(dataset["artifact"]) if dataset else None,
        }

    def flow(self, cell: wire.Cell, cores: int) -> scenarios.Flow:
        """How requests come to a cell when it may have so many cores."""
        scenario = self.job["scenarios"][cell["scenario"]]
        flow: scenarios.Flow = scenarios.find(cell["scenario"]).flow(
            scenario, max(1, cores // cell["threads"])
        )
        return flow

    @property
    def timeout(self) -> float:
        """Seconds a worker may take for one answer."""
        return self.job["timing"]["answer_timeout_s"]

    def load_timeout(self, cell: wire.Cell) -> float:
        """Seconds a worker may take to load a cell's model, and to run it once."""
        compiling: Sequence[str] = getattr(backends.find(cell["runtime"]), "COMPILES", ())
        if cell["target"] in compiling:
            return self.job["timing"]["compile_timeout_s"]
        return self.timeout
