"""Does taking weights away pay off? ResNet-18 pruned, thinned and quantised, in four runtimes.

Everything goes through edgeproof's own commands, with this machine as the device: `models build`,
`variants build`, `run`. Of the reports come the ratios: a variant's median latency over that of the
dense network in the same runtime and batch, one thread, so below 1 is faster. The verdict on zeros
is the report's, by the densified twin in the same launches (realised, partly, not realised,
slower); on channels and INT8, and on all at batch 8, which has no twins, it is what the comparison
finds (faster, same, slower). A ratio that is null has its reason beside it. The weights are seeded,
not trained: speed does not ask for them.

`harbor` takes a known claim apart: ResNet-18 from 28 to 11 ms by 70% sparsity and INT8, OpenVINO,
on a NUC. The ratio of pruned INT8 to dense is that of its twin, which is INT8 alone, times that to
its twin, which is zeros alone; their logarithms share the gain out. That is told for the machine as
it is, with the instructions of a NUC (ONEDNN_MAX_CPU_ISA; kernels' names prove that it was heeded),
and, on a processor with AMX, with OpenVINO's sparse weights switched on, which need it.

BUDGET=MINUTES of board time for all of it; the building comes on top. KEEP=FOLDER works there, and
leaves models, variants and reports; the next time they are not built again.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import device_profiles
from benchmarks.validity import number

COMMAND = Path(sys.executable).with_name("edgeproof")
MINUTES = 36.0
MODEL = "resnet18"
RUNTIMES = ("onnxruntime", "openvino", "litert", "deepsparse")
INT8 = {"to": "int8"}
DENSE = "dense"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "pruned-70": {"from": DENSE, "prune": {"method": "magnitude", "sparsity": 0.7}},
    "pruned-90": {"from": DENSE, "prune": {"method": "magnitude", "sparsity": 0.9}},
    "channels-40": {"from": DENSE, "prune": {"method": "channels", "sparsity": 0.4}},
    "int8": {"from": DENSE, "quantize": INT8},
    "pruned-70-int8": {"from": "pruned-70", "quantize": INT8},
    "channels-40-int8": {"from": "channels-40", "quantize": INT8},
}
SAMPLES, SIZE = 8, 224
# Forms along each side of an image; the more of a kind there are, the weaker they are.
FORMS = (1, 2, 4, 7, 14, 28)

CLAIM = {"from_ms": 28, "to_ms": 11, "ratio": round(11 / 28, 3)}
CLAIMED, HARBOR = "pruned-70-int8", ("pruned-70", "int8", "pruned-70-int8")
RATIO = "latency_p50_ratio"
ISA = "ONEDNN_MAX_CPU_ISA"
NEWER = re.compile("avx512|amx")  # than AVX2, in the name of a kernel
# The least share of zeros in a matrix from which OpenVINO stores it sparsely.
SPARSE_WEIGHTS = {"CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": 0.5}
FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "amx_bf16")
PROFILE = "sparse-weights"

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One run; `share` is of the board time."""

    name: str
    share: float
    batch: int = 1
    runtimes: tuple[str, ...] = ("openvino",)
    variants: tuple[str, ...] = HARBOR
    twins: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)  # of OpenVINO


# Where dense takes 17 ms, a launch of all takes some 2 minutes at batch 1 and, without twins, 4 at
# batch 8.
MATRIX = (
    Part("batch-1", 0.32, 1, RUNTIMES, tuple(VARIANTS)),
    Part("batch-8", 0.47, 8, RUNTIMES, tuple(VARIANTS), twins=False),
)
NUC = (
    Part("avx2", 0.07, environment={ISA: "AVX2"}),
    Part("avx2-vnni", 0.07, environment={ISA: "AVX2_VNNI"}),
)
AMX = Part("sparse-weights", 0.07, options=SPARSE_WEIGHTS)


