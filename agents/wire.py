"""The protocol between host and agent: the job that goes out, the journal lines that come back.

Everything is JSON. Times are integer nanoseconds, memory is KiB, and samples are raw: the
statistics belong to the host alone.
"""

from __future__ import annotations

from typing import Any, Dict, List, Literal, Optional, TypedDict

JOB_SCHEMA = "edgeproof.job/4"
SINGLE_STREAM, MULTI_STREAM, OFFLINE = "single-stream", "multi-stream", "offline"
SERVER, COLD_START, SUSTAINED = "server", "cold-start", "sustained"
# MLPerf's names, and two of ours.
SCENARIOS = (SINGLE_STREAM, MULTI_STREAM, OFFLINE, SERVER, COLD_START, SUSTAINED)

Status = Literal["ok", "failed", "unsupported", "invalid"]
# The reason of a set of samples that no SetEvent has told of.
NOT_RUN = "the board time ended before this set was run"


STOP_FILE = "stop"  # in a job's folder: the host ends the job


def enough_file(group: str) -> str:
    """Name of the file in a job's folder with which the host ends a group: it has decided."""
    return "enough-" + group.replace("/", "_")


class TensorSpec(TypedDict):
    """One model input as the file declares it, with the shape this cell feeds."""

    name: str
    dtype: str  # numpy's name: float32, int8, ...
    shape: List[int]  # complete: batch and free dimensions are filled in
    scale: Optional[float]  # real = (quantised - zero_point) * scale; null when not quantised
    zero_point: Optional[int]


class OutputSpec(TypedDict):
    """One model output as the file declares it; a quantised one comes back as codes or as reals."""

    name: str
    dtype: str  # numpy's name
    scale: Optional[float]  # real = (quantised - zero_point) * scale; null when not quantised
    zero_point: Optional[int]


class Cell(TypedDict):
    """One variant x runtime x precision x batch x threads x scenario on one device."""

    id: str
    variant: str
    runtime: str  # the label that the study gives: NAME or NAME:TARGET
    target: str  # of the backend's TARGETS; "" when it has none
    options: Dict[str, Any]  # for the runtime, as the device's profile gives them
    precision: str  # requested; what ran comes back in Executed
    batch: int
    threads: int
    scenario: str
    artifact: str  # sha256 of the model file; "" when no file suits the runtime
    format: str
    inputs: List[TensorSpec]
    outputs: List[OutputSpec]  # in the file's order
    evaluation: str  # id of the evaluation this cell shares with others of the same file


class Group(TypedDict):
    """Cells measured together, interleaved, because they will be compared."""

    id: str
    kind: Literal["variant", "runtime"]
    baseline: Optional[str]  # a cell id; null when the baseline cannot run in this group
    cells: List[str]
    launches: int


class Scenario(TypedDict):
    """How requests come to a cell; the parameters of one of SCENARIOS."""

    streams: Optional[int]  # requests in flight at once; null: as many as the cores hold
    requests: int  # inferences that make up one sample
    seconds: float  # sustained: how long the load lasts; server: how long one rate is tried
    target_ns: Optional[int]  # server: what p99 must stay under
    blocks: int  # of each cell in a launch; sustained: its whole minutes; server: none


class Evaluation(TypedDict):
    """A first run of one model file in one runtime: does it load, and is it right."""

    id: str
    cell: str  # the cell whose settings it uses
    answers: bool  # whether it is asked for the dataset; a control only has to load


class Dataset(TypedDict):
    """Samples on the device, an .npz file; at most one of labels, boxes and masks is not null."""

    artifact: str
    inputs: Dict[str, str]  # model input -> key in the file; "" stands for the only input
    labels: Optional[str]  # key of the classes, int [samples]
    # key: [samples, most, 5] of class (-1: none), x1, y1, x2, y2 in pixels of the model's input
    boxes: Optional[str]
    head: Optional[Literal["yolo", "ssd"]]  # how boxes are read; null: by the outputs' shapes
    masks: Optional[str]  # key: [samples, height, width] of classes, 255: ignored
    samples: int
    # How a stored sample becomes what the model takes: steps, the same on every device
    # (agents/preprocess.py).
    preprocess: List[Dict[str, Any]]
    scores: Optional[Literal["logits", "probabilities"]]  # null: the agent finds out


class Robustness(TypedDict):
    """What else evaluated models answer: the dataset under corruptions, and sets from elsewhere."""

    corruptions: List[str]  # names of agents/corruptions.py
    severities: List[int]  # 1..5
    samples: int  # the first so many of the dataset
    seed: int
    ood: Dict[str, Dataset]  # out-of-distribution sets by name; their labels are null


