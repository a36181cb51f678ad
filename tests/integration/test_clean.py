"""`devices clean` says what it has done: removed, nothing there, or why not."""

from __future__ import annotations

from pathlib import Path

from harness import check
from harness.devices import Device


def local(root: Path) -> Device:
    return Device(name="local", connection="local", root=str(root))


def test_what_is_there_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "device"
    (root / "blobs").mkdir(parents=True)
    row = check.clean(local(root))
    assert (row["ready"], row["details"]) == ("yes", f"removed {root}")
    assert not root.exists()


def test_nothing_is_there(tmp_path: Path) -> None:
    root = tmp_path / "none" / "device"
    row = check.clean(local(root))
    assert (row["ready"], row["details"]) == ("yes", f"nothing to remove: there is no {root}")


def test_what_cannot_be_entered_is_not_said_to_be_removed(tmp_path: Path) -> None:
    """Not even root gets through a file; others fail alike at a folder without permission."""
    (tmp_path / "file").touch()
    row = check.clean(local(tmp_path / "file" / "device"))
    assert row["ready"] == "no"
    assert "Not a directory" in row["details"]