@dataclass(frozen=True)
class Lab:
    """A folder with the models, a study for each part, and all that edgeproof leaves."""

    folder: Path

    def build(self) -> None:
        """Write the network, samples like images, and the variants."""
        self.edgeproof("models", "build", MODEL, "-o", str(self.folder))
        np.savez(self.folder / "samples.npz", x=images())
        self.edgeproof("variants", "build", str(self.write("all", study(MATRIX[0]))))

    def run(self, part: Part, seconds: float) -> Row:
        """Measure a part; returns the report."""
        device: Row = {"root": str(self.folder / "root")}
        environment = dict(part.environment)
        if part.options:
            device["profile"] = PROFILE
            environment["PYTHONPATH"] = str(self.profiles(part.options))
        inventory = self.write(f"{part.name}-lab", {"devices": {"local": device}})
        asked = self.write(part.name, study(part))
        arguments = ("--inventory", str(inventory), "--budget", f"{seconds:.0f}", "--json")
        text = self.edgeproof("run", str(asked), *arguments, environment=environment)
        (self.folder / f"{part.name}.json").write_text(text)
        report: Row = json.loads(text)
        return report

    def profiles(self, options: Mapping[str, Any]) -> Path:
        """Copy the device profiles and add one with options of OpenVINO; returns what to import."""
        target = self.folder / "profiles"
        source = Path(str(device_profiles.__file__)).parent
        shutil.copytree(source, target / source.name, dirs_exist_ok=True)
        made: Row = {"kind": PROFILE, "title": "This machine, with OpenVINO's sparse weights"}
        made["runtimes"] = {"openvino": {"options": dict(options)}}
        (target / source.name / f"{PROFILE}.yaml").write_text(yaml.safe_dump(made))
        return target

    def write(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a YAML file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    def edgeproof(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a command that must succeed; its progress is on our standard error."""
        done = subprocess.run(
            [COMMAND, *arguments],
            env={**os.environ, "XDG_DATA_HOME": str(self.folder / "data"), **(environment or {})},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout


def images() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return [sample, row, column, channel] seeded images, large forms the strongest as in photos.

    On noise alone a network of random weights answers nearly the same to all, and INT8 drowns it.
    """
    rng = np.random.default_rng(0)
    made = np.zeros((SAMPLES, SIZE, SIZE, 3))
    for count in FORMS:
        forms = rng.standard_normal((SAMPLES, count, count, 3)) / math.sqrt(count)
        made += forms.repeat(SIZE // count, 1).repeat(SIZE // count, 2)
    return made.astype(np.float32)


def study(part: Part) -> Row:
    """The study of a part. All have one name, and so share the variants that are built."""
    formats = ("onnx", "tflite") if "litert" in part.runtimes else ("onnx",)
    dense = {"model": {form: f"{MODEL}.{form}" for form in formats}}
    return {
        "name": MODEL,
        "baseline": DENSE,
        "variants": {DENSE: dense} | {name: dict(VARIANTS[name]) for name in part.variants},
        "twins": "all" if part.twins else [],
        "calibration": {"file": "samples.npz", "inputs": "x", "samples": SAMPLES},
        "runtimes": list(part.runtimes),
        "batch_sizes": [part.batch],
        "threads": [1],
        "compare": ["variants"],
        "measure": {"effort": "quick"},
    }


def rows(report: Row) -> Iterator[Row]:
    """What is printed of each variant, runtime and batch."""
    compared = ratios(report)
    for result in report["results"]:
        if result["variant"] == report["baseline"]:
            continue
        ratio = compared.get(result["cell"]) or {"ratio": None, "ci": None}
        realised = result["realised"] or {}
        verdict = realised.get("verdict") or ratio.get("finding")
        named = {key: result[key] for key in ("runtime", "variant", "batch")}
        row = {"model": MODEL} | named | told(ratio) | {"verdict": verdict}
        yield row | because(result, ratio, realised)


def because(result: Row, ratio: Row, realised: Row) -> Row:
    """Why a ratio is null or a verdict left open; nothing of one that is neither."""
    if result["status"] != "ok":
        return {"verdict": None, "reason": f"{result['status']}: {result['reason']}"}
    if ratio["ratio"] is None or ratio["ci"] is None:
        return {"reason": ratio.get("reason") or "the report does not compare it"}
    return {"reason": realised["reason"]} if realised.get("reason") else {}


def ratios(report: Row) -> dict[str, Row]:
    """The comparisons with the dense network by cell."""
    wanted = [row for row in report["comparisons"] if row["metric"] == RATIO]
    return {row["candidate_cell"]: row for row in wanted if row["kind"] == "variant"}


def told(compared: Mapping[str, Any]) -> Row:
    """A ratio and its interval as they are printed."""
    ends = compared["ci"] and [round(end, 4) for end in compared["ci"]]
    return {"ratio": compared["ratio"] and round(compared["ratio"], 4), "ci": ends}


def taken_apart(report: Row, part: Part) -> Row:
    """The claim in one run: ratios, those to twins, how the gain is shared out, and kernels."""
    results = {row["variant"]: row for row in report["results"] if row["runtime"] == "openvino"}
    kernels = convolutions(report)
    made: Row = {"run": part.name, "asked": {**part.environment, **part.options}}
    made |= {"kernels": kernels}
    refused = ignored(part.environment.get(ISA), kernels)
    if refused:
        return made | {"to_dense": None, "to_twin": None, "gain": None, "reason": refused}
    compared = ratios(report)
    to_dense = {name: compared.get(results[name]["cell"]) for name in HARBOR}
    to_twin = {name: results[name]["realised"] for name in HARBOR if "pruned" in name}
    return made | {
        "p50_ms": {name: p50_ms(results[name]) for name in (DENSE, *HARBOR)},
        "to_dense": {name: row and told(row) for name, row in to_dense.items()},
        "to_twin": {
            name: row and told(row) | {"verdict": row["verdict"]} for name, row in to_twin.items()
        },
        "gain": shared_out(to_dense[CLAIMED], to_twin[CLAIMED]),
    }


def p50_ms(result: Row) -> float | None:
    """Median latency of this run, of which no claim about another run can be made."""
    found: float | None = result["latency_ms"]["p50"]
    return found and round(found, 3)


def shared_out(whole: Row | None, zeros: Row | None) -> Row:
    """How much of the gain zeros and INT8 have, as shares of the logarithm of the whole ratio.

    The interval is that of the ratio to the twin; the whole is taken as it is.
    """
    ends = (whole or {}).get("ci")
    if not (whole and ends and zeros and zeros["ci"]):
        return {"sparsity": None, "int8": None, "reason": "there is no ratio to share out"}
    if ends[1] >= 1:
        return {"sparsity": None, "int8": None, "reason": "there is no gain to share out"}
    low, middle, high = (
        math.log(value) / math.log(whole["ratio"])
        for value in (zeros["ci"][1], zeros["ratio"], zeros["ci"][0])
    )
    shares = {"sparsity": round(middle, 3), "sparsity_ci": [round(low, 3), round(high, 3)]}
    return {**shares, "int8": round(1 - middle, 3)}


def convolutions(report: Row) -> dict[str, list[str]]:
    """The kernels of OpenVINO's convolutions by variant: nearly all that ResNet-18 computes."""
    return {
        traced["variant"]: sorted(
            {str(one["kernel"]) for one in traced["layers"] if one["operator"] == "Convolution"}
        )
        for traced in report["profiles"]
        if traced["runtime"] == "openvino" and traced["variant"] in (DENSE, *HARBOR)
    }


def ignored(limit: str | None, kernels: Mapping[str, Sequence[str]]) -> str | None:
    """Why a limit on the instruction set did not take effect; null: it did, or there was none."""
    if limit is None:
        return None
    for variant in (DENSE, *HARBOR):
        names = kernels.get(variant, [])
        newer = [name for name in names if NEWER.search(name)]
        if newer:
            return f"{ISA}={limit} was not heeded: {variant} ran {', '.join(newer)}"
        if not any("avx2" in name for name in names):
            return f"no kernel's name tells that {ISA}={limit} was heeded by {variant}"
    return None


def harbor(lab: Lab, minutes: float, as_it_is: Row) -> Row:
    """Measure what the claim needs beside the matrix, and take it apart."""
    flags = as_it_is["devices"][0]["facts"]["cpu_flags"]
    amx = any(flag.startswith("amx") for flag in flags)
    parts = (*NUC, AMX) if amx else NUC
    runs = [taken_apart(as_it_is, Part("as it is", 0.0))]
    runs += [taken_apart(measured(lab, part, minutes), part) for part in parts]
    return {
        "claim": CLAIM,
        "isa": [flag for flag in FLAGS if flag in flags],
        "amx": amx,
        "sparse_weights": AMX.name if amx else "no AMX",
        "runs": runs,
    }


def measured(lab: Lab, part: Part, minutes: float) -> Row:
    """The report of a part, with a line of how long it took."""
    begin = time.monotonic()
    report = lab.run(part, 60 * minutes * part.share)
    counts = [row["launches"] for row in report["results"] if row["status"] == "ok"]
    launches = f"{min(counts, default=0)} to {max(counts, default=0)} launches"
    print(f"{part.name}: {launches}, {time.monotonic() - begin:.0f} s", flush=True)
    return report


def lines(made: Sequence[Row]) -> Iterator[str]:
    """The rows as a table, reasons below."""
    yield f"{'runtime':13}{'variant':18}{'batch':>5}{'ratio':>8}{'95%':>15}  verdict"
    for row in made:
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3f}"
        ends = "-" if row["ci"] is None else f"{row['ci'][0]:.3f}-{row['ci'][1]:.3f}"
        named = f"{row['runtime']:13}{row['variant']:18}{row['batch']:5}"
        yield f"{named}{ratio:>8}{ends:>15}  {row['verdict'] or '-'}"
    for row in made:
        if "reason" in row:
            yield f"  {row['runtime']}, {row['variant']}, batch {row['batch']}: {row['reason']}"


def claim_lines(found: Row) -> Iterator[str]:
    """The claim's parts, a line for each run."""
    claim = found["claim"]
    yield f"the claim: {claim['from_ms']} to {claim['to_ms']} ms, ratio {claim['ratio']}"
    for run in found["runs"]:
        if run["gain"] is None:
            yield f"  {run['run']}: {run['reason']}"
            continue
        ratio = {name: row and row["ratio"] for name, row in run["to_dense"].items()}
        twin = {name: row and row["ratio"] for name, row in run["to_twin"].items()}
        yield f"  {run['run']}: to dense {ratio}; to twin {twin}; gain {run['gain']}"


def main() -> None:
    """Print a line a run, the table, the claim's parts, and one JSON line last."""
    minutes = number(os.environ, "BUDGET", MINUTES)
    keep = os.environ.get("KEEP")
    begin = time.monotonic()
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder).resolve())
        lab.folder.mkdir(parents=True, exist_ok=True)
        lab.build()
        print(f"models and variants: {time.monotonic() - begin:.0f} s", flush=True)
        reports = [measured(lab, part, minutes) for part in MATRIX]
        claim = harbor(lab, minutes, reports[0])
    made = [row for report in reports for row in rows(report)]
    print("\n".join([*lines(made), *claim_lines(claim)]))
    print(json.dumps({"bench": "sparsity", "rows": made, "harbor": claim}))


if __name__ == "__main__":
    main()
