"""How far the gates may be trusted on these very devices: what their self-tests found."""

from __future__ import annotations

from collections.abc import Iterator

from reports.layout import Column, Document, Row, Section, Table
from reports.selftest import sentences, tested_how
from reports.text import clean, counted, number, percent

ORDER = 95
HEADS = (
    "model",
    "slower by",
    "gates",
    "pass",
    "fail",
    "inconclusive",
    "wrong at most",
    "board time, s",
)
MOST_DIFFERENCES = 8


def section(document: Document) -> Section:
    points = [point for device in document["devices"] for point in _device(device)]
    tested = [device["selftest"] for device in document["devices"] if device["selftest"]]
    return Section("How far the gates may be trusted", points=points, tables=[*map(table, tested)])


def _device(device: Row) -> Iterator[tuple[str, str]]:
    name, found = clean(device["name"]), device["selftest"]
    if found is None:
        yield name, f"never self-tested: edgeproof selftest --device {name}"
        return
    yield name, " ".join(_rates(found))
    yield f"{name} since then:", _since(found)


def _rates(found: Row) -> Iterator[str]:
    yield f"self-tested {clean(found['started'][:10])}, {_age(found)}"
    yield f"({tested_how(found)})."
    if found["same_board"] is False:
        yield "But that was another board, of the same name:"
    yield from sentences(found)


def _age(found: Row) -> str:
    side = "before this run" if found["before_run"] else "after this run"
    days = counted(found["days_apart"], "day") if found["days_apart"] else "less than a day"
    return f"{days} {side}"


def _since(found: Row) -> str:
    """What the rates above may not hold for any more."""
    if not found["compared"]:
        return "what differs is not known, for this run did not reach the device."
    if not found["differences"]:
        return "the same board, agent, governor, kernel and runtime."
    told = [
        f"{clean(each['fact'])} {clean(each['selftest'])}, now {clean(each['run'])}"
        for each in found["differences"][:MOST_DIFFERENCES]
    ]
    rest = " and more" if len(found["differences"]) > MOST_DIFFERENCES else ""
    return f"{'; '.join(told)}{rest}."


def table(found: Row) -> Table:
    """The kinds of gates of a self-test and what became of them."""
    columns = [Column(head, "number" if at else "text") for at, head in enumerate(HEADS)]
    rows = [_kind(kind) for kind in found["kinds"]]
    return Table(f"Gates of the self-test of {clean(found['device'])}", columns, rows, detail=True)


def _kind(kind: Row) -> list[str]:
    return [
        f"{kind['layers']} layers more" if kind["layers"] else "identical",
        percent(kind["slowdown"], kind["slowdown_ci"]),
        *(str(kind[key]) for key in ("gates", "pass", "fail", "inconclusive")),
        percent(kind["wrong_at_most"]),
        number(kind["mean_seconds"]),
    ]
