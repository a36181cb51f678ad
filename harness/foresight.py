"""What a run can never decide: said before it is measured, and once its pace is known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agents import wire
from harness.effort import EFFORTS, least_seconds, on_the_wire, samples_in_launch
from harness.scenarios import Scenario
from reports import launchwise, power, sample_size
from reports.families import baseline_of
from reports.gates import METRICS, Limit, limits
from reports.index import Index, index
from reports.run import Run
from reports.verdicts import LOOKS, Question, questions

# Times of an inference between which networks for small boards lie. What only slower ones could not
# decide is not said before measuring: the first launch tells how fast they are.
FASTEST_S, SLOW_S = 1e-6, 0.010
# An interval across launches needs a spread.
FEWEST_LAUNCHES = 2


def before(run: Run, budget_s: float) -> list[str]:
    """List what can be said against a run's gates before anything is measured, one line each."""
    outlook = Outlook.of(run)
    subjects: dict[str, list[str]] = {}
    for question in _hardest(outlook):
        for why in (_too_little(outlook, question), _too_long(outlook, question, budget_s)):
            if why:
                subjects.setdefault(why, []).append(outlook.subject(question))
    told = [f"{', '.join(gates)}: {why}" for why, gates in subjects.items()]
    return [*dict.fromkeys(_without_baseline(run)), *_too_few_samples(run), *told]


def after_first_launches(run: Run, device: str, spent_s: float, budget_s: float) -> list[str]:
    """List the gates that a device's budget cannot decide at the pace of its launches so far."""
    outlook = Outlook.of(run)
    seconds = {
        (record.group, record.ordinal): record.seconds
        for record in run.launches
        if record.device == device
    }
    groups = [record.group for record in run.groups if record.device == device]
    allowed = affordable(groups, seconds, spent_s, budget_s)
    mine = [question for question in outlook.questions if question.row["device"] == device]
    found = index(run)
    told = [(each, _out_of_reach(outlook, found, each, allowed)) for each in mine]
    return list(dict.fromkeys(f"{outlook.subject(each)}: {why}" for each, why in told if why))


@dataclass(frozen=True)
class Outlook:
    """A run that is not yet measured: what its gates ask, and what its launches will hold."""

    run: Run
    effort: str
    questions: Sequence[Question]  # that launches have to answer, and of cells that can be measured
    groups: Mapping[tuple[str, str], wire.Group]  # of variants, by device and cell
    scenarios: Mapping[str, wire.Scenario]

    @classmethod
    def of(cls, run: Run) -> Outlook:
        """Look at a run's study and plan; the launches it may have do not matter."""
        effort = str(run.study["measure"]["effort"])
        scenarios = [Scenario.model_validate(item) for item in run.study["scenarios"]]
        groups = {
            (record.device, cell): record.group
            for record in run.groups
            if record.group["kind"] == "variant"
            for cell in record.group["cells"]
        }
        return cls(
            run,
            effort,
            [each for each in _questions(run, effort) if _can_be_answered(each, groups)],
            groups,
            {item.name: on_the_wire(item, EFFORTS[effort]) for item in scenarios},
        )

    def with_effort(self, effort: str) -> Outlook:
        """Look at the same run with another effort."""
        measure = {**self.run.study["measure"], "effort": effort}
        return self.of(replace(self.run, study={**self.run.study, "measure": measure}))

    def group(self, question: Question) -> wire.Group:
        """Return the group of variants in which a question's cell is measured."""
        return self.groups[question.row["device"], question.row["cell"]]

    def subject(self, question: Question) -> str:
        """Name the gate of a question, and its scenario where the run has several."""
        named = question.limit.scenario is not None or len(self.scenarios) == 1
        return f"{question.limit}" + ("" if named else f" in {question.row['scenario']}")

    def samples(self, name: str, sample_s: float) -> int:
        """Return how many samples of a launch count, when each takes so long."""
        return samples_in_launch(name, self.scenarios[name], sample_s)

    def seconds(self, group: wire.Group, inference_s: float) -> float:
        """Return what one launch of a group takes at least."""
        name = group["id"].rsplit("/", 1)[1]
        return len(group["cells"]) * least_seconds(name, self.scenarios[name], inference_s)


def _questions(run: Run, effort: str) -> list[Question]:
    """Every question of the run, with the rule that its launches will be judged by."""
    rows = [
        {
            "device": record.device,
            "cell": record.cell["id"],
            "variant": record.cell["variant"],
            "artifact": record.cell["artifact"],
            "scenario": record.cell["scenario"],
            "status": record.status,
        }
        for record in run.cells
    ]
    return questions(index(run), rows, effort)