class Answered(TypedDict):
    """What the host has stored already of an evaluation that went well."""

    scores: Optional[Literal["logits", "probabilities"]]  # as in EvaluationEvent
    sets: List[List[Any]]  # [name, severity] of those of Robustness that were run


class Runtime(TypedDict):
    """Where a runtime lies on the device; an empty path means the board's own packages."""

    path: str


class Timing(TypedDict):
    """How long a block and the warm-up before it last."""

    block_iterations: int
    block_ns: int
    warmup_iterations: int
    warmup_ns: int
    warmup_cap_ns: int
    answer_timeout_s: float  # for one answer of a worker, besides what it is known to take
    compile_timeout_s: float  # instead, to load a model that the runtime compiles


class Job(TypedDict):
    """Everything one device is asked to do in a run."""

    schema: str
    run: str
    device: str
    seed: int
    budget_s: float  # to measure, and as much again for the sets of robustness
    timing: Timing
    runtimes: Dict[str, Runtime]  # by label
    profile: bool  # whether an evaluation traces many inferences rather than a few
    files: Dict[str, Dict[str, str]]  # artifact -> suffix -> sha256 of the file; the model's first
    dataset: Optional[Dataset]
    robustness: Optional[Robustness]
    scenarios: Dict[str, Scenario]  # by name, those of the cells
    cells: Dict[str, Cell]
    evaluations: List[Evaluation]
    groups: List[Group]
    attempt: str  # names this start of the supervisor; its `finished` repeats it
    skip: Dict[str, str]  # cell -> reason: its evaluation failed in an earlier attempt
    done_evaluations: List[str]
    answered: Dict[str, Answered]  # of done_evaluations those that went well
    done_launches: List[List[Any]]  # [group, ordinal]: stored by the host already


# Before the runtime is imported, after; after loading, after one inference, after all of them.
StageName = Literal["started", "imported", "loaded", "first", "end"]


class Stage(TypedDict):
    """Resident memory of a worker at one moment, KiB."""

    stage: StageName
    rss_kib: int
    anon_kib: int
    file_kib: int  # pages of libraries, and of a model file that is mapped
    peak_kib: Optional[int]  # since the stage before; null where VmHWM cannot be reset


class Account(TypedDict):
    """What a runtime tells of its own memory, KiB; null where it does not."""

    weights_kib: Optional[int]
    activations_kib: Optional[int]
    gpu_kib: Optional[int]  # on the GPU; weights and activations are there, then
    account: Optional[str]  # where the runtime tells it


class Memory(Account):
    """Resident memory of the process that ran the cell, KiB."""

    floor_kib: int  # before the runtime was imported
    peak_kib: int  # the highest VmHWM of its life
    anon_kib: int  # at the end: without the pages of shared libraries
    stages: List[Stage]  # in order
    mapped_kib: Optional[int]  # pages of the model's files in file_kib at the end; null: not told
    io_kib: int  # inputs and outputs of one inference


class LayerRun(TypedDict):
    """One layer as it ran; null where the runtime does not tell."""

    name: str
    operator: str
    kernel: Optional[str]  # what computed it
    provider: Optional[str]  # execution provider, device or delegate
    precision: Optional[str]  # fp32, fp16, bf16, int8, ...
    ns: Optional[int]  # mean of the traced inferences; the first, which is cold, is left out


class Executed(TypedDict, total=False):
    """What really ran, read back from the runtime; null where it does not tell."""

    precision: Optional[str]
    threads: Optional[int]
    provider: Optional[str]  # execution provider, device or delegate
    runtime_version: Optional[str]
    note: Optional[str]
    layers: Optional[List[LayerRun]]  # in order of execution; null in launches, which trace nothing
    # Inferences that the times of layers are the mean of; null where none is timed.
    traced: Optional[int]


class Warmup(TypedDict):
    """How the warm-up went: capped means it never became steady."""

    iterations: int
    steady: bool
    ns: int


class Noise(TypedDict):
    """What disturbed a cell's timed blocks.

    `preempted` has a row [block, sample, switches, run_delay_ns] for each sample during which the
    process lost a core against its will. Run delay is the time that it was runnable but waited for
    one, by /proc/self/schedstat; null where the kernel does not count it.
    """

    preempted: List[List[Optional[int]]]
    run_delay_ns: Optional[int]  # over all blocks


class Trial(TypedDict):
    """The server scenario at one rate: requests that arrive at random (Poisson)."""

    rate: float  # requests a second
    latencies_ns: List[int]  # from the scheduled arrival to the answer, in order of arrival


class Conditions(TypedDict):
    """Readings of the probes (agents/probes) by name; null where the machine has none."""

    before: Dict[str, Any]
    after: Dict[str, Any]


