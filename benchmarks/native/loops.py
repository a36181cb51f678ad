"""C loops built against the libraries in the wheels that workers load, and driven like workers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents import process
from benchmarks.native.models import Model

SOURCES = Path(__file__).parent
TIMEOUT_S = 60.0


class UnavailableError(Exception):
    """Something to compare with cannot be had; the message is the reason."""


@contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Have this process, and what it starts meanwhile, on some CPUs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Loop:
    """A running loop with one model: it is stopped but while it is spoken to, as a worker is."""

    def __init__(self, command: Sequence[str], log: Path, cpus: Sequence[int]) -> None:
        with pinned(cpus):
            self.process = process.Process(list(command), dict(os.environ), str(log))
        self.blocks: list[list[int]] = []

    def block(self, iterations: int, *, keep: bool = True) -> None:
        """Time one block; a warm-up is one that is not kept."""
        request = {"do": "block", "iterations": iterations}
        samples: list[int] = self.process.ask(request, TIMEOUT_S)
        if keep:
            self.blocks.append(samples)

    def check(self, reference: npt.NDArray[np.float32]) -> None:
        """Raise UnavailableError when it computes something else than the reference."""
        found = np.asarray(self.process.ask({"do": "outputs"}, TIMEOUT_S))
        wanted = reference.ravel()[: len(found)]
        if not np.allclose(found, wanted, rtol=1e-3, atol=1e-3 * float(reference.std())):
            raise UnavailableError("the C loop's outputs differ from ONNX Runtime's")


def build(runtime: str, tree: Path, folder: Path) -> Path:
    """Compile a runtime's loop against the unpacked wheel; raises UnavailableError."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise UnavailableError("gcc is not there to build the C loop")
    program = folder / f"loop-{runtime}"
    sources = [str(SOURCES / "loop.c"), str(SOURCES / f"{runtime}.c")]
    command = [compiler, "-O2", "-o", str(program), *sources, *LIBRARIES[runtime](tree, folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UnavailableError(f"the C loop does not build: {' '.join(done.stderr.split())[-300:]}")
    return program


def command(program: Path, model: Model, path: Path, given: Path) -> list[str]:
    """Command line of a loop on a model with the input's values in a file."""
    shapes = ("x".join(map(str, shape)) for shape in (model.input_shape, model.output_shape))
    return [str(program), str(path), str(given), *shapes]


def _openvino(tree: Path, folder: Path) -> list[str]:
    libraries = tree / "openvino" / "libs"
    library = _only(libraries, "libopenvino_c.so*")
    return [f"-I{tree / 'openvino' / 'include'}", str(library), f"-Wl,-rpath,{libraries}"]


def _onnxruntime(tree: Path, folder: Path) -> list[str]:
    library = _only(tree / "onnxruntime" / "capi", "libonnxruntime.so*")
    link = folder / "libonnxruntime.so.1"  # its soname, which is not the file's name in the wheel
    link.unlink(missing_ok=True)
    link.symlink_to(library)
    return [str(link), f"-Wl,-rpath,{folder}"]


LIBRARIES: dict[str, Any] = {"openvino": _openvino, "onnxruntime": _onnxruntime}


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise UnavailableError(f"the wheel has no {pattern} in {folder.name}/")
    return found[0]
