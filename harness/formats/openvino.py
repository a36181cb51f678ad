"""OpenVINO IR, an .xml beside a .bin: inputs, outputs and the zeros among the weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from harness.formats import Contents, Port, Stored, UnreadableError, for_one_sample, summarise
from harness.formats.openvino_weights import TYPES, weights

DTYPES = {**TYPES, "bf16": "bfloat16", "boolean": "bool"}
# What comes of layers, edges or shapes that are not there or are nonsense.
DAMAGE = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
PORT_TYPES = {"FP16": "float16", "FP32": "float32", "FP64": "float64", "BF16": "bfloat16"}


def read(path: Path) -> Contents:
    """Read the .xml; the .bin with the weights must lie beside it."""
    root = _parse(path)
    layers = root.findall("./layers/layer")
    if root.tag != "net" or not layers:
        raise UnreadableError("is no OpenVINO IR: it has no <net> with layers")
    if not path.with_suffix(".bin").is_file():
        raise UnreadableError(f"has no {path.stem}.bin with its weights beside it")
    inputs = [_input(layer) for layer in layers if layer.get("type") == "Parameter"]
    outputs = [_output(layer) for layer in layers if layer.get("type") == "Result"]
    return summarise(inputs, outputs, _weights(root, path), (".bin",))


def stored(path: Path) -> list[Stored]:
    """List the weights, with how often a sample uses each; raises UncountableError."""
    root = _parse(path)
    shapes = [_input(layer).shape for layer in root.findall("./layers/layer[@type='Parameter']")]
    batch = next((shape[0] for shape in shapes if shape), None)
    return for_one_sample(_weights(root, path), batch or 1)


def _weights(root: ElementTree.Element, path: Path) -> Iterator[Stored]:
    try:
        yield from weights(root, path.with_suffix(".bin"))
    except DAMAGE:
        raise UnreadableError("is damaged: its layers and edges do not fit together") from None


def _parse(path: Path) -> ElementTree.Element:
    text = path.read_bytes()
    # Entities can unfold without measure, and no IR has any.
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise UnreadableError("is no OpenVINO IR: it declares a document type")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UnreadableError(f"is damaged, cut short or no OpenVINO IR: {error}") from None


def _input(layer: ElementTree.Element) -> Port:
    data = layer.find("data")
    fields = data.attrib if data is not None else {}
    port = layer.find("./output/port")
    names = port.get("names", "") if port is not None else ""
    name = names.split(",")[0] or layer.get("name", "")
    dtype = fields.get("element_type", "unknown")
    return Port(name, DTYPES.get(dtype, dtype), _shape(fields.get("shape")))


def _output(layer: ElementTree.Element) -> Port:
    port = layer.find("./input/port")
    if port is None:
        return Port(layer.get("name", ""), "unknown", None)
    sizes = [int(dim.text or 0) for dim in port.findall("dim")]
    shape = tuple(size if size > 0 else None for size in sizes)
    precision = port.get("precision", "unknown")
    dtype = PORT_TYPES.get(precision, DTYPES.get(precision.lower(), precision))
    return Port(layer.get("name", ""), dtype, shape)


def _shape(text: str | None) -> tuple[int | None, ...] | None:
    """Read `1,3,?,224` or `1..8,3`; `...` stands for an unknown rank."""
    if text is None or "..." in text:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(int(part) if re.fullmatch(r"[1-9]\d*", part) else None for part in parts)
