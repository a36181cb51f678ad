"""A model that runs, but whose answers cannot be read: it is timed, and its sets say why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from agents import wire
from tests.contract.test_supervisor import job, of_kind, run
from tests.contract.workshop import Workshop
from tests.unit.model_files import onnx_model

ASKED: wire.Robustness = {
    "corruptions": ["noise"],
    "severities": [1, 5],
    "samples": 4,
    "seed": 3,
    "ood": {},
}


def test_it_is_timed_and_every_set_has_the_reason(workshop: Workshop, tmp_path: Path) -> None:
    model = onnx_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"w": np.ones((6, 4), np.float32)},
        {"x": (TensorProto.FLOAT, ("n", 3, 6))},
        {"y": (TensorProto.FLOAT, ("n", 3, 4))},
    )
    path = tmp_path / "rows.onnx"
    onnx.save(model, path)
    dataset = workshop.dataset(np.arange(8) % 4, x=np.ones((8, 3, 6), np.float32))
    cell = workshop.cell(path, "onnxruntime")
    events = run(workshop, job(workshop, [cell], 2, dataset=dataset, robustness=ASKED))
    [evaluation] = of_kind(events, "evaluation")
    assert (evaluation["status"], evaluation["reason"]) == ("ok", None)
    assert evaluation["executed"]["provider"] == "CPUExecutionProvider"
    assert len(evaluation["sets"]) == 3
    for one in evaluation["sets"]:
        assert "output 0 has shape" in one["reason"] and one["classes"] is None
    assert [launch["cells"][0]["status"] for launch in of_kind(events, "launch")] == ["ok"] * 2
    assert of_kind(events, "set") == []  # nothing is asked that cannot be read
