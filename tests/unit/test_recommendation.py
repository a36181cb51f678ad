"""Curves, recommendations and transfer: from rows made by hand to what they must say."""

from __future__ import annotations

from typing import Any

import pytest

from reports.curves import curves
from reports.gates import Limit
from reports.recommendation import recommendations
from reports.run import ArtifactRecord
from reports.sections.curves import told
from reports.sections.summary import shipping
from reports.targets import Measured, targets
from reports.transfer import transfer

DROP = Limit("accuracy_top1_drop", "max", 0.01)
SIZE = Limit("compressed_mib", "max", 0.05)
MIB = 2**20


def pruned(share: float, parent: str = "dense") -> dict[str, Any]:
    prune = {"method": "channels", "sparsity": share, "pattern": "unstructured"}
    return {"from": parent, "prune": prune, "quantize": None, "recipe": None}


STUDY: dict[str, Any] = {
    "baseline": "dense",
    "variants": {
        "dense": {"from": None},
        "slim-20": pruned(0.2),
        "slim-40": pruned(0.4),
        "slim-60": pruned(0.6),
    },
}


def row(
    variant: str,
    drop: tuple[float, float, float] | None,
    *,
    sparsity: float = 0.0,
    compressed: float = 0.04,
    device: str = "pi",
    batch: int = 1,
) -> dict[str, Any]:
    ends = {"top1_drop": list(drop[1:]) if drop else None}
    reasons = {} if drop else {"accuracy.top1_drop": "this is the baseline"}
    return {
        "cell": f"{variant}/{batch}",
        "variant": variant,
        "device": device,
        "runtime": "onnxruntime",
        "precision_requested": "fp32",
        "precision_executed": "fp32",
        "batch": batch,
        "threads": 1,
        "scenario": "single-stream",
        "status": "ok",
        "reason": None,
        "artifact": f"sha-{variant}",
        "sparsity": sparsity,
        "accuracy": {"top1": 0.9, "top1_drop": drop and drop[0], "ci": ends},
        "latency_ms": {"p50": 1.0},
        "file_bytes": 2 * compressed * MIB,
        "compressed_bytes": compressed * MIB,
        "peak_rss_mib": 40.0,
        "reasons": reasons,
    }


def ratio(variant: str, value: float, width: float = 0.02, device: str = "pi") -> dict[str, Any]:
    return {
        "kind": "variant",
        "device": device,
        "candidate_cell": f"{variant}/1",
        "metric": "latency_p50_ratio",
        "ratio": value,
        "ci": [value - width, value + width],
        "finding": "faster",
        "reason": None,
    }


def by_key(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(r["device"], r["candidate_cell"], r["metric"]): r for r in rows}


def file(provenance: dict[str, Any]) -> ArtifactRecord:
    return ArtifactRecord("sha", "a.onnx", "onnx", 1, 1, 0.0, provenance=provenance)


MANIFEST = {"schema": "edgeproof.variant/1"}
MANIFESTS = {
    f"sha-slim-{share}": {**MANIFEST, "sparsity": {"reached": share / 100}}
    for share in (20, 40, 60)
}
ARTIFACTS = {sha: file(manifest) for sha, manifest in MANIFESTS.items()}
ROWS = [
    row("dense", None, compressed=0.08),
    row("slim-20", (0.0, -0.005, 0.005)),
    row("slim-40", (0.004, 0.0, 0.009), compressed=0.03),
    row("slim-60", (0.05, 0.03, 0.07), compressed=0.02),
]
RATIOS = by_key([ratio("slim-20", 0.7), ratio("slim-40", 0.5), ratio("slim-60", 0.3)])


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(found) == 1
    return found[0]


def recommended(rows: list[dict[str, Any]], *limits: Limit) -> dict[str, Any]:
    return only(recommendations(Measured(STUDY, ARTIFACTS, rows, limits or (DROP,), RATIOS)))


