"""Sections about families and evaluations: what they say, draw, and say of what is missing."""

from __future__ import annotations

from typing import Any

import pytest
from evaluation_builder import add_classifier, detectors, robust_study, two_classes, unscored
from run_builder import EvaluationRecord, RunBuilder, cell, realistic

from reports import render
from reports.document import build
from reports.intervals import used
from reports.layout import Section, Table
from reports.lines import covering
from reports.sections import calibration, curves, robustness, transfer

LOST = "the model gave nothing that can be read"
PRUNED = ("pruned-30", "pruned-60", "pruned-90")


def spoiled(made: RunBuilder, variant: str, *sets: tuple[str, int]) -> dict[str, Any]:
    """The document of a run in which some corrupted sets of a variant are null with a reason."""
    for at, record in enumerate(made.events):
        event = dict(record.event)
        if event["evaluation"] != cell(variant)["evaluation"]:
            continue
        event["sets"] = [
            unscored(one["name"], "corruption", one["severity"], reason=LOST)
            if (one["name"], one["severity"]) in sets
            else one
            for one in record.event["sets"]
        ]
        made.events[at] = EvaluationRecord(record.device, event)  # type: ignore[arg-type]
    return build(made.build())


def table(section: Section, caption: str) -> Table:
    return next(one for one in section.tables if one.caption.startswith(caption))


def column(found: Table, name: str) -> list[str]:
    at = [one.name for one in found.columns].index(name)
    return [row[at] for row in found.rows]


def study(samples: int = 60) -> RunBuilder:
    made = RunBuilder(launches=2, labels=[at % 4 for at in range(samples)])
    tried = [("noise", 1), ("noise", 2), ("blur", 1)]
    for variant, margin in {"dense": 3.0, "int8": 2.5}.items():
        made.add_cell(cell(variant))
        made.add_artifact(variant, 1000)
        add_classifier(made, cell(variant), margin=margin, tried=tried)
    made.add_group("g", {cell("dense")["id"]: 2.0, cell("int8")["id"]: 1.0})
    return made


def test_a_set_without_a_value_is_named_with_its_reason() -> None:
    document = spoiled(study(), "int8", ("noise", 2))
    found = robustness.section(document)
    assert f"1 of 6 corrupted sets (int8 in onnxruntime, noise 2): {LOST}." in found.words[1]
    sets = table(found, "Every corrupted set")
    assert column(sets, "note").count(LOST) == 1
    assert column(table(found, "Under corruptions"), "sets") == ["3", "2"]
    assert render.html(document) and render.markdown(document).count(LOST) == 2


def test_a_baseline_that_lacks_a_set_takes_the_drops_away_with_a_reason() -> None:
    found = robustness.section(spoiled(study(), "dense", ("noise", 2)))
    means = table(found, "Under corruptions")
    assert column(means, "note") == [
        "1 of 3 sets have no answers",
        "the baseline has no answers to noise 2",
    ]
    assert "drop from baseline" not in [one.name for one in means.columns]


@pytest.mark.parametrize("variants", [("int8",), ("dense",), ("dense", "int8")])
def test_no_set_at_all_has_a_value(variants: tuple[str, ...]) -> None:
    made = study()
    for variant in variants:
        document = spoiled(made, variant, ("noise", 1), ("noise", 2), ("blur", 1))
    found = robustness.section(document)
    assert LOST in " ".join(found.words)
    assert render.html(document)
    if len(variants) == 1:
        at = ["dense", "int8"].index(variants[0])
        means = table(found, "Under corruptions")
        assert column(means, "note")[at] == "no corrupted set has answers"
        assert column(means, "under corruption")[at] == "–"  # noqa: RUF001


def test_a_clean_set_without_probabilities_is_named_in_the_calibration() -> None:
    made = study()
    event = dict(made.events[1].event)
    event["sets"] = [unscored("clean", "clean", reason=LOST), *made.events[1].event["sets"][1:]]
    made.events[1] = EvaluationRecord("pi5", event)  # type: ignore[arg-type]
    found = calibration.section(build(made.build()))
    assert column(table(found, "On the dataset"), "note") == ["", LOST]


def test_runtimes_that_agree_are_drawn_once() -> None:
    document = build(robust_study(samples=120).build())
    charts = robustness.section(document).charts
    assert ["(onnxruntime, openvino)" in chart.caption for chart in charts] == [True]
    assert len(calibration.section(document).charts) == 1


def test_every_bin_that_is_drawn_is_in_a_table() -> None:
    document = build(robust_study(samples=120).build())
    found = table(calibration.section(document), "Reliability")
    bins = [item for each in document["evaluations"] for item in each["reliability"]]
    assert column(found, "samples") == [str(item["samples"]) for item in bins]


