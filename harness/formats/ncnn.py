"""ncnn models, a .param beside a .bin: inputs and outputs; its weights are not counted."""

from __future__ import annotations

from pathlib import Path

from harness.formats import Contents, Port, Stored, UncountableError, UnreadableError

MAGIC = "7767517"  # first line of a .param in text form
NOT_COUNTED = "weights of ncnn files are not counted"
LAYER = 4  # words before the names of a layer's tensors: type, name, how many in, how many out
WIDTH, HEIGHT, DEPTH, CHANNELS = "0", "1", "11", "2"  # parameters of an Input layer


def read(path: Path) -> Contents:
    """Read the .param; the .bin with the weights must lie beside it.

    A layer takes one sample and has no axis for a batch, so inputs have a first dimension of 1
    here. Most converters leave their sizes out: a study gives them then.
    """
    layers = _layers(path)
    if not path.with_suffix(".bin").is_file():
        raise UnreadableError(f"has no {path.stem}.bin with its weights beside it")
    made = {name: layer for layer in layers for name in _outputs(layer)}
    taken = {name for layer in layers for name in _inputs(layer)}
    inputs = tuple(
        Port(name, "float32", _shape(layer))
        for layer in layers
        if layer[0] == "Input"
        for name in _outputs(layer)
    )
    outputs = tuple(Port(name, "float32", None) for name in made if name not in taken)
    return Contents(inputs, outputs, None, NOT_COUNTED, companions=(".bin",))


def stored(path: Path) -> list[Stored]:
    """Raise UncountableError: where a layer's weights are in the .bin, its code alone knows."""
    raise UncountableError(NOT_COUNTED)


def _layers(path: Path) -> list[list[str]]:
    """Read the lines of a .param as words; the first two lines count what follows."""
    try:
        lines = path.read_text(encoding="ascii").split("\n")
    except UnicodeDecodeError:
        raise UnreadableError("is no ncnn .param in text form") from None
    if lines[0].strip() != MAGIC:
        raise UnreadableError(f"is no ncnn .param: its first line is not {MAGIC}")
    layers = [line.split() for line in lines[2:] if line.strip()]
    declared = lines[1].split()[:1] if len(lines) > 1 else []
    if declared != [str(len(layers))] or not all(map(_whole, layers)):
        raise UnreadableError("is damaged or cut short")
    return layers


def _whole(layer: list[str]) -> bool:
    numbers = layer[2:LAYER]
    return (
        len(numbers) == 2
        and all(number.isdigit() for number in numbers)
        and len(layer) >= LAYER + sum(map(int, numbers))
    )


def _inputs(layer: list[str]) -> list[str]:
    return layer[LAYER : LAYER + int(layer[2])]


def _outputs(layer: list[str]) -> list[str]:
    first = LAYER + int(layer[2])
    return layer[first : first + int(layer[3])]


def _shape(layer: list[str]) -> tuple[int, ...] | None:
    """Sizes of an Input layer, outermost first; null when it has none."""
    given = dict(word.split("=", 1) for word in layer if "=" in word)
    sizes = [given.get(key, "0") for key in (CHANNELS, DEPTH, HEIGHT, WIDTH)]
    known = [int(size) for size in sizes if size.isdigit() and int(size) > 0]
    return (1, *known) if known else None