def test_the_fastest_within_the_targets_is_recommended() -> None:
    found = recommended(ROWS)
    assert (found["variant"], found["proven"], found["share"]) == ("slim-40", True, 0.4)
    assert "0.500x [0.480, 0.520] of the baseline's time" in found["reason"]
    assert "beyond a target: slim-60" in found["reason"]
    assert told(found).startswith("ship slim-40 (40.0% taken away): ")


def test_the_summary_says_what_to_ship() -> None:
    proven, open_one = recommended(ROWS), recommended([row("slim-40", (0.0, -0.02, 0.02))])
    none = recommended(ROWS[3:])
    assert list(shipping({"recommendations": [proven, open_one | {"device": "nuc"}, none]})) == [
        "To ship, within the targets: slim-40 in onnxruntime on pi, slim-40 in onnxruntime on nuc "
        "(not proven)."
    ]
    assert list(shipping({"recommendations": [none]})) == []


def test_of_those_not_told_apart_in_time_the_smallest() -> None:
    close = RATIOS | by_key([ratio("slim-20", 0.51)])
    bigger = [*ROWS[:2], row("slim-40", (0.004, 0.0, 0.009), compressed=0.05), ROWS[3]]
    found = only(recommendations(Measured(STUDY, ARTIFACTS, bigger, (DROP,), close)))
    assert (found["variant"], found["as_fast"]) == ("slim-20", ["slim-40"])


def test_another_target_excludes_the_fastest() -> None:
    found = recommended(
        [*ROWS[:2], row("slim-40", (0.0, -0.001, 0.001), compressed=0.06), ROWS[3]], DROP, SIZE
    )
    assert found["variant"] == "slim-20"


def test_what_is_not_proven_is_provisional() -> None:
    rows = [
        row("slim-20", (0.0, -0.02, 0.02)),
        row("slim-40", (0.0, -0.02, 0.02)),
        ROWS[3],
    ]
    found = recommended(rows)
    assert (found["variant"], found["proven"]) == ("slim-40", False)
    assert "not proven: accuracy_top1_drop <= 0.01" in found["reason"]
    assert told(found).startswith("perhaps slim-40")


def test_the_baseline_is_what_remains_when_every_other_one_misses() -> None:
    lost = [ROWS[0], *(row(name, (0.05, 0.03, 0.07)) for name in ("slim-20", "slim-40"))]
    assert recommended(lost)["variant"] == "dense"


def test_none_is_recommended_when_all_miss() -> None:
    found = recommended(ROWS[3:])
    assert found["variant"] is None
    assert told(found).startswith(
        "ship none: no variant is proven to be within the targets (slim-60: "
    )


def test_a_variant_that_was_not_compared_is_not_recommended() -> None:
    found = only(recommendations(Measured(STUDY, ARTIFACTS, ROWS[:2], (DROP,), {})))
    assert found["variant"] == "dense"


def test_no_targets_no_recommendation() -> None:
    assert recommendations(Measured(STUDY, ARTIFACTS, ROWS, (), RATIOS)) == []
    gate = {"metric": "accuracy_top1_drop", "max": 0.01}
    assert targets({"gates": [gate]}) == [DROP]
    assert targets({"gates": [gate], "targets": [{"metric": "compressed_mib", "max": 0.05}]}) == [
        SIZE
    ]


def test_a_curve_begins_at_the_dense_network_and_says_where_it_holds() -> None:
    found = only(curves(Measured(STUDY, ARTIFACTS, ROWS, (DROP,))))
    assert found["kind"] == "channels"
    assert [point["share"] for point in found["points"]] == [0.0, 0.2, 0.4, 0.6]
    assert [point["accuracy"] for point in found["points"]] == ["pass", "pass", "pass", "fail"]
    assert (found["holds_until"], found["misses_at"]) == (0.4, 0.6)