class Reading(TypedDict):
    """What the probes of heat read at one moment; null where the machine has none."""

    clock: Optional[Dict[str, float]]  # MHz by the number of the CPU, of the cell's
    throttling: Optional[Dict[str, int]]  # as agents/probes/throttling.py counts
    temperature: Optional[Dict[str, float]]  # degrees Celsius by sensor


class CellLaunch(TypedDict):
    """One fresh process of one cell and the blocks measured in it."""

    cell: str
    status: Status
    reason: Optional[str]
    log: List[str]  # last lines of what the worker and its runtime printed; empty if it went well
    blocks: List[List[int]]  # ns of each sample, in order; what a sample is, the scenario says
    load_ns: Optional[int]
    import_ns: Optional[int]
    first_ns: Optional[int]
    warmup: Optional[Warmup]
    memory: Optional[Memory]
    executed: Executed
    noise: Optional[Noise]
    cpus: List[int]
    streams: int  # requests in flight at once, as they were
    call_overhead_ns: Optional[int]  # see agents.backends.Session.native_ns; median of a launch
    trials: List[Trial]  # of the server scenario; blocks is empty then
    readings: List[Reading]  # sustained: before the first block and after each; empty otherwise


class LaunchEvent(TypedDict):
    """Journal line: one launch of one group is complete."""

    kind: Literal["launch"]
    group: str
    ordinal: int
    started: float  # seconds since the epoch, the device's clock
    seconds: float
    interleaved: bool  # false: cells alone in turn, by their scenario or for lack of memory
    spawn_order: List[str]
    block_order: List[str]
    conditions: Conditions
    cells: List[CellLaunch]


class Packed(TypedDict):
    """An array in JSON: base64 of zlib of little-endian float32 in C order."""

    shape: List[int]
    data: str


class Scored(TypedDict):
    """What a model answered to one set of samples: the dataset itself, or one of Robustness.

    Raw numbers, sample by sample; what a head does not give is null.
    """

    name: str  # "clean", the corruption, or the out-of-distribution set
    kind: Literal["clean", "corruption", "ood"]
    severity: int  # 1..5 of a corruption, else 0
    samples: int
    reason: Optional[str]  # why there are no answers
    seconds: float  # that answering took; 0 without answers
    # float32 [samples, 5]: best class, its probability, the label's probability (NaN without
    # labels), the sum of squared probabilities, the entropy in nats. A row of NaN: scores that are
    # not finite, or probabilities that are all zero.
    classes: Optional[Packed]
    positive: Optional[Packed]  # float32 [samples]: probability of class 1, of two-class models
    # per sample its best 100 boxes after non-maximum suppression: [class, score, x1, y1, x2, y2]
    boxes: Optional[List[List[List[float]]]]
    # per sample and class that occurs: [class, pixels right, wrongly claimed, missed]
    pixels: Optional[List[List[List[int]]]]


class EvaluationEvent(TypedDict):
    """Journal line: one model file has answered the dataset; SetEvents may add to it."""

    kind: Literal["evaluation"]
    evaluation: str
    cell: str
    status: Status
    reason: Optional[str]
    log: List[str]  # as in CellLaunch
    top: Optional[List[List[int]]]  # per sample the classes with the best scores, at most five
    nonfinite: int  # samples with a NaN or infinite score
    scores: Optional[Literal["logits", "probabilities"]]  # how the scores were read
    inputs_sha256: Optional[str]  # of all samples as preprocessed: the same on every device
    # The dataset itself first; empty without one. The others have the reason NOT_RUN.
    sets: List[Scored]
    seconds: float
    executed: Executed
    account: Optional[Account]  # of a session that traces, which may tell more; null if it failed


class SetEvent(TypedDict):
    """Journal line: a model has answered one more set of its evaluation, or could not."""

    kind: Literal["set"]
    evaluation: str
    scored: Scored
    seconds: float  # with loading the model, in the first


class FloorEvent(TypedDict):
    """Journal line: what measuring costs by itself on this device."""

    kind: Literal["floor"]
    reason: Optional[str]  # why the worker has measured nothing
    loop_ns: List[int]  # the timed loop around a call that does nothing
    supervisor_kib: int  # peak resident memory of the supervisor
    worker_kib: Optional[int]  # of a worker before it imports a runtime
    seconds: float


class DoingEvent(TypedDict):
    """Journal line for the progress display: what starts now.

    The rest is of what shares a budget: measuring, or the sets of robustness.
    """

    kind: Literal["doing"]
    what: str
    done: int
    total: int
    elapsed_s: float


class FinishedEvent(TypedDict):
    """Journal line: the job is over."""

    kind: Literal["finished"]
    reason: Literal["done", "budget", "stopped"]
    attempt: str
    elapsed_s: float
