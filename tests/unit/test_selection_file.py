"""Requirements: what a file and the command line may say, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import InputError
from harness.selection_file import (
    Requirements,
    from_options,
    load_requirements,
    price_scenarios,
)
from harness.study import load_study

EXAMPLES = Path(__file__).parents[2] / "examples"

GOOD = {
    "constraints": {"latency_p95_ms": {"max": 33}, "throughput_ips": {"min": 10, "max": 900}},
    "objective": {"latency_p95_ms": 2, "price_usd": 1},
    "delta": 0.1,
    "axes": ["latency_p95_ms", "price_usd"],
    "price": {"pi5": 80, "orin": {"list": 249, "volume": 215}},
    "watts": {"pi5": 7},
}


def written(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "needs.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def options(**given: list[str]) -> dict[str, list[str]]:
    return {key: given.get(key, []) for key in ("max", "min", "objective", "price", "watts")}


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    found = load_requirements(written(tmp_path))
    assert [str(limit) for limit in found.limits] == [
        "latency_p95_ms <= 33",
        "throughput_ips <= 900",
        "throughput_ips >= 10",
    ]
    assert found.objective == {"latency_p95_ms": 2, "price_usd": 1}
    assert found.price == {"pi5": {"always": 80}, "orin": {"list": 249, "volume": 215}}
    assert price_scenarios(found.price) == ["list", "volume"]


def test_nothing_said_is_the_lowest_p95() -> None:
    assert Requirements().objective == {"latency_p95_ms": 1.0}
    assert Requirements().limits == []
    assert price_scenarios({}) == ["always"]


def test_one_metric_alone_has_all_the_weight(tmp_path: Path) -> None:
    found = load_requirements(written(tmp_path, objective="throughput_ips"))
    assert found.objective == {"throughput_ips": 1.0}


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    given = options(max=["latency_p95_ms=20"], price=["pi5=60"], objective=["peak_rss_mib"])
    found = load_requirements(written(tmp_path)).with_options(from_options(given, 0.2))
    assert str(found.limits[0]) == "latency_p95_ms <= 20"
    assert len(found.limits) == 3
    assert found.price["pi5"] == {"always": 60}
    assert found.price["orin"] == {"list": 249, "volume": 215}
    assert (found.objective, found.delta) == ({"peak_rss_mib": 1.0}, 0.2)


def test_what_the_command_line_does_not_say_stays(tmp_path: Path) -> None:
    found = load_requirements(written(tmp_path))
    assert found.with_options(from_options(options(), None)) == found


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"constraints": {"latncy_p95_ms": {"max": 3}}}, "did you mean 'latency_p95_ms'"),
        ({"constraints": {"latency_p95_ms": {}}}, "a constraint needs a number"),
        ({"constraints": {"latency_p95_ms": 33}}, "must be a mapping"),
        ({"constraints": {"latency_p95_ms": {"max": "fast"}}}, "valid number"),
        ({"constraints": {"latency_p95_ms": {"max": 1, "min": 2}}}, "nothing keeps both"),
        ({"constraints": {"accuracy_top1": {"min": 90}}}, "a share of 1, not a percentage"),
        ({"objective": {"speed": 1}}, "unknown metric 'speed'"),
        ({"objective": {"latency_p95_ms": -1}}, "greater than 0"),
        ({"objective": {}}, "must hold at least 1"),
        ({"delta": 5}, "less than or equal to 1"),
        ({"axes": ["latency_p95_ms"] * 2}, "listed twice"),
        ({"axes": ["latency_p95_ms", "price_usd", "watts", "load_ms"]}, "must hold at most 3"),
        ({"price": {"pi5": 0}}, "greater than 0"),
        ({"price": {"pi5": {}}}, "at least 1"),
        ({"budget": 3}, "unknown key 'budget'"),
    ],
)
def test_wrong_requirements_say_what_and_where(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refusal:
        load_requirements(written(tmp_path, **changes))
    assert told in str(refusal.value)
    assert "needs.yaml" in str(refusal.value)
    assert refusal.value.next_step


@pytest.mark.parametrize("text", ["latency_p95_ms", "latency_p95_ms=", "latency_p95_ms=fast", "="])
def test_an_option_without_a_number_shows_how(text: str) -> None:
    with pytest.raises(InputError, match="is not NAME=NUMBER") as refusal:
        from_options(options(max=[text]), None)
    assert "--max latency_p95_ms=33" in str(refusal.value.next_step)


@pytest.mark.parametrize("user", ["lab", "release", "hardware"])
def test_the_example_of_each_user_can_be_read(user: str) -> None:
    study = load_study(EXAMPLES / f"{user}.yaml")
    assert study.devices == ("local",)
    assert load_requirements(EXAMPLES / f"{user}-needs.yaml").limits
