"""Programs of torch.export (.pt2), read without torch: a zip archive of JSON and raw weights."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness.formats import (
    Array,
    Axes,
    Contents,
    Port,
    Stored,
    UncountableError,
    UnreadableError,
    summarise,
)

# torch.export's numbers of types (torch/_export/serde/schema.py); numpy has no bfloat16.
BFLOAT16 = 13
DTYPES = {
    **dict(enumerate(("uint8", "int8", "int16", "int32", "int64"), 1)),
    **dict(enumerate(("float16", "float32", "float64"), 6)),
    **dict(enumerate(("bool", "bfloat16"), 12)),
    28: "uint16",
}
FORWARD, TRANSPOSED = Axes((0,), (1,)), Axes((1,), (0,))
# Operator -> position of its weights, and how they lie.
WEIGHTS: Mapping[str, tuple[int, Axes]] = {
    "conv1d": (1, FORWARD),
    "conv2d": (1, FORWARD),
    "conv3d": (1, FORWARD),
    "convolution": (1, FORWARD),
    "conv_transpose1d": (1, TRANSPOSED),
    "conv_transpose2d": (1, TRANSPOSED),
    "conv_transpose3d": (1, TRANSPOSED),
    "linear": (1, FORWARD),
    "addmm": (2, TRANSPOSED),
    "matmul": (1, TRANSPOSED),
    "mm": (1, TRANSPOSED),
}
# Operators between a constant and its consumer: they change its type alone, or swap two axes.
TRANSPARENT = ("to", "_to_copy", "clone", "detach", "alias", "contiguous")
SWAPPING = ("t", "transpose", "permute")
# What a damaged archive makes the readers raise.
DAMAGE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, OSError, EOFError, NotImplementedError),
    *(KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError),
)


def read(path: Path) -> Contents:
    """Read a .pt2 file of torch 2.8 or newer."""
    with _opened(path) as archive:
        return summarise(archive.inputs(), archive.outputs(), archive.weights())


def stored(path: Path) -> list[Stored]:
    """List the weights, with how often a sample uses each; raises UncountableError."""
    with _opened(path) as archive:
        return list(archive.weights())


@contextmanager
def _opened(path: Path) -> Iterator[_Program]:
    """Open an archive; whatever its reading raises is damage."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield _Program(archive)
    except DAMAGE as error:
        what = "is damaged, cut short or no .pt2 file"
        raise UnreadableError(f"{what} ({type(error).__name__}: {error})") from None


