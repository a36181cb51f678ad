"""The pure parts of benchmarks/overhead.py: its networks, what tools print, and its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.native.loops import UnavailableError
from benchmarks.native.models import MODELS, Model, save_onnx
from benchmarks.native.pairs import Medians, p50_us
from benchmarks.native.peers import BENCHMARK_APP, LITERT_BENCHMARK, Tool, printed_us
from benchmarks.overhead import within
from reports.estimate import Estimate


@pytest.mark.parametrize("model", MODELS[:-1], ids=lambda model: model.name)
def test_activations_live_and_follow_the_input(model: Model, tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(save_onnx(model, tmp_path))
    given = np.random.default_rng(0).standard_normal((2, *model.input_shape)).astype("float32")
    one, other = (session.run(None, {"x": values})[0] for values in given)
    assert one.shape == model.output_shape
    assert one.std() > 0.1
    assert np.abs(one - other).mean() > 0.1


@pytest.mark.parametrize(
    ("tool", "text", "us"),
    [
        (BENCHMARK_APP, "[ INFO ]    Median:        21.79 us\n", 21.79),
        (BENCHMARK_APP, "[ INFO ]    Median:        2.56 ms\n", 2560),
        (LITERT_BENCHMARK, "Inference (median):    0.57 ms\n", 570),
    ],
)
def test_the_median_of_a_tool_is_read(tool: Tool, text: str, us: float) -> None:
    assert printed_us(tool, text) == pytest.approx(us)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Inference (median):    0.03 ms\n", "litert-benchmark printed 0.03 ms, which is too few"),
        ("Inference (median):    0.00 ms\n", "too few digits"),
        ("ERROR no such model", "printed no median: ERROR no such model"),
    ],
)
def test_what_is_no_use_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(UnavailableError, match=reason):
        printed_us(LITERT_BENCHMARK, text)


def test_ratios_are_paired_by_launch() -> None:
    agent, native = Medians([10.1, 20.2, 30.3]), Medians([10.0, 20.0, 30.0])
    ratio = agent.ratio_to(native)
    assert ratio.value == pytest.approx(1.01)
    assert ratio.interval == pytest.approx((1.01, 1.01))


def test_a_side_that_fails_once_has_no_figures() -> None:
    def fail() -> None:
        raise UnavailableError("no gcc")

    native = Medians([10.0])
    native.attempt(fail)
    native.attempt(lambda: native.us.append(11.0))
    assert (native.us, native.value, native.reason) == ([10.0], None, "no gcc")
    assert Medians([9.0]).ratio_to(native).reason == "no gcc"


def test_the_first_sample_of_a_block_is_left_out() -> None:
    assert p50_us([[9000, 1000, 3000], [9000, 2000]]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("native_us", "ends", "expected"),
    [
        (10, (0.9, 1.19), True),
        (10, (1.21, 1.3), False),
        (10, (1.1, 1.3), None),
        (1000, (0.991, 1.009), True),
        (1000, (0.9, 0.98), False),
        (1000, None, None),
    ],
)
def test_the_bias_may_be_one_percent_or_two_us(
    native_us: float, ends: tuple[float, float] | None, expected: bool | None
) -> None:
    assert within(native_us, Estimate(1.0, ends)) is expected
