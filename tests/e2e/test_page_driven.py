"""The page driven in a real browser: sorted, filtered, explained, downloaded, read by axe-core."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from reports import render
from reports.document import build
from tests.unit.run_builder import RunBuilder, cell

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SPEEDS = {"dense": 2.0, "int8": 0.8, "pruned": 2.01}
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Three variants in two runtimes on one board, one of them with a hostile name."""
    gates = [{"metric": "latency_p50_ratio", "max": 1.03}, {"metric": "peak_rss_mib", "max": 60}]
    made = RunBuilder(launches=8, study={"name": HOSTILE, "baseline": "dense", "gates": gates})
    for runtime in ("onnxruntime", "openvino"):
        cells = [cell(variant, runtime) for variant in SPEEDS]
        for one in cells:
            made.add_cell(one)
        made.add_group(runtime, {one["id"]: SPEEDS[one["variant"]] for one in cells})
    made.add_cell(cell("lost", "litert"), "failed", HOSTILE)
    return build(made.build())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, document: dict[str, Any], tmp_path: Path) -> Iterator[Page]:
    """The report, opened from its file; whatever it complains of or asks for is an error."""
    yield from opened(browser, render.html(document), tmp_path)


def opened(
    browser: Browser, text: str, folder: Path, scheme: Literal["dark", "light"] = "light"
) -> Iterator[Page]:
    path = folder / "report.html"
    path.write_text(text)
    context = browser.new_context(color_scheme=scheme, accept_downloads=True)
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: (told.append("a dialog"), dialog.dismiss()))
    page.on("request", lambda request: told.append(request.url))
    page.goto(path.as_uri())
    yield page
    assert [line for line in told if line != path.as_uri() and not line.startswith("blob:")] == []
    context.close()


def column(page: Page, caption: str, name: str) -> list[str]:
    """The visible texts of a column."""
    table = page.locator("table", has=page.locator("caption", has_text=caption)).first
    heads = table.locator("thead th").all_inner_texts()
    at = next(at for at, head in enumerate(heads) if head.split()[0] == name)
    rows = table.locator("tbody tr:not([hidden])")
    return [row.locator("td").nth(at).inner_text() for row in rows.all()]


LATENCY = "Milliseconds an inference"


def test_a_column_of_numbers_is_sorted_both_ways(page: Page) -> None:
    button = page.locator(f"table:has(caption:has-text('{LATENCY}')) button", has_text="p50")
    button.click()
    rising = [float(text.split()[0]) for text in column(page, LATENCY, "p50")]
    assert rising == sorted(rising) and len(set(rising)) > 2
    heading = button.locator("xpath=..")
    assert heading.get_attribute("aria-sort") == "ascending"
    button.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    falling = [float(text.split()[0]) for text in column(page, LATENCY, "p50")]
    assert falling == sorted(falling, reverse=True)


def test_filters_hold_for_every_table(page: Page) -> None:
    page.get_by_label("runtime", exact=False).first.select_option("openvino")
    assert set(column(page, LATENCY, "runtime")) == {"openvino"}
    page.get_by_label("variant", exact=False).first.select_option("int8")
    assert column(page, LATENCY, "variant") == ["int8"]
    assert "rows shown" in page.locator("#shown").inner_text()
    page.get_by_label("variant", exact=False).first.select_option("")
    page.get_by_label("rows with").fill("pruned")
    assert column(page, LATENCY, "variant") == ["pruned"]


def test_a_mark_says_what_it_stands_for(page: Page) -> None:
    mark = page.locator(".chart svg [role=graphics-symbol][aria-label*=ratio]").last
    mark.hover(force=True)
    told = page.locator("#tip")
    assert told.is_visible() and "ratio" in told.inner_text()
    page.keyboard.press("Escape")
    assert not told.is_visible()


def test_its_data_can_be_taken_from_it(page: Page, document: dict[str, Any]) -> None:
    with page.expect_download() as taken:
        page.get_by_role("button", name="report.json").click()
    assert json.loads(Path(taken.value.path()).read_text()) == document
    with page.expect_download() as taken:
        page.get_by_role("button", name="cells.csv").click()
    assert Path(taken.value.path()).read_text() == render.csv(document)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    browser: Browser, document: dict[str, Any], tmp_path: Path, scheme: Literal["dark", "light"]
) -> None:
    for page in opened(browser, render.html(document), tmp_path, scheme):
        page.locator("details > summary").evaluate_all("all => all.forEach(one => one.click())")
        found = Axe().run(page).response["violations"]
        assert [(item["id"], item["nodes"][0]["html"][:200]) for item in found] == []


def test_it_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_paper_shows_all_and_no_controls(page: Page) -> None:
    page.emulate_media(media="print")
    assert not page.locator("#controls").is_visible()
    assert page.locator("details table").first.is_visible()
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.usefixtures("faults_told")
def test_a_section_that_fails_does_not_take_the_page_along(
    browser: Browser, document: dict[str, Any], tmp_path: Path
) -> None:
    broken = {**document, "saturation": None, "curves": 7}
    for page in opened(browser, render.html(broken), tmp_path):
        text = page.locator("main").text_content() or ""
        assert "This section could not be made: TypeError" in text
        assert "How it was measured" in text