def test_quantised_variants_are_a_curve_of_their_own() -> None:
    int8 = {"to": "int8"}
    variants = {
        "dense": {"from": None},
        "int8": {"from": "dense", "prune": None, "quantize": int8},
        "slim-40-int8": {**pruned(0.4), "quantize": int8},
    }
    rows = [
        row("dense", None),
        row("int8", (0.0, 0.0, 0.0), sparsity=0.03),
        row("slim-40-int8", (0.0, 0.0, 0.0), sparsity=0.4),
    ]
    found = only(curves(Measured({**STUDY, "variants": variants}, {}, rows)))
    assert found["kind"] == "channels + int8"
    assert [point["variant"] for point in found["points"]] == ["int8", "slim-40-int8"]
    assert found["holds_until"] is None  # without a target nothing says that it holds


def test_what_is_only_quantised_lacks_what_its_parent_lacks() -> None:
    step = {"prune": None, "quantize": {"to": "int8"}}
    quantised = {"int8": {"from": "dense", **step}, "small": {"from": "slim-40", **step}}
    study = {**STUDY, "variants": STUDY["variants"] | quantised}
    made = {**MANIFEST, "sparsity": None, "parent": {"sha256": "sha-slim-40"}}
    artifacts = {**ARTIFACTS, "sha-small": file(made)}
    rows = [*ROWS, *(row(name, (0.0, 0.0, 0.0)) for name in quantised)]
    found = {one["kind"]: one["points"] for one in curves(Measured(study, artifacts, rows))}
    assert [point["share"] for point in found["channels + int8"]] == [0.0, 0.4]


def test_a_file_that_is_its_own_parent_lacks_nothing() -> None:
    made = {**MANIFEST, "sparsity": None, "parent": {"sha256": "sha-same"}}
    study = {**STUDY, "variants": STUDY["variants"] | {"same": {"from": "dense"}}}
    rows = [*ROWS, row("same", (0.0, 0.0, 0.0))]
    found = only(curves(Measured(study, {**ARTIFACTS, "sha-same": file(made)}, rows)))
    assert [point["variant"] for point in found["points"]] == [
        *("dense", "slim-20", "slim-40", "slim-60"),
    ]


def test_what_was_compressed_in_training_is_a_curve_for_each_method() -> None:
    methods = {"slim-20": "movement pruning", "slim-40": "movement pruning", "slim-60": "lottery"}
    artifacts = {
        f"sha-{name}": file({**MANIFESTS[f"sha-{name}"], "training": {"method": method}})
        for name, method in methods.items()
    }
    parent = {"parent": {"sha256": "sha-dense"}, "sparsity": None}
    artifacts["sha-taught"] = file({**MANIFEST, **parent, "training": {"method": "distillation"}})
    variants = {"dense": {"from": None}, "taught": {"from": "dense"}}
    study = {**STUDY, "variants": variants | {name: {"from": "dense"} for name in methods}}
    found = curves(Measured(study, artifacts, [*ROWS, row("taught", (0.0, 0.0, 0.0))]))
    assert {one["kind"]: [point["share"] for point in one["points"]] for one in found} == {
        "movement pruning": [0.0, 0.2, 0.4],
        "lottery": [0.0, 0.6],
    }


def test_json_that_is_no_manifest_tells_nothing() -> None:
    study = {**STUDY, "variants": {name: {"from": None} for name in STUDY["variants"]}}
    artifacts = {"sha-slim-40": file({"sparsity": 0.4, "training": "none"})}
    rows = [ROWS[0], row("slim-40", (0.0, 0.0, 0.0), sparsity=0.3)]
    found = only(curves(Measured(study, artifacts, rows)))
    assert (found["kind"], [point["share"] for point in found["points"]]) == (
        "as given",
        [0.0, 0.3],
    )


def test_only_the_smallest_batch_is_drawn() -> None:
    rows = [*ROWS, *(row(name, (0.0, 0.0, 0.0), batch=8) for name in ("slim-20", "slim-40"))]
    assert len(only(curves(Measured(STUDY, ARTIFACTS, rows)))["points"]) == 4


