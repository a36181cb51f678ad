"""The report page in a real browser: it opens offline, asks for nothing and reports no error."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.lab import Lab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--v=0"),
]


@pytest.fixture(scope="module")
def page(measured: Lab) -> Path:
    path = measured.folder / "report.html"
    assert measured.command("report", "-o", str(path)).returncode == 0
    return path


def browse(page: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open the page in Chromium with its own profile."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", *flags, f"file://{page}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_the_page_holds_no_address_to_load_from(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text)
    assert not re.findall(r"""@import|url\(\s*["']?(?!data:|#|["'])""", text)


def test_a_browser_draws_it_without_an_error(page: Path, tmp_path: Path) -> None:
    done = browse(page, tmp_path / "profile", "--dump-dom")
    assert "CONSOLE" not in done.stderr, done.stderr
    assert done.stdout.count("<svg") >= 1
    assert "could not be made" not in done.stdout
    assert "How it was measured" in done.stdout


def test_it_can_be_printed(page: Path, tmp_path: Path) -> None:
    printed = tmp_path / "report.pdf"
    browse(page, tmp_path / "profile", f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF")


def test_its_numbers_are_those_of_the_json(page: Path, measured: Lab) -> None:
    text = page.read_text()
    for row in measured.report()["results"]:
        assert f"{row['accuracy']['top1']:.1%}" in text
        assert json.dumps(row["launches"]) in text