def _can_be_answered(question: Question, groups: Mapping[tuple[str, str], wire.Group]) -> bool:
    """Whether more or longer launches could give the answer."""
    metric = METRICS[question.limit.metric]
    group = groups.get((question.row["device"], question.row["cell"]))
    if group is None or (metric.against_baseline and group["baseline"] is None):
        return False
    return metric.noisy and not question.limit.metric.startswith("accuracy")  # from evaluations


def _hardest(outlook: Outlook) -> list[Question]:
    """The question of each limit and scenario whose group has the most cells."""
    hardest: dict[tuple[Limit, str], Question] = {}
    for question in sorted(outlook.questions, key=lambda each: -len(outlook.group(each)["cells"])):
        hardest.setdefault((question.limit, question.row["scenario"]), question)
    return list(hardest.values())


def affordable(
    groups: Sequence[wire.Group],
    seconds: Mapping[tuple[str, int], float],
    spent_s: float,
    budget_s: float,
) -> dict[str, int]:
    """Launches of each group that a budget allows, those that have been measured included.

    `seconds` has the time of each launch so far by group and ordinal; `spent_s` includes them. The
    next ones are taken to last as long on average, and to come round by round as in
    `agents.supervisor`. A group without a launch so far has been given up.
    """
    times: dict[str, list[float]] = {}
    for (group, _), each in seconds.items():
        times.setdefault(group, []).append(each)
    counts = {group: len(taken) for group, taken in times.items()}
    left = {group["id"]: group["launches"] for group in groups if group["id"] in counts}
    while spent_s < budget_s and any(counts[group] < most for group, most in left.items()):
        fewest = min(counts[group] for group, most in left.items() if counts[group] < most)
        group = next(key for key, most in left.items() if counts[key] == fewest < most)
        counts[group] += 1
        spent_s += max(sum(times[group]) / len(times[group]), 1e-3)
    return counts


def _without_baseline(run: Run) -> Iterator[str]:
    """Say where ratios to the baseline have nothing to stand on."""
    baseline = run.study["baseline"]
    gates = [gate["metric"] for gate in run.study["gates"]]
    against = sorted({name for name in gates if METRICS[name].against_baseline})
    cost = f"; {', '.join(against)} cannot be judged" if against else ""
    if len(run.study["variants"]) == 1:
        yield f"{baseline} is the only variant, so there is nothing to compare it with{cost}"
        return
    cells = {(record.device, record.cell["id"]): record for record in run.cells}
    for record in run.groups:
        if record.group["kind"] == "variant" and record.group["baseline"] is None:
            first = cells[record.device, record.group["cells"][0]].cell
            own = baseline_of(run.study, first["variant"])
            setting = first["id"].partition("/")[2]
            reason = cells[record.device, f"{own}/{setting}"].reason
            yield f"no comparison with {own} in {first['runtime']}: {reason}{cost}"


def _too_few_samples(run: Run) -> Iterator[str]:
    """Say which gates on accuracy the dataset is too small for, whatever the answers are."""
    for limit in limits(run.study["gates"]):
        samples = _samples_for(run, limit)
        why = sample_size.undecidable(limit, samples) if samples else None
        if why:
            yield f"{limit}: {why}"


def _samples_for(run: Run, limit: Limit) -> int | None:
    """Samples that a gate can draw on, where the host knows; of an area, of the smaller class."""
    if "map50" in limit.metric:
        return len(run.boxes) if run.boxes is not None else None
    if run.labels is None or "miou" in limit.metric:
        return None
    smaller = min(Counter(run.labels).values(), default=0)
    return smaller if "auc" in limit.metric else len(run.labels)


def _too_little(outlook: Outlook, question: Question) -> str | None:
    """Why the launches and samples of an effort cannot answer, and which effort can."""
    why = _lacking(outlook, question)
    if why is None:
        return None
    efforts = list(EFFORTS)
    more = efforts[efforts.index(outlook.effort) + 1 :]
    able = next((effort for effort in more if _decides(outlook, question, effort)), None)
    advice = f"use effort: {able}" if able else "no effort takes enough"
    return f"{why} (effort {outlook.effort}): {advice}"


