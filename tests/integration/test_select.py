"""`edgeproof select` over a store of three boards that never existed, at prices made up."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.store import Store
from reports.run import Run
from tests.unit.selection_builder import BOARDS, session
from tests.unit.session_builder import keep

PRICES = ("--price", "pi5=80", "--price", "orin=249", "--price", "nuc=400")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of one long session, three short ones, and runs that fit none of them."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/runs.db"
    store = Store(url)
    keep(store, session("kws-long"))
    for at in range(3):
        keep(store, session(f"kws-{at}", seed=30 + at, launches=2, between=0.03))
    keep(store, session("kws-one", launches=1))
    keep(store, replace(session("kws-empty"), launches=[]))
    other = session("digits-1")
    keep(store, replace(other, study={**other.study, "name": "digits"}))
    keep(store, _with_another_file(session("kws-rebuilt")))
    keep(store, session("kws-moved", boards={**BOARDS, "pi5": (40.0, "jetson-orin-nano")}))
    return url


def _with_another_file(run: Run) -> Run:
    cells: list[Any] = [
        replace(each, cell={**each.cell, "artifact": "sha-other"})
        if each.cell["variant"] == "int8"
        else each
        for each in run.cells
    ]
    return replace(run, cells=cells)


@pytest.fixture
def select(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command; gives exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "140")
        monkeypatch.setattr(sys, "argv", ["edgeproof", "select", *arguments, "--store", url])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run


def test_constraints_and_prices_choose_the_board(select: Any) -> None:
    limits = ("--max", "latency_p95_ms=33", "--max", "peak_rss_mib=350", "--max", "price_usd=150")
    code, shown, _ = select("kws-long", *limits, *PRICES)
    assert code == 0
    assert "CHOOSE int8 in onnxruntime on pi5" in shown
    assert "about this board (pi5)" in shown


def test_a_requirements_file_and_options_together(select: Any, tmp_path: Path) -> None:
    needs = tmp_path / "needs.yaml"
    needs.write_text(
        "constraints: {latency_p95_ms: {max: 33}, price_usd: {max: 150}}\n"
        "price: {pi5: {list: 80, volume: 60}, orin: {list: 249, volume: 120}, nuc: 400}\n"
    )
    code, shown, _ = select("kws-long", "--requirements", str(needs), "--format", "json")
    found = json.loads(shown)
    assert code == 0
    assert found["schema"] == "edgeproof.selection/1"
    assert [each["choice"]["hardware"] for each in found["scenarios"]] == ["pi5", "orin"]
    _, shown, _ = select(
        "kws-long", "--requirements", str(needs), "--max", "latency_p95_ms=8", "--format", "json"
    )
    assert json.loads(shown)["outcome"] == "none"


def test_the_page_and_markdown_are_written(select: Any, tmp_path: Path) -> None:
    for name in ("choice.html", "choice.md"):
        code, shown, told = select("kws-long", *PRICES, "-o", str(tmp_path / name))
        assert (code, shown) == (0, "")
        assert name in told
        assert "CHOOSE" in (tmp_path / name).read_text()


def test_sessions_of_one_study_are_units(select: Any) -> None:
    _, shown, _ = select("kws-0", "kws-1", "kws-2", "kws-0", "--format", "json")
    found = json.loads(shown)
    assert found["runs"] == ["kws-0", "kws-1", "kws-2"]
    assert {each["level"] for each in found["candidates"]} == {"session"}
    assert {each["units"] for each in found["candidates"]} == {3}


def test_profiles_price_and_limit_what_nobody_gave(select: Any) -> None:
    _, shown, _ = select(
        "kws-long", "--max", "price_usd=150", "--max", "watts=30", "--format", "json"
    )
    found = json.loads(shown)
    prices, watts = found["prices"]["always"], found["watts"]
    assert prices["pi5"]["value"] == 80
    assert "profile raspberry-pi-5" in prices["pi5"]["source"]
    assert prices["nuc"] == {
        "value": None,
        "source": "no price is known; give price: {nuc: USD}",
    }
    assert (watts["orin"]["value"], watts["nuc"]["value"]) == (25, 40)
    assert "not measured" in watts["orin"]["source"]
    assert "power was not measured" in watts["pi5"]["source"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["kws-lnog"], "the nearest is 'kws-long'"),
        (["kws-long", "--max", "latency_p59_ms=3"], "unknown metric 'latency_p59_ms'; did you"),
        (["kws-long", "--max", "latency_p95_ms"], "is not NAME=NUMBER"),
        (["kws-long", "--price", "pie5=80"], "unknown device or profile 'pie5'; did you mean"),
        (["kws-empty"], "run kws-empty: holds no launch"),
        (["kws-long", "digits-1"], "the study is not the same in all runs: kws in kws-long"),
        (["kws-long", "kws-rebuilt"], "the onnx file of variant 'int8' is not the same"),
        (["kws-long", "kws-moved"], "device 'pi5': is one machine in kws-long and another"),
        (["kws-long", "--min", "server_rate_ips=3"], "does not measure server_rate_ips"),
        (["kws-long", "-o", "choice.pdf"], "give --format"),
        (["kws-long", "--requirements", "none.yaml"], "no such file"),
    ],
)
def test_wrong_input_says_what_where_and_what_next(
    select: Any, arguments: list[str], told: str
) -> None:
    code, shown, error = select(*arguments)
    assert (code, shown) == (2, "")
    assert told in error
    assert "next:" in error or "Usage:" in error


def test_one_launch_decides_nothing(select: Any) -> None:
    code, shown, _ = select("kws-one", "--max", "latency_p95_ms=1000")
    assert code == 0
    assert "NOTHING CAN BE CHOSEN" in shown
    assert "an interval needs 2" in shown
