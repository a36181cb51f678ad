"""What programs may rely on in `report --format json`: the keys of edgeproof.report/1, and kinds.

Keys may be added and never change; what was not measured is null, and `reasons` or `reason` says
why. Numbers are in the unit that their key ends with; an interval is its two ends, at 95%.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Interval = tuple[float, float]
Reasons = dict[str, str]  # path of a null -> why
Verdict = Literal["pass", "fail", "inconclusive"]
Finding = Literal["faster", "slower", "same", "undecided"]


class Part(BaseModel):
    """Keys may be added."""

    model_config = ConfigDict(extra="allow")


class Outcomes(Part):
    """How many verdicts, and how many of each outcome."""

    asked: int
    fail: int
    inconclusive: int
    passed: int = Field(alias="pass")
    by_waiver: int  # of those, by the ceiling of a waiver


class GateCounts(Outcomes):
    """Those of one gate."""

    gate: str


class Counts(Part):
    """How many cells and verdicts there are of each kind."""

    cells: int
    without_result: int
    verdicts: Outcomes
    gates: list[GateCounts]


class Floor(Part):
    """What measuring itself costs on the device."""

    loop_us: float | None
    supervisor_mib: float
    worker_mib: float | None
    reason: str | None


class Device(Part):
    """A board of the run."""

    name: str
    profile: str
    facts: dict[str, Any]
    status: Literal["ok", "failed", "running"]
    reason: str | None
    pushed_bytes: dict[str, int]
    seconds: float | None  # board time
    floor: Floor | None
    selftest: dict[str, Any] | None  # how often gates were wrong on this very device


class Latency(Part):
    """Times of one inference, query or first answer."""

    p50: float | None
    p95: float | None
    p99: float | None
    mean: float | None
    min: float | None
    ci: dict[str, Interval | None]


class Unpreempted(Part):
    """Of the samples that kept their core."""

    p50: float | None
    p95: float | None
    ci: dict[str, Interval | None]


class OutstandingClass(Part):
    """The class that stands out; the interval is for all classes at once."""

    number: int = Field(alias="class")
    interval: Interval
    samples: int


class LowestRecall(OutstandingClass):
    """Of which the least is found."""

    recall: float


class LargestLoss(OutstandingClass):
    """Of which most was lost against the baseline."""

    loss: float


class Accuracy(Part):
    """Shares of 1, on the dataset; a drop is the baseline's less this one's."""

    top1: float | None
    top5: float | None
    auc: float | None
    map50: float | None
    miou: float | None
    agreement: float | None
    top1_drop: float | None
    top5_drop: float | None
    auc_drop: float | None
    map50_drop: float | None
    miou_drop: float | None
    samples: int | None
    top1_lost: int | None
    top1_gained: int | None
    recall_worst: LowestRecall | None
    recall_loss_worst: LargestLoss | None
    ci: dict[str, Interval | None]


class Trial(Part):
    """One rate of arrivals that was tried, in requests a second."""

    rate: float
    p50_ms: float | None
    p99_ms: float | None
    requests: int
    late: int
    launches: int


class Server(Part):
    """The highest rate whose p99 keeps the target, in inputs a second."""

    rate_ips: float | None
    target_ms: float
    trials: list[Trial]
    ci: dict[str, Interval | None]


class Sustained(Part):
    """Under a load that lasts, minute by minute."""

    first_p50_ms: float | None
    last_p50_ms: float | None
    ratio: float | None
    minutes: list[float | None]
    over_first: list[float | None]
    # Before the first minute and after each: of each sensor, of the slowest processor in use, and
    # its share of the highest clock; of several launches the hottest and the slowest.
    temperature_c: dict[str, list[float | None]] | None
    clock_mhz: list[float | None] | None
    clock_share: list[float | None] | None
    throttled: list[str | None] | None  # minute by minute, why; null: not known to have been
    ci: dict[str, Interval | None]


class Realised(Part):
    """What the zeros of a variant gain beside its densified twin."""

    twin: str
    twin_cell: str
    metric: str
    ratio: float | None
    ci: Interval | None
    launches: int
    paper_ratio: float | None
    macs_saved_share: float | None
    verdict: Literal["realised", "partly", "not realised", "slower", "inconclusive"]
    reason: str | None
    able: str  # which sparse kernels the runtime has
    sparse_kernels: list[str] | None  # that ran
    picked: bool | None
    kernels_reason: str | None


class Cell(Part):
    """What a row is of."""

    device: str
    variant: str
    runtime: str
    scenario: str
    batch: int
    threads: int


class Result(Cell):
    """A cell: what was measured, and why the rest was not."""

    cell: str
    format: str | None
    artifact: str | None  # sha256 of its file
    evaluation: str
    precision_requested: str
    precision_executed: str | None
    executed: dict[str, Any]
    status: Literal["ok", "failed", "unsupported", "invalid"]
    reason: str | None
    log: list[str]
    launches: int
    samples: int
    streams: int | None
    latency_ms: Latency
    unpreempted_ms: Unpreempted
    throughput_ips: float | None
    server: Server | None
    sustained: Sustained | None
    peak_rss_mib: float | None
    runtime_mib: float | None
    weights_mib: float | None
    activations_mib: float | None
    io_mib: float | None
    gpu_mib: float | None
    other_mib: float | None
    memory: dict[str, Any]
    load_ms: float | None
    first_inference_ms: float | None
    file_bytes: int | None
    compressed_bytes: int | None
    sparsity: float | None
    accuracy: Accuracy
    calibration: dict[str, Any] | None
    robustness: dict[str, Any] | None
    energy_mj: float | None
    noise: dict[str, Any]
    variance: dict[str, Any] | None
    intervals: dict[str, Interval | None]
    flags: list[str]
    reasons: Reasons
    realised: Realised | None = None


class Comparison(Cell):
    """A candidate over its baseline, measured in turns."""

    kind: Literal["variant", "runtime"]
    precision: str
    baseline: str
    candidate: str
    metric: str
    clock: str
    ratio: float | None
    ci: Interval | None
    launches: int
    seconds: float
    finding: Finding
    p_slower: float | None
    p_faster: float | None
    reason: str | None
    group: str
    baseline_cell: str
    candidate_cell: str


class Waiver(Part):
    """A wider limit for one cell, until a day."""

    ceiling: float
    expires: str
    reason: str
    issue: str | None
    in_force: bool


class Judgement(Part):
    """A gate asked of a cell; no cell where none could be asked."""

    gate: str
    metric: str
    bound: Literal["max", "min"]
    unit: str
    device: str
    variant: str | None
    runtime: str | None
    precision_requested: str | None
    batch: int | None
    threads: int | None
    scenario: str | None
    cell: str | None
    value: float | None
    ci: Interval | None
    limit: float
    verdict: Verdict
    reason: str
    prescription: str | None  # what would decide it
    waiver: Waiver | None


class Drift(Part):
    """Since the last release, null where none had a name; small steps that add up."""

    release: dict[str, str] | None
    reason: str | None
    cells: list[dict[str, Any]]  # a ratio to the release, or the gates on the way to it


class Recommendation(Part):
    """Which variant to ship on a device in a runtime."""

    device: str
    runtime: str
    precision: str
    scenario: str
    baseline: str
    variant: str | None
    proven: bool
    share: float | None  # that was taken away
    as_fast: list[str]
    reason: str
    candidates: list[dict[str, Any]]


class Answer(Part):
    """A variant on a device in words, with what they rest on."""

    device: str
    variant: str
    pays_off: Literal["yes", "no", "partly", "undecided"]
    text: str
    speeds: list[dict[str, Any]]
    slower_tails: list[str]
    without_result: list[dict[str, Any]]
    compressed_ratio: list[dict[str, Any]]
    top1_drop: list[dict[str, Any]]
    gates_broken: list[str]


class Artifact(Part):
    """A model file."""

    sha256: str
    file: str
    format: str
    bytes: int
    compressed_bytes: int | None
    sparsity: float | None
    reason: str | None
    provenance: dict[str, Any] | None
    zeros: dict[str, Any] | None


class Report(Part):
    """The document of a run."""

    document_schema: Literal["edgeproof.report/1"] = Field(alias="schema")
    run: str
    study: str | None
    started: str
    finished: str | None
    baseline: str
    confidence: float
    overall: Verdict | None  # null where nothing was judged
    counts: Counts
    findings: list[Answer]
    fastest_runtimes: list[dict[str, Any]]
    devices: list[Device]
    results: list[Result]
    controls: list[Result]
    evaluations: list[dict[str, Any]]
    profiles: list[dict[str, Any]]
    saturation: list[dict[str, Any]]
    thermal: list[dict[str, Any]]
    fronts: list[dict[str, Any]]
    comparisons: list[Comparison]
    verdicts: list[Judgement]
    drift: Drift
    targets: list[str]
    curves: list[dict[str, Any]]
    recommendations: list[Recommendation]
    transfer: list[dict[str, Any]]
    artifacts: list[Artifact]
    study_document: dict[str, Any]