def _decides(outlook: Outlook, question: Question, effort: str) -> bool:
    """Whether another effort could answer the same question."""
    other = outlook.with_effort(effort)
    mine = (question.limit, question.row["device"], question.row["cell"])
    return not any(
        _lacking(other, each)
        for each in other.questions
        if (each.limit, each.row["device"], each.row["cell"]) == mine
    )


def _lacking(outlook: Outlook, question: Question) -> str | None:
    """What a question lacks whatever the values are."""
    name = str(question.row["scenario"])
    launches = EFFORTS[outlook.effort].launches_of(name)
    of, rule = METRICS[question.limit.metric].launchwise, question.rule
    if of is None or rule is None:
        few = f"an interval needs {FEWEST_LAUNCHES} launches; {name} takes {launches}"
        return few if launches < FEWEST_LAUNCHES else None

    def obstacle(sample_s: float) -> str | None:
        return power.undecidable(of, rule, launches, outlook.samples(name, sample_s))

    why, limit_s = obstacle(SLOW_S), _free_below(lambda each: obstacle(each) is None)
    sample = "a query" if name in (wire.MULTI_STREAM, wire.OFFLINE) else "an inference"
    return f"{why}, unless {sample} takes under {limit_s * 1e3:.2g} ms" if limit_s and why else why


def _too_long(outlook: Outlook, question: Question, budget_s: float) -> str | None:
    """Why a budget ends before the launches that could answer, by the time of measuring alone."""

    def begins(inference_s: float) -> float:
        needed = _needed(outlook, question, inference_s)
        return _begins(outlook, question, needed, inference_s) if needed else 0.0

    if begins(SLOW_S) < budget_s:
        return None
    needed = _needed(outlook, question, SLOW_S)
    limit_s = _free_below(lambda each: begins(each) < budget_s)
    if limit_s:
        only = f"only if an inference takes under {limit_s * 1e3:.2g} ms"
        return f"a budget of {time_of(budget_s)} allows the {needed} launches that it needs {only}"
    least = (
        f"the last of the {needed} launches that it needs begins after {time_of(begins(FASTEST_S))}"
    )
    return f"{least} of measuring alone; the budget is {time_of(budget_s)}"


def time_of(seconds: float) -> str:
    """Write seconds for a message."""
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _needed(outlook: Outlook, question: Question, inference_s: float) -> int | None:
    """Launches at the first look that can answer; None if none can, which `_lacking` says."""
    name = str(question.row["scenario"])
    of, rule = METRICS[question.limit.metric].launchwise, question.rule
    if of is not None and rule is not None:
        return power.first_look(of, rule, outlook.samples(name, inference_s))
    return FEWEST_LAUNCHES if EFFORTS[outlook.effort].launches_of(name) > 1 else None


def _begins(outlook: Outlook, question: Question, needed: int, inference_s: float) -> float:
    """Seconds of measuring, at least, before the last launch needed by a question begins.

    Groups take turns launch by launch, but others may end at their first look.
    """
    together = min(needed, LOOKS[outlook.effort][0])
    rounds = sum(
        min(record.group["launches"], together - 1) * outlook.seconds(record.group, inference_s)
        for record in outlook.run.groups
        if record.device == question.row["device"]
    )
    return rounds + (needed - together) * outlook.seconds(outlook.group(question), inference_s)


def _free_below(is_free: Callable[[float], bool]) -> float | None:
    """Seconds of an inference below which something holds; None if never or always.

    What holds for one inference holds for every faster one.
    """
    free, blocked = FASTEST_S, SLOW_S
    if not is_free(free) or is_free(blocked):
        return None
    while blocked > 1.001 * free:
        middle = math.sqrt(free * blocked)
        free, blocked = (middle, blocked) if is_free(middle) else (free, middle)
    return blocked


def _out_of_reach(
    outlook: Outlook, found: Index, question: Question, allowed: Mapping[str, int]
) -> str | None:
    """Why the launches that a budget allows cannot answer, with the samples that they hold."""
    of, rule = METRICS[question.limit.metric].launchwise, question.rule
    taken = launchwise.of_cell(found, question.row["device"], question.row["cell"])
    samples = [each.samples.size for each in taken if each.counts]
    if not samples:
        return None
    launches = allowed[outlook.group(question)["id"]]
    if of is not None and rule is not None:
        return power.undecidable(of, rule, launches, min(samples))
    if launches >= FEWEST_LAUNCHES:
        return None
    return f"an interval needs {FEWEST_LAUNCHES} launches; the budget allows {launches}"
