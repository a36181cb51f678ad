"""TFLite's sparse tensors: written, read, run by LiteRT; and who may compute with them sparsely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness import artifact
from harness.errors import InputError
from harness.study import load_study
from harness.variants import build, manifest, sparse_kernels, sparse_tflite, verify
from harness.variants.network import Array
from harness.variants.networks import open_network
from harness.variants.networks.tflite_densify import decode
from harness.variants.outputs import outputs
from tests.unit import sparse_nets
from tests.unit.tflite_builder import Net

MOBILE = "mean and linear"

shapes = arrays.array_shapes(min_dims=2, max_dims=5, min_side=1, max_side=6)


@st.composite
def pruned(draw: st.DrawFn) -> Array:
    """Weights of any shape, float or half, with any share of zeros."""
    shape = draw(st.one_of(shapes, st.tuples(st.integers(1, 3), st.sampled_from([256, 257, 300]))))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    dtype = draw(st.sampled_from([np.float32, np.float16]))
    values: Array = random.uniform(0.5, 1, shape).astype(dtype)
    values[random.random(shape) < draw(st.sampled_from([0, 0.3, 0.9, 1]))] = 0
    return values


@given(pruned())
@settings(max_examples=150, deadline=None)
def test_what_is_encoded_is_decoded(values: Array) -> None:
    sparsity, stored = sparse_tflite.encode(values)
    assert stored.size == np.count_nonzero(values)
    again = decode(sparsity, values.shape, stored)
    assert again.dtype == values.dtype
    np.testing.assert_array_equal(again, values)


@given(pruned().filter(lambda values: bool(values.any())))
@settings(max_examples=40, deadline=None)
def test_litert_decodes_what_we_encode(values: Array) -> None:
    np.testing.assert_array_equal(densified(*sparse_tflite.encode(values), values.shape), values)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_we_decode_what_litert_does(data: st.DataObject) -> None:
    """Blocks, and any order of the dimensions: what other tools write."""
    rows, columns = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    block = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    there = random.random((rows, columns)) < 0.5
    there[0, 0] = True
    swapped = data.draw(st.booleans())
    walked = there.T if swapped else there
    level = levels(walked)
    inner = (0, 1) if data.draw(st.booleans()) else (1, 0)
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder = [*((1, 0) if swapped else (0, 1)), *(2 + axis for axis in inner)]
    sparsity.blockMap = [0, 1]
    sparsity.dimMetadata = [*level, *(dense(block[axis]) for axis in inner)]
    stored = random.uniform(1, 2, int(there.sum()) * block[0] * block[1]).astype(np.float32)
    shape = (rows * block[0], columns * block[1])
    ours = decode(sparsity, shape, stored)
    assert np.count_nonzero(ours) == stored.size
    np.testing.assert_array_equal(ours, densified(sparsity, stored, shape))


def levels(there: Array) -> list[Any]:
    """Describe which blocks are there: dense along the first axis, compressed along the second."""
    sparsity, _ = sparse_tflite.encode(there.astype(np.float32))
    return list(sparsity.dimMetadata)


def dense(size: int) -> Any:
    level = schema.DimensionMetadataT()
    level.format, level.denseSize = schema.DimensionType.DENSE, size
    return level


def densified(sparsity: Any, stored: Array, shape: tuple[int, ...]) -> Array:
    """Return what LiteRT's DENSIFY makes of a sparse tensor."""
    net = Net()
    index = net.constant("w", stored)
    tensor = net.graph.tensors[index]
    tensor.shape, tensor.sparsity = np.array(shape, np.int32), sparsity
    made = net.tensor("dense", shape, stored.dtype)
    net.graph.tensors[made].shapeSignature = None
    net.ops("DENSIFY", [index], [made], like="DensifyOptions")
    net.graph.outputs = [made]
    return run(bytes(_packed(net)), None, delegate=False)[0]


def _packed(net: Net) -> Any:
    import flatbuffers  # type: ignore[import-untyped]

    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(net.model.Pack(builder), b"TFL3")
    return builder.Output()


def run(content: bytes, x: Array | None, delegate: bool = True) -> list[Array]:
    kind = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=content, num_threads=1, experimental_op_resolver_type=kind
    )
    interpreter.allocate_tensors()
    if x is not None:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(item["index"]) for item in interpreter.get_output_details()]


