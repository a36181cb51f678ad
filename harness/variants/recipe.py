"""How a study says that a variant is to be made: `from:`, `prune:`, `quantize:`, `formats:`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from harness.documents import Model, refused
from harness.fields import Text

Share = Annotated[float, Field(strict=True)]
Format = Literal["onnx", "tflite", "openvino"]

CALIBRATED = ("wanda", "sparsegpt")
# Kinds of layers that `leave:` may name beside layers; "first" and "last" by position.
LEAVABLE = ("first", "last", "embedding", "depthwise", "convolution", "linear")
LEFT_BY_DEFAULT = ("first", "last", "embedding")


def _pattern(text: str) -> str:
    found = re.fullmatch(r"(\d+)([:x])(\d+)", text)
    if text == "unstructured":
        return text
    if not found:
        raise refused(
            f"'{text}' is no pattern", "write unstructured, '2:4' (two of four stay) or '4x1'"
        )
    first, kind, second = int(found[1]), found[2], int(found[3])
    if kind == ":" and not 0 < first < second <= 64:
        raise refused(f"'{text}' must leave fewer weights than there are, of 64 at most")
    if kind == "x" and not (0 < first <= 64 and 0 < second <= 64 and first * second > 1):
        raise refused(f"'{text}' is no block of 2 to 64 x 64 weights")
    return text


class Calibration(Model):
    """Samples for calibration: an .npz file and the keys in it. Labels are never read."""

    file: Text
    inputs: Text | dict[Text, Text]
    samples: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 100

    @property
    def keys(self) -> dict[str, str]:
        """Return model input -> key; the input "" stands for the only one."""
        return {"": self.inputs} if isinstance(self.inputs, str) else dict(self.inputs)


class Prune(Model):
    """Which weights, channels or heads are taken away.

    magnitude, wanda, sparsegpt and mask set weights to zero; channels and heads remove them with
    everything that depends on them. The sparsity of the first is the share of zeros among the
    weights of the layers that are not left; of the others, the share of channels or heads removed.
    """

    method: Literal["magnitude", "wanda", "sparsegpt", "mask", "channels", "heads"]
    sparsity: Share | None = None
    scope: Literal["local", "global"] | None = None
    pattern: Annotated[str, StringConstraints(strict=True), AfterValidator(_pattern)] = (
        "unstructured"
    )
    # channels and heads: the norm of their weights, or their mean activation over the calibration
    criterion: Literal["l1", "l2", "activation"] = "l1"
    # Layers that stay as they are, by name or kind; null: what is usual for the method (`left`).
    leave: tuple[Text, ...] | None = None
    # Adjust what remains, layer by layer, so that it computes what the dense layers did.
    calibrate: Annotated[bool, Field(strict=True)] = False
    calibration: Calibration | None = None
    mask: Text | None = None  # of method mask: the .mask.npz of another variant
    # How weights are stored: sparse is TFLite's sparse tensors, which LiteRT's sparse kernels need.
    store: Literal["dense", "sparse"] = "dense"

    @property
    def n_of_m(self) -> tuple[int, int] | None:
        """Return (n, m) of a pattern n:m: n of m consecutive inputs stay."""
        n, colon, m = self.pattern.partition(":")
        return (int(n), int(m)) if colon else None

    @property
    def share(self) -> float | None:
        """Return the share that is taken away; null: a mask decides."""
        return 1 - self.n_of_m[0] / self.n_of_m[1] if self.n_of_m else self.sparsity

    @property
    def block(self) -> tuple[int, int] | None:
        """Return (outputs, inputs) of the blocks that stay or go as one."""
        rows, by, columns = self.pattern.partition("x")
        return (int(rows), int(columns)) if by else None

    @property
    def scoped(self) -> Literal["local", "global"]:
        """Return whether weights compete within their layer or with the whole network's."""
        whole = self.method == "magnitude" and not self.n_of_m
        return self.scope or ("global" if whole else "local")

    @property
    def left(self) -> tuple[str, ...]:
        """Return the layers that stay as they are, by name or kind.

        Zeroing leaves the first and last layer and embeddings: they are small and matter most.
        Removing channels leaves nothing of itself: what may not change is fixed by the graph.
        """
        if self.leave is not None:
            return self.leave
        return () if self.structured else LEFT_BY_DEFAULT

    @property
    def structured(self) -> bool:
        """Return whether whole channels or heads go, which makes the graph smaller."""
        return self.method in ("channels", "heads")

    @property
    def needs_samples(self) -> bool:
        """Return whether it cannot be done without calibration samples."""
        return self.calibrate or self.method in CALIBRATED or self.criterion == "activation"

    @model_validator(mode="after")
    def _sensible(self) -> Prune:
        if self.structured and self.store == "sparse":
            raise refused(f"method {self.method} leaves no zeros that could be stored sparsely")
        if self.method == "mask":
            if self.mask is None or self.sparsity is not None:
                raise refused("method mask takes `mask: FILE` and no sparsity: the mask decides")
            self._check_mask_decides()
            return self
        if self.mask is not None:
            raise refused(f"method {self.method} takes no mask", "write method: mask")
        self._check_sparsity()
        if self.structured and self.pattern != "unstructured":
            raise refused(f"method {self.method} takes no pattern: it removes whole ones")
        if not self.structured and self.criterion != "l1":
            raise refused(f"method {self.method} takes no criterion", "leave `criterion:` out")
        if self.method in CALIBRATED and self.scope == "global":
            raise refused(f"{self.method} scores weights within a layer, so scope must be local")
        if self.n_of_m and self.scope == "global":
            raise refused(
                f"pattern {self.pattern} is the same in every layer", "write scope: local"
            )
        return self

    def _check_mask_decides(self) -> None:
        for key in ("pattern", "scope", "criterion"):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise refused(f"method mask takes no {key}: the mask decides")

    def _check_sparsity(self) -> None:
        if self.n_of_m:
            n, m = self.n_of_m
            if self.sparsity is not None and abs(self.sparsity - (1 - n / m)) > 1e-9:
                raise refused(
                    f"pattern {self.pattern} means sparsity {1 - n / m:g}, not {self.sparsity:g}"
                )
        elif self.sparsity is None:
            raise refused("give `sparsity:`, a share from 0 to 1")
        elif not 0 < self.sparsity < 1:
            hint = f"write {self.sparsity / 100:g}" if 1 < self.sparsity < 100 else None
            raise refused(f"sparsity is a share between 0 and 1; it is {self.sparsity:g}", hint)


class Quantize(Model):
    """The numbers that weights (fp16) or weights and activations (int8) are stored in."""

    to: Literal["int8", "fp16"]
    leave: tuple[Text, ...] = ()  # layers by name that stay as they are
    calibration: Calibration | None = None
