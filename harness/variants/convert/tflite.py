"""To TFLite from ONNX by onnx2tf, and from torch by litert-torch: each in its own environment.

Neither needs TensorFlow. onnx2tf takes inputs for NCHW and transposes them without a word, unless
it is told to keep the layout of each. It keeps a free batch free, so TFLite can still resize it.
And it writes its simplified graph over the file it is given, so it is given a copy.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.errors import InputError
from harness.formats import Port, UnreadableError, onnx
from harness.variants.files import written
from harness.variants.toolbox import Tool

FROM = ("onnx", "torch")
ONNX2TF = Tool("onnx2tf", "3.12")
# The oldest Python that edgeproof runs on, for which torch without CUDA is easiest to come by.
LITERT_TORCH = Tool("litert-torch", "3.11", with_pip=True)
# A file of torch.export in, a TFLite file out.
TORCH_SCRIPT = """
import sys
import torch
import litert_torch
program = torch.export.load(sys.argv[1])
edge = litert_torch.convert(program.module(), *program.example_inputs)
edge.export(sys.argv[2])
"""


def convert(source: Path, format: str, target: Path) -> list[str]:
    """Write the TFLite file, float32. Raises InputError."""
    with (
        tempfile.TemporaryDirectory(prefix="edgeproof-convert-") as folder,
        written(target) as draft,
    ):
        made = _from_onnx if format == "onnx" else _from_torch
        return made(source.resolve(), Path(folder), draft)


def _from_onnx(source: Path, folder: Path, draft: Path) -> list[str]:
    try:
        ports = onnx.read(source).inputs
    except (UnreadableError, OSError) as error:
        raise InputError(f"the model file {error}", where=str(source)) from None
    _check_names(ports, source)
    copy = folder / "model.onnx"
    shutil.copyfile(source, copy)
    command = ["onnx2tf", "--input_onnx_file_path", str(copy)]
    command += ["--output_folder_path", str(folder), "--tflite_backend", "flatbuffer_direct"]
    command += ["--keep_shape_absolutely_input_names", *(port.name for port in ports)]
    if any(port.shape and port.shape[0] is None for port in ports):
        command += ["--batch_size", "1"]
    said = ONNX2TF.run(command, folder)
    found = sorted(folder.glob("*_float32.tflite"))
    if len(found) != 1:
        end = " ".join(said.split())[-300:]
        raise InputError(f"onnx2tf wrote no float32 file: {end}", where=str(source))
    draft.write_bytes(found[0].read_bytes())
    return ["onnx to TFLite by onnx2tf 2.6.9"]


def _check_names(ports: Sequence[Port], source: Path) -> None:
    """Refuse names that its command line would read as options."""
    for port in ports:
        if port.name.startswith("-"):
            raise InputError(f"onnx2tf cannot take an input '{port.name}'", where=str(source))


def _from_torch(source: Path, folder: Path, draft: Path) -> list[str]:
    script = folder / "convert.py"
    script.write_text(TORCH_SCRIPT)
    LITERT_TORCH.run(["python", str(script), str(source), str(draft.resolve())], folder)
    return ["torch to TFLite by litert-torch 0.10.0"]
