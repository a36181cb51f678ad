"""`edgeproof compare` and `history` over a real store, as users meet them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.errors import EdgeproofError
from harness.store import Store
from tests.unit.run_builder import TIMES
from tests.unit.session_builder import keep, session


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Eight sessions of one study, from the fifth on with another file, and one of another."""
    path = tmp_path_factory.mktemp("sessions") / "results.db"
    store = Store(f"sqlite:///{path}")
    slower = {**TIMES, "slim-40": TIMES["slim-40"] * 1.06}
    for number in range(1, 9):
        changed: Any = {"times": slower, "files": {"slim-40": "v2"}} if number > 4 else {}
        keep(store, session(number, **changed, launches=7))
    other = session(9, facts={"kernel": "6.12.1", "boot_id": "2222"}, launches=7)
    keep(store, replace(other, id="nuc-09", study={**other.study, "name": "nuc"}))
    return store.url


def edgeproof(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--store", url], catch_exceptions=True)


def error(url: str, *arguments: str) -> EdgeproofError:
    failed = edgeproof(url, *arguments).exception
    assert isinstance(failed, EdgeproofError)
    return failed


def test_compare_tells_what_changed(url: str) -> None:
    done = edgeproof(url, "compare", "kws-04", "kws-05")
    assert done.exit_code == 0, done.output
    assert "4 of 12 values moved against the anchor" in done.output
    assert "edgeproof gate STUDY --against kws-04" in " ".join(done.output.split())


def test_compare_as_json_is_one_document(url: str) -> None:
    done = edgeproof(url, "compare", "kws-04", "kws-05", "--format", "json")
    found = json.loads(done.stdout)
    assert found["schema"] == "edgeproof.compare/1"
    assert [each["variant"] for each in found["cells"] if not each["same_file"]] == ["slim-40"]


def test_compare_refuses_unlike_runs_with_exit_code_2(url: str) -> None:
    done = edgeproof(url, "compare", "kws-04", "nuc-09")
    assert isinstance(done.exception, EdgeproofError)
    assert done.exception.exit_code == 2
    assert "pi5: kernel 6.6.31 against 6.12.1" in done.exception.what
    assert done.exception.next_step == (
        "edgeproof run STUDY once both have the same kernel: the files are the same, so no model "
        "changed"
    )
    # What is exactly known is shown all the same.
    assert "4 of 4 cells ran the same file" in done.output


def test_compare_writes_a_page(url: str, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "changes.html"
    done = edgeproof(url, "compare", "kws-04", "latest", "-o", str(page))
    assert isinstance(done.exception, EdgeproofError)  # the last run is of another kernel
    assert "Their times cannot be compared" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("kws-04", "kws-04"), "the same run twice"),
        (("kws-4", "kws-05"), "no run 'kws-4' in the store; the nearest is 'kws-04'"),
        (
            ("kws-04", "kws-05", "--anchor", "dence"),
            "unknown variant 'dence'; did you mean 'dense'?",
        ),
    ],
)
def test_compare_with_wrong_input_names_the_nearest(
    url: str, arguments: tuple[str, ...], what: str
) -> None:
    assert error(url, "compare", *arguments).what == what


def test_history_nominates_the_change(url: str) -> None:
    done = edgeproof(url, "history", "kws", "--variant", "slim-40", "--format", "json")
    found = json.loads(done.stdout)
    assert [each["run"] for each in found["sessions"]] == [f"kws-{n:02d}" for n in range(1, 9)]
    [change] = found["series"][0]["changes"]
    assert (change["last"], change["first"], change["same_file"]) == ("kws-04", "kws-05", False)


@pytest.mark.parametrize("name", ["kws", "kws-03"])
def test_history_takes_a_study_or_one_of_its_runs(url: str, name: str) -> None:
    done = edgeproof(url, "history", name, "--variant", "slim-40", "--device", "pi5")
    assert done.exit_code == 0 and "over 8 sessions" in done.output


def test_history_of_the_latest_runs_study(url: str) -> None:
    done = edgeproof(url, "history", "latest", "--variant", "slim-40")
    assert "over 1 session." in done.output


