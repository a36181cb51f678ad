"""Who may import whom: the agent stands alone, reports see only the wire."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import backends

ROOT = Path(__file__).parents[2]
OURS = {"agents", "harness", "reports", "device_profiles", "tests", "benchmarks"}
ALLOWED = {
    "agents": {"agents"},
    "reports": {"reports", "agents.wire"},
    "harness": {"harness", "reports", "agents", "device_profiles"},
    "device_profiles": {"device_profiles"},
}


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_import_only_what_they_may(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            if name.split(".")[0] in OURS:
                allowed = any(name == one or name.startswith(one + ".") for one in ALLOWED[package])
                assert allowed, f"{path.relative_to(ROOT)} imports {name}"


def test_the_agent_needs_nothing_but_numpy_and_runtimes() -> None:
    runtimes = {backends.find(name).MODULE.partition(".")[0] for name in backends.names()}
    outside = {"numpy", "onnx"} | runtimes  # DeepSparse brings onnx
    for path in (ROOT / "agents").rglob("*.py"):
        for name in imports(path):
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names | outside | {"agents"}, f"{path}: {name}"


def test_no_file_is_longer_than_400_lines() -> None:
    for package in ("agents", "harness", "reports"):
        for path in (ROOT / package).rglob("*.py"):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def test_every_command_starts_without_what_few_need() -> None:
    script = "import sys, harness.controller, harness.cli, reports.document; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    slow = {"scipy.stats", "scipy.optimize", "scipy.sparse", "pandas", "altair"}
    assert not slow & set(done.stdout.split())
