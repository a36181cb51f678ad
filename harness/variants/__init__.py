"""How variants are made: a dense model file in, pruned and quantised ones out."""

import sys

# OpenVINO and NNCF report each import to Google Analytics; without this package they do not.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