@pytest.mark.parametrize(
    "levels", [{"arrayIndices": [0, 9]}, {"arraySegments": [0, 1, 1, 2]}, {"arraySegments": [1, 2]}]
)
def test_positions_outside_the_shape_are_damage(levels: dict[str, list[int]]) -> None:
    sparsity, stored = sparse_tflite.encode(np.eye(2, dtype=np.float32))
    for name, positions in levels.items():
        getattr(sparsity.dimMetadata[-1], name).values = np.array(positions, np.int32)
    with pytest.raises(ValueError):
        decode(sparsity, (2, 2), stored)


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a MobileNet-like network of 90% zeros, stored densely and sparsely."""
    folder = tmp_path_factory.mktemp("mobile")
    source = saved(MOBILE, folder / "dense.tflite")
    sparse_tflite.write(source, folder / "sparse.tflite")
    return source, folder / "sparse.tflite"


def saved(name: str, path: Path) -> Path:
    net = Net()
    return net.save(path, sparse_nets.NETS[name][0](net))


@pytest.mark.parametrize("delegate", [True, False])
def test_sparse_storage_changes_no_output(mobile: tuple[Path, Path], delegate: bool) -> None:
    random = np.random.default_rng(1)
    inputs = 20 * random.standard_normal((3, 1, 32, 32, 3)).astype(np.float32)
    found = [[run(path.read_bytes(), x, delegate)[0] for x in inputs] for path in mobile]
    assert np.ptp(np.stack(found[0]), axis=0).max() > 0.1  # else anything would be equal
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-5)


def test_zeros_are_counted_and_the_file_is_smaller(mobile: tuple[Path, Path]) -> None:
    before, after = (artifact.inspect(path, "tflite") for path in mobile)
    assert before.sparsity == after.sparsity and after.sparsity and after.sparsity > 0.4
    assert after.bytes < before.bytes


def test_a_sparse_tensor_that_stores_nothing_is_all_zeros(tmp_path: Path) -> None:
    net = Net()
    weight = net.constant("w", np.zeros((8, 4), np.float32))
    net.graph.tensors[weight].sparsity, stored = sparse_tflite.encode(np.zeros((8, 4), np.float32))
    net.model.buffers[net.graph.tensors[weight].buffer].data = stored.view(np.uint8)
    wide = net.op("DENSIFY", [weight], "wide", [8, 4], like="DensifyOptions")
    inputs = [net.input("x", 1, 4), wide, net.weight("b", 8)]
    y = net.op("FULLY_CONNECTED", inputs, "y", [1, 8], like="FullyConnectedOptions")
    path = net.save(tmp_path / "zero.tflite", y)
    assert not open_network(path, "tflite").constant("w").any()


def test_a_sparse_file_opens_with_dense_weights(mobile: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = (open_network(path, "tflite") for path in mobile)
    assert [node.operator for node in before.graph.nodes] == [
        node.operator for node in after.graph.nodes
    ]
    assert before.graph.constants == after.graph.constants - {"pw.w_dense"}
    for name in before.graph.constants:
        np.testing.assert_array_equal(before.constant(name), after.constant(name))
    after.save(tmp_path / "again.tflite")
    feeds = {"x": np.random.default_rng(2).standard_normal((2, 32, 32, 3)).astype(np.float32)}
    again = outputs(tmp_path / "again.tflite", "tflite", feeds)
    np.testing.assert_array_equal(outputs(mobile[0], "tflite", feeds)[0], again[0])
    assert artifact.inspect(tmp_path / "again.tflite", "tflite").bytes > 4 * 64 * 16


def test_what_was_sparse_can_be_stored_sparsely_again(
    mobile: tuple[Path, Path], tmp_path: Path
) -> None:
    sparse_tflite.write(mobile[1], tmp_path / "twice.tflite")
    assert artifact.inspect(tmp_path / "twice.tflite", "tflite").sparsity == (
        artifact.inspect(mobile[1], "tflite").sparsity
    )


def test_dense_weights_have_nothing_to_gain(tmp_path: Path) -> None:
    net = Net()
    path = net.save(
        tmp_path / "dense.tflite", net.head(net.conv(net.input("x", 1, 8, 8, 3), "c", 8), 8)
    )
    with pytest.raises(InputError, match="no weights that sparse storage would make smaller"):
        sparse_tflite.write(path, tmp_path / "sparse.tflite")
    assert not (tmp_path / "sparse.tflite").exists()


@pytest.mark.parametrize("name", sparse_nets.NETS)
def test_litert_does_what_is_said_beforehand(name: str, tmp_path: Path) -> None:
    source, seen = saved(name, tmp_path / "dense.tflite"), sparse_nets.NETS[name][1]
    target = tmp_path / "sparse.tflite"
    if seen == "wrong":
        with pytest.raises(InputError, match="must not be stored sparsely"):
            sparse_tflite.write(source, target)
        return
    said = sparse_tflite.write(source, target)[-1]
    missing = sparse_kernels.failing(sparse_tflite.qualifies(target))
    assert (missing == []) == (seen == "sparse")
    assert ("qualifies on 64-bit Arm; on x86 with AVX the kernels are off" in said) == (not missing)


@pytest.mark.parametrize(
    ("name", "condition", "words"),
    [
        ("60% zeros", "zeros", "more than 2/3 are needed"),
        ("stem SAME", "begins", "has no explicit padding of 1"),
        ("stem stride 1", "begins", "has stride 1x1, not 2x2"),
        ("flattened", "ends", "no mean over height and width"),
        ("max pool inside", "inside", "MAX_POOL_2D"),
        ("concatenation", "sound", "'a' (CONV_2D)"),
    ],
)
def test_the_condition_that_fails_is_named(
    name: str, condition: str, words: str, tmp_path: Path
) -> None:
    found = {one.name: one for one in sparse_tflite.qualifies(saved(name, tmp_path / "n.tflite"))}
    assert found[condition].holds is False and words in found[condition].what
    assert found["stored"].holds is False  # as yet
    assert found["processor"].holds is None


STUDY = """
name: mobile
baseline: dense
variants:
  dense: {model: dense.tflite}
  sparse: {from: dense, prune: {method: magnitude, sparsity: 0.8, leave: [], store: sparse}}
  halved: {from: dense, prune: {method: magnitude, sparsity: 0.8, leave: [], store: sparse},
           quantize: {to: fp16}}
