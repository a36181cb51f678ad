"""A family of variants on the page: built, run, and read as a user reads it, in a real browser."""

from __future__ import annotations

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from reports.text import mebibytes, number, percent
from tests.e2e.lab import Lab
from tests.e2e.test_page import browse

# It takes a minute, but for a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)
DIGITS = Path(__file__).parents[2] / "examples" / "digits"
SHARES = (0.3, 0.5, 0.7, 0.9)
STUDY: dict[str, Any] = {
    "baseline": "plain",
    "variants": {
        "dense": {"model": "dense.onnx"},
        "plain": {"from": "dense", "formats": ["onnx"]},
        **{
            f"pruned-{100 * share:.0f}": {
                "from": "plain",
                "prune": {"method": "magnitude", "scope": "global", "sparsity": share},
            }
            for share in SHARES
        },
        "channels-40": {"from": "plain", "prune": {"method": "channels", "sparsity": 0.4}},
        "int8": {"from": "plain", "quantize": {"to": "int8"}},
    },
    "calibration": {"file": "digits.npz", "inputs": "x", "samples": 50},
    "dataset": {"file": "digits.npz", "inputs": "x", "labels": "y"},
    "robustness": {"samples": 50, "corruptions": ["noise", "contrast"], "severities": [1, 3]},
    "compare": ["variants"],
    "measure": {"effort": "quick"},
    "targets": [
        {"metric": "accuracy_top1_drop", "max": 0.15},
        {"metric": "compressed_mib", "max": 25},
    ],
}


class Tables(HTMLParser):
    """The sections of a page: the rows of their tables, and their charts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.charts: dict[str, int] = {}
        self._section, self._in_cell = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.rows[self._section], self.charts[self._section] = [], 0
        elif tag == "svg":
            self.charts[self._section] += 1
        elif tag == "tr":
            self.rows[self._section].append([])
        elif tag in ("td", "th"):
            self.rows[self._section][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[self._section][-1][-1] += data.rstrip("\n")


def complete(document: dict[str, Any]) -> bool:
    """Whether every cell was launched and every corrupted set answered."""
    sets = [item for each in document["evaluations"] for item in each["corruptions"]]
    values = [item["top1"] for item in sets]
    return None not in values and all(row["status"] == "ok" for row in document["results"])


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory, local_root: Path) -> Lab:
    """A lab in which the family was built."""
    lab = Lab(tmp_path_factory.mktemp("family") / "lab", local_root)
    os.link(DIGITS / "eval.npz", lab.folder / "digits.npz")
    shutil.copy(DIGITS / "models" / "dense.onnx", lab.folder)
    done = lab.command("variants", "build", str(lab.study(**STUDY)))
    assert done.returncode == 0, done.stderr
    return lab


@pytest.fixture(scope="module")
def document(family: Lab) -> dict[str, Any]:
    """The report of its last run."""
    for budget in ("25s", "90s"):  # the longer one where the machine is busy
        report = family.run("--budget", budget, **STUDY)
        if complete(report):
            return report
    raise AssertionError("cells or sets without a result")


@pytest.fixture(scope="module")
def page(family: Lab, document: dict[str, Any]) -> Path:
    path = family.folder / "family.html"
    assert family.command("report", "-o", str(path)).returncode == 0
    return path


@pytest.fixture(scope="module")
def dom(page: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page as Chromium has read it, without an error or a request."""
    dom, requests = opened(page, tmp_path_factory.mktemp("browser"))
    assert not requests
    return dom


def opened(page: Path, folder: Path) -> tuple[str, list[str]]:
    """What Chromium makes of a page, and who asked the network for it; its own calls do not count.

    A request of the browser itself has no origin as its initiator.
    """
    log = folder / "net.json"
    done = browse(page, folder / "profile", "--dump-dom", f"--log-net-log={log}")
    assert "CONSOLE" not in done.stderr, done.stderr
    initiators = re.findall(r'"initiator":"([^"]*)"', log.read_text())
    return done.stdout, [name for name in initiators if name != "not an origin"]