class _Program:
    """The only program of an archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        names = [name for name in archive.namelist() if _folder(name).endswith("/models")]
        if len(names) != 1 or not names[0].endswith(".json"):
            raise UnreadableError(
                f"holds {len(names)} programs of torch.export, not one; write it with "
                "torch.export.save of torch 2.8 or newer"
            )
        self.archive = archive
        self.root = names[0].split("/")[0]
        self.name = names[0].rsplit("/", 1)[1].removesuffix(".json")
        module = json.loads(archive.read(names[0]))["graph_module"]
        self.graph: Any = module["graph"]
        self.signature: Any = module["signature"]
        self.makers = {out: node for node in self.graph["nodes"] for out in _made(node)}

    def inputs(self) -> list[Port]:
        """List what is fed, in order; a number that was fixed at export is fed too."""
        ports: list[Port] = []
        for spec in self.signature["input_specs"]:
            if "user_input" in spec:
                ports.append(self._port(spec["user_input"]["arg"], f"input {len(ports)}"))
            elif "constant_input" in spec:
                fixed = spec["constant_input"]
                ports.append(self._port(fixed["value"], fixed["name"]))
        return ports

    def outputs(self) -> list[Port]:
        """List what comes back, in order."""
        specs = [
            spec["user_output"]["arg"]
            for spec in self.signature["output_specs"]
            if "user_output" in spec
        ]
        return [self._port(arg, f"output {at}") for at, arg in enumerate(specs)]

    def _port(self, argument: Mapping[str, Any], otherwise: str) -> Port:
        if "as_tensor" not in argument:
            kind = next(iter(argument), "unknown").removeprefix("as_")
            return Port(otherwise, kind, None)
        name = argument["as_tensor"]["name"]
        meta = self.graph["tensor_values"][name]
        return Port(name, DTYPES.get(meta["dtype"], "unknown"), _sizes(meta))

    def weights(self) -> Iterator[Stored]:
        """Find the weights of convolutions and matrix products, each once."""
        constants, seen = self._constants(), set()
        for node in self.graph["nodes"]:
            at, axes = WEIGHTS.get(_operator(node), (0, FORWARD))
            if not at:
                continue
            inputs = [item["arg"].get("as_tensor", {}).get("name", "") for item in node["inputs"]]
            name, swapped = self._origin(inputs[at])
            if name not in constants or constants[name][0] in seen:
                continue
            key, values = constants[name][0], self._values(*constants[name])
            seen.add(key)
            if values.ndim >= 2:
                turned = any(_is_true(item) for item in node["inputs"])
                backwards = turned or "transpose" in _operator(node)
                right = axes if swapped == turned else _other(axes)
                matrix = right.matrix if values.ndim == 2 or "conv" in _operator(node) else None
                uses = self._uses(node, inputs[0] if backwards else _made(node)[0])
                yield Stored(key, key, node["name"], values, 0, values.size, matrix, uses)

    def _origin(self, name: str) -> tuple[str, bool]:
        """Follow a value back to where it is not made; tells whether its axes were swapped."""
        swapped = False
        while name in self.makers and _operator(self.makers[name]) in (*TRANSPARENT, *SWAPPING):
            swapped ^= _operator(self.makers[name]) in SWAPPING
            name = self.makers[name]["inputs"][0]["arg"]["as_tensor"]["name"]
        return name, swapped

    def _uses(self, node: Mapping[str, Any], places_of: str) -> int | None:
        """How often a sample multiplies by each element: once a place that a kernel stands at.

        A transposed convolution stands at each place of its input, any other of its output.
        """
        sizes = _sizes(self.graph["tensor_values"][places_of])
        places = sizes[2:] if "conv" in _operator(node) else sizes[1:-1]
        known = [size for size in places if size is not None]
        return math.prod(known) if len(known) == len(places) else None

    def _constants(self) -> dict[str, tuple[str, str, Mapping[str, Any]]]:
        """Index the constants by the graph's names: their own name, file and description."""
        files = {}
        for kind in ("weights", "constants"):
            folder = f"{self.root}/data/{kind}"
            config = self.archive.read(f"{folder}/{self.name}_{kind}_config.json")
            for key, entry in json.loads(config)["config"].items():
                if not entry["use_pickle"]:
                    files[key] = (key, f"{folder}/{entry['path_name']}", entry["tensor_meta"])
        found = {}
        for spec in self.signature["input_specs"]:
            ((kind, body),) = spec.items()
            key = body.get(f"{kind}_name", "")
            if key in files:
                found[body["arg"]["name"]] = files[key]
        return found

    def _values(self, key: str, file: str, meta: Mapping[str, Any]) -> Array:
        """Read a tensor out of its storage, which others may share."""
        dtype = "uint16" if meta["dtype"] == BFLOAT16 else DTYPES.get(meta["dtype"])
        if dtype is None:
            raise UncountableError(f"weights of '{key}' are of a type that numpy lacks")
        whole = np.frombuffer(self.archive.read(file), np.dtype(dtype).newbyteorder("<"))
        shape = [size["as_int"] for size in meta["sizes"]]
        strides = [stride["as_int"] for stride in meta["strides"]]
        index = np.full((1,) * len(shape), meta["storage_offset"]["as_int"])
        for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
            index = index + stride * np.arange(size).reshape(-1, *(1,) * (len(shape) - axis - 1))
        values: Array = whole[index]
        if meta["dtype"] == BFLOAT16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _operator(node: Mapping[str, Any]) -> str:
    """Name an operator: `torch.ops.aten.conv2d.default` is conv2d."""
    parts = node["target"].split(".")
    return str(parts[3]) if parts[:3] == ["torch", "ops", "aten"] else ""


def _made(node: Mapping[str, Any]) -> list[str]:
    """Names of the tensors that an operator makes."""
    return [out["as_tensor"]["name"] for out in node["outputs"] if "as_tensor" in out]


def _sizes(meta: Mapping[str, Any]) -> tuple[int | None, ...]:
    return tuple(size.get("as_int") for size in meta["sizes"])


def _is_true(item: Mapping[str, Any]) -> bool:
    return item["name"] == "transposed" and bool(item["arg"].get("as_bool"))


def _other(axes: Axes) -> Axes:
    return Axes(axes.inputs, axes.outputs)
