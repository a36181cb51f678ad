"""Files of variants: which belong together, and that they appear whole or not at all."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from harness.variants import manifest
from harness.variants.files import place
from harness.variants.prune import widened


def sized(path: Path, count: int) -> Path:
    path.write_bytes(bytes(count))
    return path


def test_the_bin_of_another_file_hides_no_widened_weights(tmp_path: Path) -> None:
    sized(tmp_path / "net.bin", 5000)  # of a net.xml, or of a net.param
    source, again = sized(tmp_path / "net.onnx", 1000), sized(tmp_path / "again.onnx", 2000)
    assert widened(source, again)


def test_the_weights_of_an_ir_lie_in_its_bin(tmp_path: Path) -> None:
    source, again = sized(tmp_path / "net.xml", 100), sized(tmp_path / "again.xml", 100)
    sized(tmp_path / "net.bin", 1000)
    assert not widened(source, again)
    sized(tmp_path / "again.bin", 2000)
    assert widened(source, again)


def test_a_file_that_was_there_stays_whole_until_another_is(tmp_path: Path) -> None:
    source, target = sized(tmp_path / "new.onnx", 2000), sized(tmp_path / "out.onnx", 1000)
    manifest.path_of(target).write_text("{}")

    def cut(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:10])
        raise KeyboardInterrupt

    with (
        mock.patch("harness.variants.files.shutil.copyfile", cut),
        pytest.raises(KeyboardInterrupt),
    ):
        place([source], target, None)
    assert target.stat().st_size == 1000
    assert not manifest.path_of(target).exists()
    place([source], target, source)
    assert target.stat().st_size == manifest.mask_of(target).stat().st_size == 2000
    assert not list(tmp_path.glob("*.part"))
