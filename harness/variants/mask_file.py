"""The file that says what a pruned variant keeps of its dense one: <variant>.mask.npz.

An .npz whose bytes depend only on what it says: `index.json` names what there is, and each array
is a member of its own. Zero masks hold one bit a weight, removals the positions that stay.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError

from harness.documents import Model
from harness.errors import InputError
from harness.variants.network import Array, Indices, Kept

_INDEX = "index.json"
_MOST_INDEX = 16 << 20  # bytes; a larger index is no mask file's
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can state

Size = Annotated[int, Field(ge=0, lt=1 << 40)]


class _Mask(Model):
    weight: str
    shape: tuple[Size, ...]


class _Stays(Model):
    tensor: str
    axis: Annotated[int, Field(ge=0, le=64)]


class _Index(Model):
    schema_: Annotated[Literal["edgeproof.mask/1"], Field(alias="schema")]
    masks: list[_Mask]
    kept: list[_Stays]


def write(path: Path, masks: Mapping[str, Array], kept: Kept | None) -> None:
    """Write zero masks (weight -> bool array, True stays) and positions that stay."""
    arrays = sorted(masks.items())
    whole = kept or {}
    stays = [
        (name, axis, whole[name][axis]) for name in sorted(whole) for axis in sorted(whole[name])
    ]
    index = {
        "schema": "edgeproof.mask/1",
        "masks": [{"weight": name, "shape": list(mask.shape)} for name, mask in arrays],
        "kept": [{"tensor": name, "axis": axis} for name, axis, _ in stays],
    }
    with zipfile.ZipFile(path, "w") as file:
        _add(file, _INDEX, json.dumps(index, ensure_ascii=False, sort_keys=True).encode())
        for number, (_, mask) in enumerate(arrays):
            _add(file, f"mask-{number}.npy", _npy(np.packbits(mask.astype(bool))))
        for number, (_, _, positions) in enumerate(stays):
            _add(file, f"kept-{number}.npy", _npy(np.asarray(positions, "<i8")))


def read(path: Path) -> tuple[dict[str, Array], dict[str, dict[int, Indices]]]:
    """Read masks and the positions that stay, each empty if there are none.

    Raises InputError for a file that cannot be read or that `write` has not made.
    """
    try:
        with zipfile.ZipFile(path) as file:
            index = _read_index(file)
            masks = {
                item.weight: _unpacked(file, number, item)
                for number, item in enumerate(index.masks)
            }
            kept: dict[str, dict[int, Indices]] = {}
            for number, stays in enumerate(index.kept):
                kept.setdefault(stays.tensor, {})[stays.axis] = _positions(file, number)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except (ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        what = "its index is none" if isinstance(error, ValidationError) else str(error)
        raise InputError(
            f"no mask file: {what}",
            where=str(path),
            next_step="give the .mask.npz of a variant that `edgeproof variants build` has made",
        ) from None
    return masks, kept


def _add(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # else it tells which system wrote the file
    entry.external_attr = 0o644 << 16
    file.writestr(entry, data, compresslevel=9)


def _npy(array: Array) -> bytes:
    data = io.BytesIO()
    np.lib.format.write_array(data, array, allow_pickle=False)
    return data.getvalue()


def _read_index(file: zipfile.ZipFile) -> _Index:
    if file.getinfo(_INDEX).file_size > _MOST_INDEX:
        raise ValueError(f"{_INDEX} is too large")
    return _Index.model_validate_json(file.read(_INDEX))


def _unpacked(file: zipfile.ZipFile, number: int, item: _Mask) -> Array:
    name, count = f"mask-{number}.npy", prod(item.shape)
    # 4 KiB are more than the header of an .npy needs.
    if file.getinfo(name).file_size > count // 8 + 4096:
        raise ValueError(f"{name} is too large for its shape")
    packed = np.lib.format.read_array(io.BytesIO(file.read(name)), allow_pickle=False)
    if packed.dtype != np.uint8 or packed.shape != (-(-count // 8),):
        raise ValueError(f"{name} does not fit its shape")
    return np.unpackbits(packed, count=count).astype(bool).reshape(item.shape)


def _positions(file: zipfile.ZipFile, number: int) -> Indices:
    name = f"kept-{number}.npy"
    found = np.lib.format.read_array(io.BytesIO(file.read(name)), allow_pickle=False)
    if found.ndim != 1 or found.dtype != np.dtype("<i8") or (np.diff(found, prepend=-1) <= 0).any():
        raise ValueError(f"{name} holds no ascending positions")
    return found.astype(np.int64)
