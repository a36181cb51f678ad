"""Markdown as a reviewer meets it in a pull request, against files that were read and agreed.

The details are folded as they are there. To renew the files after a change that is meant:

    RENEW_GOLDEN=1 python -m pytest tests/unit/test_golden_markdown.py

and read what git shows of tests/unit/golden.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from report_runs import document
from run_builder import TIMES, RunBuilder, cell
from selection_builder import BOARDS, PRICES
from selection_builder import session as boards
from session_builder import session

from reports import render
from reports.document import build
from reports.forms import to_markdown
from reports.gates import Limit
from reports.selection import document as selection
from reports.selection import page as selection_page
from reports.selection.candidates import Session
from reports.selection.wanted import Declared, Wanted
from reports.sessions import compare_page, compared, history, history_page

GOLDEN = Path(__file__).parent / "golden"
RENEW = bool(os.environ.get("RENEW_GOLDEN"))
_DETAILS = re.compile(r"(<details><summary>[^\n]*</summary>).*?(</details>)", re.DOTALL)
GATES = [
    {"metric": "latency_p50_ratio", "max": 1.03},
    {"metric": "accuracy_top1_drop", "max": 0.02},
    {"metric": "peak_rss_mib", "max": 350},
]
WAIVER = {
    "metric": "latency_p50_ratio",
    "max": 1.1,
    "variant": "slim-40",
    "device": "pi5",
    "runtime": "onnxruntime",
    "expires": "2026-01-31",
    "reason": "the vendor's fix comes in January",
    "issue": "LAB-12",
}


def gated(slim: float = 0.55, launches: int = 20, lost: bool = False, **study: Any) -> str:
    """The summary of a gate: a candidate takes so many times the released variant's time."""
    made = RunBuilder(launches=launches)
    made.study |= {"name": "kws-release", "gates": GATES, **study}
    made.study["variants"] = {"dense": {"from": None}, "slim-40": {"from": "dense"}}
    for name, size in {"dense": 3_000_000, "slim-40": 1_900_000}.items():
        made.add_cell(cell(name))
        made.add_artifact(name, size)
        made.add_evaluation(cell(name), 0.92)
    made.add_group("g", {cell("dense")["id"]: 4.0, cell("slim-40")["id"]: 4.0 * slim})
    if lost:
        made.add_cell(cell("slim-40", "openvino"), "failed", "killed by signal 9: out of memory")
    return render.markdown(build(made.build()))


def changed() -> str:
    slower = {**TIMES, "slim-40": TIMES["slim-40"] * 1.06}
    return compare(compared.build(session(1), session(2, slower, files={"slim-40": "b" * 64})))


def compare(found: dict[str, Any]) -> str:
    return to_markdown(compare_page.sections(found), compare_page.title(found))


def followed() -> str:
    slower = {**TIMES, "slim-40": TIMES["slim-40"] * 1.05}
    runs = [
        session(at, slower if at > 6 else TIMES, files={"slim-40": "c" * 64} if at > 6 else {})
        for at in range(1, 13)
    ]
    found = history.build(runs, history.Question("slim-40", "pi5", "latency_p50_ms"))
    return to_markdown(history_page.sections(found), history_page.title(found))


def selected(most: float) -> str:
    told = {name: Declared(usd, "made up") for name, usd in PRICES.items()}
    limits = [Limit("latency_p95_ms", "max", most), Limit("price_usd", "max", 300)]
    wanted = Wanted(limits=limits, objective={"latency_p95_ms": 1.0}, prices={"always": told})
    own = {name: name for name in BOARDS}
    found = selection.build([Session.of(boards())], own, wanted, 400)
    return to_markdown(selection_page.sections(found), selection_page.title(found))


CASES: Mapping[str, Callable[[], str]] = {
    "gate-pass": gated,
    "gate-fail": lambda: gated(1.05, lost=True),
    "gate-inconclusive": lambda: gated(1.05, launches=3),
    "gate-waived": lambda: gated(1.05, waivers=[WAIVER]),
    "gate-drift": lambda: render.markdown(document("followed")),
    "compare": changed,
    "compare-refused": lambda: compare(compared.build(session(1), session(2, version="1.32"))),
    "history": followed,
    "select": lambda: selected(33.0),
    "select-none": lambda: selected(3.0),
}


def folded(text: str) -> str:
    return _DETAILS.sub(r"\1\n\n…\n\n\2", text)


@pytest.mark.parametrize("name", CASES)
def test_markdown_reads_as_agreed(name: str) -> None:
    path, told = GOLDEN / f"{name}.md", folded(CASES[name]())
    if RENEW:
        path.write_text(told)
    agreed = path.read_text().splitlines()
    changes = difflib.unified_diff(
        agreed, told.splitlines(), f"golden/{path.name}", "now", "", "", 1, ""
    )
    assert not (shown := "\n".join(changes)), f"{shown}\n(RENEW_GOLDEN=1 renews it)"


def test_every_golden_file_is_of_a_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


def test_a_changed_word_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled = (GOLDEN / "gate-pass.md").read_text().replace("PASS: every", "PASS: any")
    (tmp_path / "gate-pass.md").write_text(spoiled)
    monkeypatch.setitem(globals(), "GOLDEN", tmp_path)
    monkeypatch.setitem(globals(), "RENEW", False)
    with pytest.raises(AssertionError, match=r"(?s)-PASS: any gate.*\+PASS: every gate"):
        test_markdown_reads_as_agreed("gate-pass")
