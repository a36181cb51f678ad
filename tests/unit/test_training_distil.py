"""Distillation: the loss is the paper's, and the teacher is frozen."""
# ruff: noqa: E402  # what needs torch is imported once that is known to be there

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the extra `author` (torch) is not installed")

from harness.errors import InputError
from harness.training import distil, masks
from harness.variants.network import Array
from tests.unit.coupled_nets import coupled, images

torch.set_num_threads(1)

RANDOM = np.random.default_rng(5)


def softened(logits: Array, temperature: float) -> Array:
    raised = np.exp(logits / temperature - (logits / temperature).max(axis=1, keepdims=True))
    shares: Array = raised / raised.sum(axis=1, keepdims=True)
    return shares


@given(
    temperature=st.floats(0.5, 20),
    weight=st.floats(0, 1),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_it_is_the_weighted_sum_of_both_losses(
    temperature: float, weight: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    student, teacher = random.normal(0, 3, (2, 7, 5))
    labels = random.integers(0, 5, 7)
    wanted, found = softened(teacher, temperature), softened(student, temperature)
    soft = temperature**2 * np.mean(np.sum(wanted * np.log(wanted / found), axis=1))
    hard = -np.mean(np.log(softened(student, 1)[np.arange(7), labels]))
    expected = weight * soft + (1 - weight) * hard
    given = (torch.from_numpy(array) for array in (student, teacher, labels))
    assert float(distil.loss(*given, temperature, weight)) == pytest.approx(expected, rel=1e-9)


def test_gradients_of_a_high_temperature_match_the_logits() -> None:
    """Equation 4 of the paper, times temperature^2: (student - teacher) / classes."""
    student, teacher = (torch.from_numpy(RANDOM.normal(size=(1, 6))) for _ in range(2))
    student, teacher = student - student.mean(), teacher - teacher.mean()
    student.requires_grad_()
    distil.loss(student, teacher, torch.tensor([2]), temperature=1e4, weight=1).backward()
    assert student.grad is not None
    assert torch.allclose(student.grad, (student - teacher).detach() / 6, atol=1e-3)


def test_a_student_that_agrees_has_nothing_to_learn() -> None:
    logits = torch.from_numpy(RANDOM.normal(size=(4, 3))).requires_grad_()
    found = distil.loss(logits, logits.detach(), torch.tensor([0, 1, 2, 0]), weight=1)
    found.backward()
    assert logits.grad is not None
    assert found.item() == pytest.approx(0, abs=1e-12)
    assert torch.allclose(logits.grad, torch.zeros(()).double(), atol=1e-12)


def test_each_place_of_a_map_of_classes_counts_like_a_sample() -> None:
    student, teacher = (torch.from_numpy(RANDOM.normal(size=(2, 3, 4, 5))) for _ in range(2))
    labels = torch.from_numpy(RANDOM.integers(0, 3, (2, 4, 5)))
    flat = [one.movedim(1, -1).reshape(-1, 3) for one in (student, teacher)]
    assert torch.allclose(
        distil.loss(student, teacher, labels), distil.loss(*flat, labels.flatten())
    )


@pytest.mark.parametrize(
    ("shape", "temperature", "weight", "said"),
    [
        ((4, 3), 4.0, 0.5, "logits"),
        ((4, 5), 0.0, 0.5, "temperature is positive"),
        ((4, 5), float("nan"), 0.5, "temperature is positive"),
        ((4, 5), 4.0, 1.5, "share from 0 to 1"),
    ],
)
def test_what_means_nothing_is_refused(
    shape: tuple[int, int], temperature: float, weight: float, said: str
) -> None:
    labels = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(InputError, match=said):
        distil.loss(torch.zeros(4, 5), torch.zeros(shape), labels, temperature, weight)


def test_a_teacher_is_a_frozen_copy() -> None:
    network, x = coupled(), images(4, seed=2)
    expected = network(x).detach()
    teacher = distil.Teacher(network.train())
    network(x)  # moves the statistics of its batch norms
    with torch.no_grad():
        network.head.weight.zero_()
    for _ in range(2):
        found = teacher(x)
        assert torch.equal(found, expected)
        assert not found.requires_grad


def test_a_pruned_network_can_teach() -> None:
    network, x = coupled(), images(4, seed=2)
    masks.apply(network, masks.magnitude(network, 0.5))
    expected = network(x)  # leaves weights behind that torch refuses to deepcopy
    assert torch.equal(distil.Teacher(network)(x), expected.detach())