runtimes: [litert]
"""


def study_file(folder: Path, text: str = STUDY, name: str = MOBILE) -> Path:
    saved(name, folder / "dense.tflite")
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def test_a_study_asks_for_sparse_storage(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path), built=False)
    made = {one.variant: one for one in build.build(study, [], lambda line: None)}
    for name, one in made.items():
        path = study.model_path(name, "tflite")
        assert [check.step for check in one.parity][-1] == "sparse tensors"
        assert one.parity[-1].relative_difference < 1e-5
        assert any(note.startswith("sparse kernels: 1x1 convs 9") for note in one.notes)
        assert all(one.holds is not False for one in sparse_tflite.qualifies(path))
        assert verify.verify(path, "tflite") == []
        assert manifest.read(path).zeros == artifact.inspect(path, "tflite").sparsity
    assert made["halved"].bytes < made["sparse"].bytes
    assert [task.stale() for task in build.tasks(study)] == [None, None]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("store: sparse", "store: coo"), "store"),
        (("fp16", "int8"), "LiteRT has no sparse kernels for int8"),
        (("{model: dense.tflite}", "{model: {tflite: dense.tflite, onnx: dense.onnx}}"), "onnx"),
        (("method: magnitude", "method: channels"), "leaves no zeros"),
    ],
)
def test_sparse_storage_that_makes_no_sense_is_refused(
    change: tuple[str, str], words: str, tmp_path: Path
) -> None:
    path = study_file(tmp_path, STUDY.replace(*change))
    (tmp_path / "dense.onnx").write_bytes(b"-")
    with pytest.raises(InputError, match=words):
        load_study(path, built=False)


def test_a_file_that_litert_would_compute_wrongly_is_not_built(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, name="concatenation"), built=False)
    with pytest.raises(InputError, match=r"mobile: sparse \(tflite\)") as raised:
        list(build.build(study, ["sparse"], lambda line: None))
    assert "leave `store: sparse` out" in str(raised.value.next_step)