@pytest.mark.parametrize("devices", [("pi",), ("pi", "nuc")])
def test_transfer_over_devices(devices: tuple[str, ...]) -> None:
    rows = [row("slim-40", None, device=device) for device in devices]
    ratios = by_key([ratio("slim-40", 0.5), ratio("slim-40", 0.75, device="nuc")])
    found = transfer(Measured(STUDY, {}, rows, ratios=ratios))
    if len(devices) == 1:
        assert found == []
        return
    assert [place["ratio"] for place in only(found)["places"]] == [0.5, 0.75]
    assert found[0]["spread"] == pytest.approx(1.5)


def test_transfer_over_networks() -> None:
    variants = {
        "dense": {"from": None},
        "other": {"from": None},
        "dense-slim": {**pruned(0.4), "recipe": "slim"},
        "other-slim": {**pruned(0.4, "other"), "recipe": "slim"},
    }
    rows = [row(name, None) for name in variants]
    found = transfer(
        Measured(
            {**STUDY, "variants": variants}, {}, rows, ratios=by_key([ratio("dense-slim", 0.5)])
        )
    )
    assert [(p["network"], p["ratio"]) for p in only(found)["places"]] == [
        ("dense", 0.5),
        ("other", None),
    ]
    assert found[0]["places"][1]["reason"] == "it was not compared with its baseline"
    assert found[0]["spread"] is None


def test_a_curve_holds_only_as_far_as_every_point_is_proven() -> None:
    unsure = [*ROWS[:2], row("slim-40", (0.004, -0.01, 0.02)), ROWS[3]]
    found = only(curves(Measured(STUDY, ARTIFACTS, unsure, (DROP,))))
    assert [point["accuracy"] for point in found["points"]] == [
        *("pass", "pass", "inconclusive", "fail"),
    ]
    assert (found["holds_until"], found["undecided_at"], found["misses_at"]) == (0.2, [0.4], 0.6)


def test_a_file_of_unknown_size_is_not_the_smallest() -> None:
    close = RATIOS | by_key([ratio("slim-20", 0.51)])
    unknown = row("slim-40", (0.004, 0.0, 0.009)) | {"compressed_bytes": None}
    found = only(
        recommendations(Measured(STUDY, ARTIFACTS, [*ROWS[:2], unknown, ROWS[3]], (DROP,), close))
    )
    assert found["variant"] == "slim-20"


def test_a_variant_without_a_result_has_broken_no_target() -> None:
    lost = row("slim-60", None) | {"status": "failed", "reason": "it crashed"}
    found = recommended([*ROWS[:3], lost])
    assert found["variant"] == "slim-40"
    assert found["reason"].endswith("; slim-60: failed: it crashed")
    assert "beyond a target" not in found["reason"]


def test_a_target_that_no_scenario_measured_proves_nothing() -> None:
    found = recommended(ROWS, DROP, Limit("server_rate_ips", "min", 100))
    assert not found["proven"]
    assert "server_rate_ips >= 100 (no scenario that was measured has it)" in found["reason"]


def test_a_target_is_asked_of_the_scenario_that_measures_it() -> None:
    served = [
        each
        | {"scenario": "server", "cell": f"{each['variant']}/1/server"}
        | {"server": {"rate_ips": rate, "ci": {"rate_ips": [rate - 1, rate + 1]}}}
        for each, rate in zip(ROWS, (50.0, 120.0, 80.0, 200.0), strict=True)
    ]
    limits = (DROP, Limit("server_rate_ips", "min", 100))
    found = only(recommendations(Measured(STUDY, ARTIFACTS, [*ROWS, *served], limits, RATIOS)))
    assert (found["variant"], found["proven"]) == ("slim-20", True)


def test_what_was_not_compared_in_time_is_named() -> None:
    found = only(recommendations(Measured(STUDY, ARTIFACTS, ROWS[:2], (DROP,), {})))
    assert found["reason"] == (
        "it is the baseline; 81.9 KiB compressed; "
        "slim-20: no interval of its time to the baseline's"
    )
    assert told(found).startswith("ship dense: it is the baseline")
