"""Distillation: the compressed network learns from what the dense one says of each sample.

Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531).
"""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from harness.errors import InputError


class Teacher:
    """A frozen copy of a network, for use in the epochs of another one.

    It is no module, so a network or trainer that holds it does not train, move or store it.
    """

    def __init__(self, network: nn.Module) -> None:
        # deepcopy refuses weights that masks have made; what is pickled is copied all the same.
        copied = io.BytesIO()
        torch.save(network, copied)
        copied.seek(0)
        self._network: nn.Module = torch.load(copied, weights_only=False)
        self._network.eval().requires_grad_(False)

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """Return what the network gives, without gradients."""
        with torch.no_grad():
            return self._network(*inputs)


def loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    temperature: float = 4.0,
    weight: float = 0.5,
) -> torch.Tensor:
    """Return weight x soft loss + (1 - weight) x cross-entropy with the labels, a scalar.

    `student` and `teacher` are logits [samples, classes, ...], `labels` what
    torch.nn.functional.cross_entropy takes. The soft loss is temperature^2 x the Kullback-Leibler
    divergence of the softened classes, whose gradients are those of the paper's cross-entropy; the
    factor keeps their size the same at every temperature. Raises InputError for other shapes, a
    temperature that is not positive, and a weight outside 0..1.
    """
    if student.shape != teacher.shape or student.ndim < 2:
        shapes = f"{list(student.shape)} and {list(teacher.shape)}"
        raise InputError(f"student and teacher give logits [samples, classes, ...]; here {shapes}")
    if not temperature > 0:
        raise InputError(f"a temperature is positive; it is {temperature:g}")
    if not 0 <= weight <= 1:
        raise InputError(f"the weight of the soft loss is a share from 0 to 1; it is {weight:g}")
    wanted = functional.log_softmax(teacher.detach() / temperature, dim=1)
    found = functional.log_softmax(student / temperature, dim=1)
    apart = functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=1).mean()
    hard = functional.cross_entropy(student, labels)
    return weight * temperature**2 * apart + (1 - weight) * hard