def test_a_request_of_a_page_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "asking.html"
    page.write_text('<html><body><img src="http://127.0.0.1:9/x.png"></body></html>')
    assert opened(page, tmp_path)[1]


def test_the_browser_shows_curves_with_the_region_in_which_accuracy_holds(
    dom: str, document: dict[str, Any]
) -> None:
    found = Tables(dom)
    assert found.charts["curves"] == 5
    assert found.charts["robustness"] == 1
    curve = next(one for one in document["curves"] if one["kind"] == "magnitude")
    assert 0 < curve["holds_until"] < 0.9, "the study's target must be met and missed"
    section = dom[dom.index('<section id="curves">') : dom.index('<section id="accuracy">')]
    assert f"holds up to {percent(curve['holds_until'])}" in section
    assert "shaded: accuracy is proven to meet its targets" in section
    assert section.count("mark-rect") >= 2


def test_every_number_of_the_curves_is_one_of_the_json(dom: str, document: dict[str, Any]) -> None:
    head, *rows = Tables(dom).rows["curves"]
    points = [(curve["kind"], point) for curve in document["curves"] for point in curve["points"]]
    assert len(rows) == len(points) >= len(SHARES) + 3
    for told, (kind, point) in zip(rows, points, strict=True):
        row = dict(zip(head, told, strict=True))
        assert row == {
            "curve": kind,
            "in": "onnxruntime",
            "variant": point["variant"],
            "taken away": percent(point["share"]),
            "accuracy target": point["accuracy"],
            "top-1": percent(point["top1"]),
            "p50 ms": number(point["p50_ms"]),
            "file": mebibytes(point["file_bytes"]),
            "compressed": mebibytes(point["compressed_bytes"]),
            "peak MiB": number(point["peak_rss_mib"]),
        }


def test_shares_are_what_was_asked_for(document: dict[str, Any]) -> None:
    curve = next(one for one in document["curves"] if one["kind"] == "magnitude")
    shares = [point["share"] for point in curve["points"]]
    assert shares == pytest.approx([0.0, *SHARES], abs=0.01)


def test_the_recommendation_is_in_words(dom: str, document: dict[str, Any]) -> None:
    [row] = document["recommendations"]
    assert row["variant"] in STUDY["variants"]
    verb = "ship" if row["proven"] else "perhaps"
    assert re.search(rf"<strong>onnxruntime</strong> {verb} {row['variant']}\b", dom)
    assert "Targets: accuracy_top1_drop &lt;= 0.15, compressed_mib &lt;= 25." in dom


def test_every_corrupted_set_is_in_the_robustness_tables(
    dom: str, document: dict[str, Any]
) -> None:
    rows = Tables(dom).rows["robustness"]
    for each in document["evaluations"]:
        assert [item["samples"] for item in each["corruptions"]] == [50] * 4
        for item in each["corruptions"]:
            start = [each["variant"], "onnxruntime", item["corruption"], str(item["severity"])]
            assert [*start, percent(item["top1"])] in [row[:5] for row in rows]


def test_only_the_intervals_of_this_run_are_explained(dom: str) -> None:
    kinds = " ".join(row[1] for row in Tables(dom).rows["method"])
    assert "Wilson" in kinds and "Tango" in kinds and "Jeffreys" in kinds
    assert "DeLong" not in kinds and "bootstrap" not in kinds


def test_markdown_holds_the_same_curves(family: Lab, document: dict[str, Any]) -> None:
    path = family.folder / "family.md"
    assert family.command("report", "--format", "md", "-o", str(path)).returncode == 0
    text = path.read_text()
    assert document["curves"]
    for curve in document["curves"]:
        for point in curve["points"]:
            line = rf"\| {re.escape(curve['kind'])} .*\| {point['variant']} \|.*"
            assert re.search(line + re.escape(percent(point["top1"])), text)
