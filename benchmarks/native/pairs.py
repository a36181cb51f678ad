"""A model in a runtime, measured launch by launch: worker, C loop and tool alive, one active."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import onnxruntime

from agents import cpus, feed, launch, process, schedule, wire
from benchmarks.native import loops, models, peers
from benchmarks.native.loops import UnavailableError
from benchmarks.native.models import Model
from reports import stats
from reports.estimate import Estimate
from tests.contract.workshop import TIMING, Workshop

# A block lasts about this long, but has at least so many inferences.
BLOCK_US = 15_000
FEWEST_IN_BLOCK = 4
BLOCKS = 16
WARMUP_NS = 150_000_000
WARMUP_ITERATIONS = 50
# A tool gets a few longer turns: each switch spoils one of its samples.
PEER_TURNS = 2
PEER_BLOCKS_A_TURN = 10
NATIVE, AGENT = "native", "agent"


@dataclass
class Medians:
    """Medians of one side in us, one a launch, or the reason why there are none."""

    us: list[float] = field(default_factory=list)
    reason: str | None = None

    def attempt(self, action: Callable[[], object]) -> None:
        """Do something for this side, unless it has failed before."""
        if self.reason is None:
            try:
                action()
            except (UnavailableError, process.WorkerError) as error:
                self.reason = str(error)

    @property
    def value(self) -> float | None:
        """The median over launches; null when any failed."""
        return median(self.us) if self.us and self.reason is None else None

    def ratio_to(self, other: Medians) -> Estimate:
        """How many times the other's medians these are, with the interval over launches."""
        if self.value is None or other.value is None:
            return Estimate.missing(self.reason or other.reason or "no launches")
        both = zip(self.us, other.us, strict=True)
        return stats.t_ratio([math.log(mine / its) for mine, its in both])


class Pair:
    """A model in a runtime: its files, and what has been measured."""

    def __init__(self, shop: Workshop, runtime: str, model: Model, program: Path | None) -> None:
        self.shop, self.runtime, self.model, self.program = shop, runtime, model, program
        self.agent, self.native, self.peer = Medians(), Medians(), Medians()
        self.tree = Path(shop.runtime(runtime))
        self.tool = peers.TOOLS.get(runtime)
        if self.tool is None:
            self.peer.reason = f"the {runtime} wheel has no benchmark tool"
        save = models.save_tflite if runtime == "litert" else models.save_onnx
        self.path = save(model, shop.root)
        self.iterations = max(FEWEST_IN_BLOCK, round(BLOCK_US / model.nominal_us))
        self.cell = shop.cell(self.path, runtime)
        self.bench = shop.bench(shop.job([self.cell], timing=self.timing()))
        self.cpus = cpus.choose(1, os.sched_getaffinity(0))
        self.given = shop.root / f"{model.name}.input"
        values = feed.random_values(self.cell["inputs"][0])
        values.tofile(self.given)
        if program is not None:
            session = onnxruntime.InferenceSession(self.path)
            self.reference = session.run(None, {"x": values})[0]

    def timing(self) -> wire.Timing:
        """Blocks of as many inferences as the loop's; the warm-up is the harness's own."""
        return {
            "block_iterations": self.iterations,
            "block_ns": 1,
            "warmup_iterations": WARMUP_ITERATIONS,
            "warmup_ns": WARMUP_NS,
            "warmup_cap_ns": 8 * WARMUP_NS,
            "answer_timeout_s": TIMING["answer_timeout_s"],
            "compile_timeout_s": TIMING["compile_timeout_s"],
        }

    def launch(self, ordinal: int) -> None:
        """Measure one launch: fresh processes of all sides."""
        ran = Launch(self, ordinal)
        try:
            ran.measure()
        finally:
            ran.close()


