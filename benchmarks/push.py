"""Time of a first and a second deployment over real SSH, beside scp of the same files.

A deployment connects, compares sha256 on the device, sends what is missing, has it written through
to the disk and hashed again; scp connects and copies. So that it is clear what durability costs,
scp is timed with `sync` and `sha256sum` after it too. Unpacking the runtime is timed apart.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from agents import backends
from harness import deploy, provision
from harness.deploy import Blob, Site
from harness.devices import Device
from harness.provision import Archive
from tests.boards import Board, board_kind, make_board

ROUNDS = 5
MODEL_BYTES = 20_000_000
PIECE = 4096
ZEROS = 0.7
# Room for two copies of everything and the unpacked runtime.
DISK_MB = 900
RUNTIME = "onnxruntime"
ORDERS = (("first", "scp", "verified"), ("verified", "scp", "first"))


@dataclass
class Lane:
    """What is timed, on one board."""

    board: Board
    files: list[Blob]
    runtime: Archive
    seconds: dict[str, list[float]] = field(default_factory=dict)
    pushed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        models = sum(file.path.stat().st_size for file in self.files)
        self.bytes = models + self.runtime.bytes + len(deploy.zipapp())

    def time(self, name: str, action: Callable[[], object]) -> None:
        """Add the time of one action."""
        begin = time.perf_counter()
        action()
        self.seconds.setdefault(name, []).append(time.perf_counter() - begin)

    def device(self, root: str) -> Device:
        """The board with a folder of its own for each round."""
        return Device(name="board", host=self.board.host, root=root)

    def first(self, root: str) -> None:
        """Deploy onto a device that has nothing, then unpack, then deploy again."""
        self.time("first", lambda: self.deployed(root, unpack=False))
        self.time("unpack", lambda: self.deployed(root, unpack=True))
        # The one before was a second deployment too, but for the runtime.
        self.time("second", lambda: self.pushed.append(self.deployed(root, unpack=True)))

    def deployed(self, root: str, *, unpack: bool) -> int:
        """Connect and deploy; returns the bytes that were sent."""
        with closing(self.board.connect()) as connection:
            site: Site = deploy.open_site(self.device(root), connection)
            deploy.push(site, self.files)
            if unpack:
                deploy.install(site, self.runtime)
            else:
                deploy.push(site, [Blob("runtimes", self.runtime.path, self.runtime.sha256)])
            return sum(site.pushed.values())

    def scp(self, folder: str, *, verified: bool) -> None:
        """Copy the same files with scp; verified adds what a deployment makes sure of."""
        sources = [*(str(file.path) for file in self.files), str(self.runtime.path)]
        config = ["-q", "-F", str(self.board.ssh_config)]
        target = f"{self.board.name}:{folder}/"
        subprocess.run(["scp", *config, *sources, target], check=True)
        if verified:
            script = f"sync {folder}/* && sha256sum {folder}/*"
            check = ["ssh", *config, self.board.name, script]
            subprocess.run(check, check=True, stdout=subprocess.DEVNULL)

    def round(self, at: int) -> None:
        """Time everything once; the order alternates so that drift hits all alike."""
        with closing(self.board.connect()) as connection:
            folders = {name: f"/tmp/{name}{at}" for name in ORDERS[0]}
            connection.run(["mkdir", *folders.values()])
            for name in ORDERS[at % 2]:
                if name == "first":
                    self.first(folders[name])
                elif name == "scp":
                    self.time(name, lambda: self.scp(folders["scp"], verified=False))
                else:
                    self.time(name, lambda: self.scp(folders["verified"], verified=True))
                connection.run(["rm", "-rf", folders[name]])


def model(folder: Path, name: str, zeros: float) -> Blob:
    """A file like a model's weights: pieces of random bytes, a share of them zero."""
    generator = random.Random(name)
    path = folder / name
    pieces = [
        bytes(PIECE) if generator.random() < zeros else generator.randbytes(PIECE)
        for _ in range(MODEL_BYTES // PIECE)
    ]
    path.write_bytes(b"".join(pieces))
    return Blob("models", path, hashlib.sha256(path.read_bytes()).hexdigest())


def measure(board: Board) -> Lane:
    """Run all rounds on a board."""
    with tempfile.TemporaryDirectory() as scratch, closing(board.connect()) as connection:
        files = [model(Path(scratch), "dense", 0.0), model(Path(scratch), "pruned", ZEROS)]
        site = deploy.open_site(Device(name="board", host=board.host, root="/tmp/site"), connection)
        goal = provision.target(site.facts())
        runtime = provision.archive(RUNTIME, tuple(backends.find(RUNTIME).REQUIRES), goal)
        lane = Lane(board, files, runtime)
        for at in range(ROUNDS):
            lane.round(at)
            said = ", ".join(f"{name} {values[-1]:.2f} s" for name, values in lane.seconds.items())
            print(f"round {at + 1} of {ROUNDS}: {said}", flush=True)
    return lane


def summary(lane: Lane) -> dict[str, object]:
    """Medians, and ratios of medians to scp."""
    middle = {name: median(values) for name, values in lane.seconds.items()}
    return {
        "bench": "push",
        "rounds": ROUNDS,
        "board": board_kind().kind,
        "bytes": lane.bytes,
        "first_s": round(middle["first"], 3),
        "second_s": round(middle["second"], 3),
        "unpack_s": round(middle["unpack"], 3),
        "scp_s": round(middle["scp"], 3),
        "scp_verified_s": round(middle["verified"], 3),
        "first_over_scp": round(middle["first"] / middle["scp"], 3),
        "first_over_scp_verified": round(middle["first"] / middle["verified"], 3),
        "second_over_scp": round(middle["second"] / middle["scp"], 3),
        "second_bytes": max(lane.pushed),
    }


def main() -> None:
    """Print a line a round, the medians, and one JSON line last."""
    with closing(make_board(disk_mb=DISK_MB)) as board:
        found = summary(measure(board))
    print(f"first deployment {found['first_s']} s, scp {found['scp_s']} s")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
