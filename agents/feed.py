"""What a model is fed: samples of a dataset, or seeded random values when the study has none."""

from __future__ import annotations

import zipfile
from typing import Any, Dict, Iterator, List, Optional

from agents import corruptions, preprocess, wire
from agents.backends import UnsupportedError


def rows(path: str, key: str, chunk: int) -> Iterator[Any]:
    """Yield an array of an .npz file in chunks of rows, so that memory never holds it whole.

    Resident memory is one of the measures: a dataset read at once would be part of every peak.
    """
    import numpy as np

    with zipfile.ZipFile(path) as archive, archive.open(key + ".npy") as member:
        version = np.lib.format.read_magic(member)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[version[0]](member)
        if fortran and len(shape) > 1:
            raise UnsupportedError("dataset array {} is in Fortran order".format(key))
        row_bytes = dtype.itemsize
        for size in shape[1:]:
            row_bytes *= size
        for start in range(0, shape[0], chunk):
            count = min(chunk, shape[0] - start)
            data = member.read(count * row_bytes)
            yield np.frombuffer(data, dtype=dtype).reshape((count, *shape[1:]))


def sample_batches(
    path: str,
    dataset: wire.Dataset,
    cell: wire.Cell,
    samples: Optional[int] = None,
    corruption: Optional[corruptions.Corruption] = None,
) -> Iterator[Dict[str, Any]]:
    """Yield the dataset as batches of the cell's size by model input, preprocessed.

    The last may be short. Of `samples` only the first so many come; a corruption spoils each.
    """
    keys = input_keys(dataset, cell["inputs"])
    streams = [rows(path, key, cell["batch"]) for key in keys]
    left = dataset["samples"] if samples is None else min(samples, dataset["samples"])
    done = 0
    for stored in zip(*streams):
        if not left:
            return
        arrays = [preprocess.apply(dataset["preprocess"], array[:left]) for array in stored]
        if corruption is not None:
            arrays = spoiled(arrays, keys, done, corruption)
        done += len(arrays[0])
        left -= len(arrays[0])
        yield {spec["name"]: array for spec, array in zip(cell["inputs"], arrays)}


def spoiled(
    arrays: List[Any], keys: List[str], first: int, corruption: corruptions.Corruption
) -> List[Any]:
    """Corrupt the measured inputs of a batch whose samples begin at number `first`."""
    import numpy as np

    if not any(corruptions.applies_to(array.dtype) for array in arrays):
        raise UnsupportedError(
            "{} is for measured values, not for {}".format(corruption.name, arrays[0].dtype)
        )
    return [
        np.stack([corruption.of(sample, first + at, key) for at, sample in enumerate(array)])
        if corruptions.applies_to(array.dtype)
        else array
        for key, array in zip(keys, arrays)
    ]


def input_keys(dataset: wire.Dataset, specs: List[wire.TensorSpec]) -> List[str]:
    """Key of the dataset for each model input; "" stands for a model's only input."""
    keys = dataset["inputs"]
    if "" in keys and len(specs) == 1:
        return [keys[""]]
    missing = [spec["name"] for spec in specs if spec["name"] not in keys]
    if missing:
        raise UnsupportedError("the dataset has no key for input {}".format(missing[0]))
    return [keys[spec["name"]] for spec in specs]


def timing_inputs(
    cell: wire.Cell, path: Optional[str], dataset: Optional[wire.Dataset]
) -> Dict[str, Any]:
    """Inputs of the timed inferences: the dataset's first samples, else seeded random values."""
    if dataset is None or path is None:
        return {spec["name"]: random_values(spec) for spec in cell["inputs"]}
    return padded(next(sample_batches(path, dataset, cell)), cell["batch"])


def padded(arrays: Dict[str, Any], batch: int) -> Dict[str, Any]:
    """Repeat the samples until they fill the batch."""
    import numpy as np

    return {name: np.resize(array, (batch, *array.shape[1:])) for name, array in arrays.items()}


def random_values(spec: wire.TensorSpec) -> Any:
    """Values that any network takes: normal for reals, the full range for quantised, 0 or 1 else.

    Indices (token ids, masks) must stay inside a table whose size is not known here.
    """
    import numpy as np

    generator = np.random.RandomState(0)
    if spec["dtype"].startswith("float"):
        return generator.standard_normal(spec["shape"]).astype(spec["dtype"])
    if spec["scale"] is not None:
        info = np.iinfo(spec["dtype"])
        return generator.randint(info.min, info.max + 1, spec["shape"]).astype(spec["dtype"])
    return generator.randint(0, 2, spec["shape"]).astype(spec["dtype"])


def as_runtime_wants(
    arrays: Dict[str, Any], specs: List[wire.TensorSpec], dtypes: Dict[str, str]
) -> Dict[str, Any]:
    """Bring each input to the dtype and shape its runtime takes."""
    import numpy as np

    return {
        spec["name"]: np.ascontiguousarray(
            converted(arrays[spec["name"]], spec, dtypes[spec["name"]])
        ).reshape(spec["shape"])
        for spec in specs
    }


def converted(array: Any, spec: wire.TensorSpec, dtype: str) -> Any:
    """Cast to `dtype`; reals enter a quantised input through q = round(x / scale) + zero_point.

    Raises UnsupportedError when reals would have to become plain integers.
    """
    import numpy as np

    if array.dtype == np.dtype(dtype):
        return array
    if np.dtype(dtype).kind == "f":
        codes = spec["scale"] is not None and array.dtype.kind != "f"
        real = (array - float(spec["zero_point"] or 0)) * spec["scale"] if codes else array
        return real.astype(dtype)
    if array.dtype.kind != "f":
        cast = array.astype(dtype)
        if not np.array_equal(cast, array):
            raise UnsupportedError("values of input {} do not fit {}".format(spec["name"], dtype))
        return cast
    if spec["scale"] is None:
        raise UnsupportedError(
            "input {} takes {} and names no scale, but the data are {}".format(
                spec["name"], dtype, array.dtype
            )
        )
    info = np.iinfo(dtype)
    quantised = np.round(array / spec["scale"]) + (spec["zero_point"] or 0)
    return np.clip(quantised, info.min, info.max).astype(dtype)