class Launch:
    """Fresh processes of the agent, the loop and the tool, and their blocks."""

    def __init__(self, pair: Pair, ordinal: int) -> None:
        self.pair, self.ordinal = pair, ordinal
        self.arm = launch.Arm(pair.bench, pair.cell)
        self.loop: loops.Loop | None = None
        self.peer: peers.Peer | None = None
        seed = f"{pair.runtime}/{pair.model.name}/{ordinal}"
        self.order = schedule.order([NATIVE, AGENT], BLOCKS, seed)

    def measure(self) -> None:
        """Start all, warm them up, take blocks in turn, and give the pair the medians."""
        pair = self.pair
        pair.peer.attempt(self.start_peer)  # it loads while the others do
        for side in self.order.spawn:
            {NATIVE: self.start_loop, AGENT: self.start_agent}[side]()
        pair.peer.attempt(self.await_peer)
        for side in self.order.warmup:
            {NATIVE: self.warm_loop, AGENT: self.arm.warm}[side]()
        self.take_blocks()
        self.arm.finish()
        pair.agent.attempt(lambda: pair.agent.us.append(self.agent_us()))
        pair.native.attempt(lambda: pair.native.us.append(self.native_us()))
        pair.peer.attempt(lambda: pair.peer.us.append(self.peer_us()))

    def log(self, what: str) -> Path:
        """Where a process of this launch prints to."""
        return Path(self.pair.bench.folder) / f"{what}-{self.ordinal}.log"

    def start_peer(self) -> None:
        """Start the runtime's tool."""
        pair = self.pair
        assert pair.tool is not None
        runs = PEER_TURNS * PEER_BLOCKS_A_TURN * pair.iterations
        with loops.pinned(pair.cpus):
            self.peer = peers.Peer(pair.tool, pair.tree, pair.path, runs, self.log("peer"))

    def await_peer(self) -> None:
        """Wait until the tool measures."""
        assert self.peer is not None
        self.peer.until_ready()

    def start_loop(self) -> None:
        """Start the C loop and see that it computes the same."""
        self.pair.native.attempt(self.checked_loop)

    def checked_loop(self) -> None:
        """Start the C loop; raises UnavailableError when its outputs are others."""
        pair = self.pair
        assert pair.program is not None
        command = loops.command(pair.program, pair.model, pair.path, pair.given)
        self.loop = loops.Loop(command, self.log(NATIVE), pair.cpus)
        self.loop.check(pair.reference)

    def start_agent(self) -> None:
        """Start the agent's worker as a supervisor does."""
        with self.pair.shop.supervising():
            self.arm.open(f"launch{self.ordinal}")

    def warm_loop(self) -> None:
        """Run the loop for about as long as a worker warms up."""
        runs = max(WARMUP_ITERATIONS, round(WARMUP_NS / 1000 / self.pair.model.nominal_us))
        self.native_block(runs, keep=False)

    def native_block(self, runs: int, *, keep: bool = True) -> None:
        """Have the loop measure a block, if there is one."""
        loop = self.loop
        if loop is not None:
            self.pair.native.attempt(lambda: loop.block(runs, keep=keep))

    def take_blocks(self) -> None:
        """Take the blocks; the tool has its turns in between."""
        every = len(self.order.blocks) // PEER_TURNS
        iterations = self.pair.iterations
        for at, side in enumerate(self.order.blocks):
            if side == AGENT:
                self.arm.block()
            else:
                self.native_block(iterations)
            if at % every == every // 2 and self.peer is not None:
                self.peer.turn(PEER_BLOCKS_A_TURN * iterations * self.pair.model.nominal_us / 1e6)

    def agent_us(self) -> float:
        """Median of the worker's blocks."""
        if self.arm.record["status"] != "ok":
            raise UnavailableError(f"agent: {self.arm.record['reason']}")
        return p50_us(self.arm.record["blocks"])

    def native_us(self) -> float:
        """Median of the loop's blocks."""
        assert self.loop is not None
        return p50_us(self.loop.blocks)

    def peer_us(self) -> float:
        """Median that the tool prints at its end."""
        assert self.peer is not None
        return self.peer.p50_us()

    def close(self) -> None:
        """End all."""
        self.arm.close()
        if self.loop is not None:
            self.loop.process.close()
        if self.peer is not None:
            self.peer.close()


def p50_us(blocks: list[list[int]]) -> float:
    """Median of blocks of ns, the first sample of each left out, in us."""
    return 1000 * stats.quantile(stats.kept_samples(blocks), "p50")