def test_history_of_a_lab_is_one_row_a_cell(url: str) -> None:
    done = edgeproof(url, "history", "--format", "json")
    found = json.loads(done.stdout)
    assert found["schema"] == "edgeproof.overview/1" and found["studies"] == ["kws", "nuc"]
    rows = {(row["study"], row["variant"]): row for row in found["rows"]}
    assert {study for study, _ in rows} == {"kws", "nuc"}
    assert ("kws", "dense") not in rows, "it is the anchor of the others"
    slim = rows["kws", "slim-40"]
    assert (slim["sessions"], slim["follows"], slim["anchor"]) == (8, "ratio", "dense")
    assert [change["first"] for change in slim["changes"]] == ["kws-05"]
    assert slim["now"]["value"] == pytest.approx(2.1 * 1.06 / 4.0, rel=0.02)
    assert slim["since_first"] == pytest.approx(1.06, rel=0.02)


def test_an_overview_says_how_to_look_closer_and_what_confirms(url: str) -> None:
    done = edgeproof(url, "history", "kws", "--device", "pi5", "--format", "md")
    assert done.exit_code == 0, done.output
    assert "1 change of level nominated. None is a verdict" in done.output
    assert "edgeproof gate STUDY --against kws-04:slim-40" in done.output
    assert "edgeproof history kws --variant slim-40 --device pi5" in done.output


def test_an_overview_is_a_page_too(url: str, tmp_path: Path) -> None:
    page = tmp_path / "lab.html"
    assert edgeproof(url, "history", "-o", str(page)).exit_code == 0
    assert "<title>edgeproof history: kws, nuc</title>" in page.read_text()


def test_history_draws_a_page(url: str, tmp_path: Path) -> None:
    page = tmp_path / "history.html"
    done = edgeproof(url, "history", "kws", "--variant", "slim-40", "-o", str(page))
    assert done.exit_code == 0 and page.read_text().count("<svg") == 2


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("kwz", "--variant", "slim-40"), "unknown run or study 'kwz'; did you mean 'kws'?"),
        (("kws", "--variant", "slim-4"), "unknown variant 'slim-4'; did you mean 'slim-40'?"),
        (("--device", "pi4"), "unknown device 'pi4'; did you mean 'pi5'?"),
        (("kwz",), "unknown run or study 'kwz'; did you mean 'kws'?"),
        (("--anchor", "dence"), "unknown variant 'dence'; did you mean 'dense'?"),
        (
            ("kws", "--variant", "slim-40", "--device", "pi4"),
            "unknown device 'pi4'; did you mean 'pi5'?",
        ),
        (
            ("kws", "--variant", "slim-40", "--metric", "latency_p5_ms"),
            "unknown metric 'latency_p5_ms'; did you mean 'latency_p95_ms'?",
        ),
        (
            ("kws", "--variant", "slim-40", "--anchor", "dence"),
            "unknown variant 'dence'; did you mean 'dense'?",
        ),
        (
            ("kws", "--variant", "slim-40", "--metric", "server_rate_ips"),
            "no run measured server_rate_ips of slim-40 on pi5: it is of other scenarios",
        ),
    ],
)
def test_history_with_wrong_input_names_the_nearest(
    url: str, arguments: tuple[str, ...], what: str
) -> None:
    found = error(url, "history", *arguments)
    assert found.what == what and found.next_step and "..." not in found.next_step


def test_a_ratio_of_the_baseline_is_no_metric_of_a_history(url: str) -> None:
    found = error(url, "history", "kws", "--variant", "slim-40", "--metric", "latency_p50_ratio")
    assert found.what.startswith("unknown metric 'latency_p50_ratio'; did you mean 'latency_p")


def test_a_variant_of_several_devices_needs_one_named(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'two.db'}")
    run = session(1, launches=1)
    nuc = replace(run.devices[0], name="nuc")
    cells = [*run.cells, *(replace(record, device="nuc") for record in run.cells)]
    keep(store, replace(run, devices=[run.devices[0], nuc], cells=cells))
    found = error(store.url, "history", "kws", "--variant", "slim-40")
    assert found.what == "slim-40 was measured on several devices: nuc, pi5"
    assert found.next_step == "add --device nuc"


def test_an_empty_store_says_how_to_fill_it(tmp_path: Path) -> None:
    found = error(f"sqlite:///{tmp_path / 'no.db'}", "history", "kws", "--variant", "dense")
    assert (found.what, found.next_step) == ("the store holds no run yet", "edgeproof run STUDY")
