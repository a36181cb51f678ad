"""Weights stored as TFLite sparse tensors, in real workers of both interpreters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.variants import sparse_tflite
from harness.variants.networks import open_network
from tests.contract.workshop import Workshop

DENSE = Path(__file__).parents[2] / "examples" / "digits" / "models" / "pruned-90.tflite"


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sparse") / "sparse.tflite"
    sparse_tflite.write(DENSE, path, "sparse")
    return path


@pytest.mark.parametrize("runtime", ["litert", "litert:builtin", "tflite"])
def test_a_file_of_sparse_tensors_runs_and_tells_what_ran(
    workshop: Workshop, sparse: Path, runtime: str
) -> None:
    """The frozen tflite-runtime dies when asked for the sparsity of such a tensor."""
    samples = np.random.default_rng(1).standard_normal((1, 96, 96, 3)).astype("float32")
    (scores,), executed = workshop.outputs(workshop.cell(sparse, runtime), x=samples)
    (expected,), _ = workshop.outputs(workshop.cell(DENSE, runtime), x=samples)
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert executed["precision"] == "fp32"
    made = [layer["name"] for layer in executed["layers"] or []]
    assert {layer.node.name for layer in open_network(DENSE, "tflite").graph.layers()} <= set(made)
