"""The section that answers: what to choose, how surely, of what it speaks, or what misses."""

from __future__ import annotations

from collections.abc import Iterator

from reports.layout import Row, Section
from reports.selection.words import Document, chance, named, with_ends
from reports.text import clean, counted, number, percent


def answer(document: Document) -> Section:
    words = [_verdict(document), _question(document), *_scope(document)]
    if document["unfinished"]:
        told = ", ".join(clean(run) for run in document["unfinished"])
        words.append(f"Not finished: {told}. What came back so far counts.")
    points = [(named(document, row), _nearest(row)) for row in document["nearest"]]
    return Section("Which to choose", words, points)


def _question(document: Document) -> str:
    limits = ", ".join(document["limits"]) or "no constraint"
    weights = document["objective"]
    if len(weights) == 1:
        best = f"best is by {next(iter(weights))}"
    else:
        told = ", ".join(f"{name} {weight:.0%}" for name, weight in weights.items())
        best = f"best is by the weights {told}"
    return f"Asked: {limits}; {best}."


def _verdict(document: Document) -> str:
    choice, delta = document["choice"], document["delta"]
    if choice is None:
        if document["outcome"] == "unknown":
            return (
                "NOTHING CAN BE CHOSEN: what the objective names is not known, with an interval, "
                "of any candidate that may keep the constraints."
            )
        hardware = document["hardware"]
        each = "no board meets this" if len(hardware) > 1 else "this board does not meet it"
        return f"NOTHING MEETS IT: {each}. Below are the nearest misses, one for each hardware."
    near = f"P(within {100 * delta:g}% of the best) {chance(choice['p_near'])}"
    regret = f"expected regret {percent(choice['regret'])}"
    known = "unknown" if choice["p_feasible"] is None else chance(choice["p_feasible"])
    sure = f"P(feasible) {known}, {near}, {regret}"
    if document["outcome"] == "chosen":
        return f"CHOOSE {named(document, choice)}: {sure}."
    return f"PROVISIONAL: {named(document, choice)}: {sure}. {_missing(document, choice)}"


def _missing(document: Document, choice: Row) -> str:
    """What keeps a provisional choice from being one."""
    if choice["open"]:
        told = "; ".join(f"{limit}: {reason}" for limit, reason in choice["open"].items())
        return f"It is not known to keep {clean(told, 400)}."
    if choice["feasible"] != "yes":
        return "It is not sure to keep every constraint, and no other is."
    if choice["p_near"] < document["sure"]:
        return "It keeps every constraint, but it is not sure to be the best that does."
    return (
        "It is the best of those of which enough is known; others may be better, if they keep what "
        "is not known of them."
    )


def _scope(document: Document) -> Iterator[str]:
    """What the probabilities are about: boards, or only this one."""
    choice = document["choice"]
    if choice is None:
        return
    units, level = choice["units"], choice["level"]
    board = ", ".join(clean(name) for name in choice["devices"])
    if level == "board":
        yield f"It rests on {counted(units, 'board')} ({board}), so it is about this kind of board."
    elif level == "session":
        yield (
            f"It rests on {counted(units, 'session')} on one board: it is about this board "
            f"({board}), not about its kind."
        )
    else:
        yield (
            f"It rests on {counted(units, 'launch')} of one session on one board: it is about this "
            f"board ({board}) as it was then, not about its kind."
        )
    for caution in choice["cautions"]:
        yield f"Caution: {clean(caution, 300)}."
    rivals = sum(row["feasible"] != "no" for row in document["candidates"])
    if rivals > 2:
        yield (
            f"It is the best of {rivals} that may keep the constraints, and the best of many looks "
            "better than it is: measure it once more before money depends on it."
        )


def _nearest(row: Row) -> str:
    if not row["misses"]:
        return f"keeps each by its value, but all at once only with P {chance(row['p_feasible'])}."
    told = "; ".join(_miss(miss) for miss in row["misses"])
    rest = f"; not known: {', '.join(row['open'])}" if row["open"] else ""
    return f"misses {told}{rest}."


def _miss(miss: Row) -> str:
    share = miss["unit"] == "share"
    value = with_ends(miss["metric"], miss["value"], miss["ci"])
    if share:
        beyond = f"{100 * miss['absolute']:.1f} points"
    else:
        beyond = f"{number(miss['absolute'])} {miss['unit']} ({percent(miss['beyond'])})"
    note = "" if miss["measured"] else ", which was not measured"
    return f"{miss['limit']} by {beyond}: it is {value}{note}"