def test_lines_that_cover_each_other_share_their_name() -> None:
    lines = {"a": {0: 1.0, 1: 2.0}, "b": {0: 1.01, 1: 2.0}, "c": {0: 1.0}, "d": {0: 1.0, 1: 2.2}}
    assert covering(lines, 0.02) == {"a": ["a", "b"], "c": ["c"], "d": ["d"]}


def kinds(made: RunBuilder) -> str:
    return "; ".join(f"{of}: {name}" for of, name, _ in used(build(made.build())))


def test_only_intervals_that_are_there_are_explained() -> None:
    assert used(build(RunBuilder().build())) == []
    latency = used(build(realistic(launches=2)))
    assert "exact signed-rank" not in " ".join(name for _, name, _ in latency)
    classes, boxes, areas = kinds(study()), kinds(detectors()), kinds(two_classes())
    assert "top-1 of a corrupted set: Wilson" in classes and "Jeffreys" in classes
    assert "DeLong" not in classes and "bootstrap" not in classes
    assert "mAP@0.5, mAP@0.5 drop: percentile bootstrap" in boxes and "Wilson" not in boxes
    assert "AUC: normal test" in areas and "AUC drop: paired, with DeLong" in areas


def curve(runtime: str, told: str, shares: dict[float, float]) -> dict[str, Any]:
    """A curve whose points are pass (p), inconclusive (i) or fail (f), with their top-1."""
    words = {"p": "pass", "i": "inconclusive", "f": "fail"}
    points = [
        {"variant": f"v{share}", "share": share, "top1": top1, "accuracy": words[letter]}
        | {"p50_ms": 1.0, "file_bytes": 4096, "compressed_bytes": 2048, "peak_rss_mib": 9.0}
        for letter, (share, top1) in zip(told, shares.items(), strict=True)
    ]
    at = {name: [p["share"] for p in points if p["accuracy"] == name] for name in words.values()}
    place = {"device": "pi", "runtime": runtime, "precision": "fp32", "baseline": "dense"}
    return place | {
        "kind": "magnitude",
        "points": points,
        "holds_until": max(at["pass"], default=None),
        "misses_at": min(at["fail"], default=None),
        "undecided_at": at["inconclusive"],
    }


def page(*found: dict[str, Any]) -> Section:
    document = {"targets": ["accuracy_top1_drop <= 0.01"], "recommendations": [], "results": []}
    return curves.section({**document, "curves": found})


SHARES = {0.0: 0.9, 0.3: 0.9, 0.6: 0.8, 0.9: 0.1}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("pppp", "holds up to 90.0% and misses its target nowhere"),
        ("ppff", "holds up to 30.0% and misses its target at 60.0%"),
        ("ppif", "holds up to 30.0% and is not decided at 60.0% and misses its target at 90.0%"),
        ("pfff", "misses its target at 30.0%, the least that was taken away"),
        ("piii", "is not decided at 30.0%, 60.0%, 90.0%"),
        ("ffff", "misses its target at 0.0%"),
    ],
)
def test_up_to_where_accuracy_holds_is_said_in_words(told: str, words: str) -> None:
    assert page(curve("onnxruntime", told, SHARES)).words[-1] == (
        f"magnitude in onnxruntime: accuracy {words}."
    )


def test_runtimes_share_a_sentence_a_line_and_a_region() -> None:
    found = page(curve("onnxruntime", "ppff", SHARES), curve("openvino", "ppff", SHARES))
    assert "magnitude in onnxruntime, openvino: accuracy holds" in found.words[-1]
    [values] = found.charts[0].draw()["datasets"].values()
    assert {(one["kind"], one["holds"]) for one in values} == {("onnxruntime, openvino", 0.3)}
    assert [one["value"] for one in values] == [100 * each for each in SHARES.values()]
    other = page(curve("onnxruntime", "ppff", SHARES), curve("openvino", "pfff", SHARES))
    assert "shaded" in found.charts[0].caption and "shaded" not in other.charts[0].caption


def test_transfer_says_where_a_recipe_pays_off() -> None:
    place = {"device": "pi", "precision": "fp32", "metric": "latency_p50_ratio", "ci": None}
    place |= {"top1_drop": None, "top1_drop_ci": None, "top1_drop_reason": "no labels"}
    found = [
        place | {"network": "a", "runtime": "x", "ratio": 0.5, "finding": "faster", "reason": None},
        place | {"network": "b", "runtime": "x", "ratio": 1.2, "finding": "slower", "reason": None},
        place | {"network": "b", "runtime": "y", "ratio": None, "finding": None, "reason": "lost"},
    ]
    made = transfer.section({"transfer": [{"recipe": "int8", "places": found, "spread": 2.4}]})
    assert made.points == [
        (
            "int8",
            "faster in 1, slower in 1 of 3 places; the ratio runs from 0.500 (a in x) to "
            "1.20 (b in x), 2.40 times as much.",
        )
    ]
    assert column(made.tables[0], "note") == ["no labels", "no labels", "lost; no labels"]
    assert "device" not in [one.name for one in made.tables[0].columns]
