"""What a user reads of an error."""

from __future__ import annotations

import pytest

from harness import errors


def test_an_error_reads_where_what_and_the_next_command() -> None:
    error = errors.DeviceError("is off", where="pi5", next_step="ping pi5")
    assert str(error) == "pi5: is off\n  next: ping pi5"


def test_an_error_with_nothing_but_a_sentence() -> None:
    assert str(errors.EdgeproofError("went wrong")) == "went wrong"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InputError, 2),
        (errors.StoreError, 2),
        (errors.DeviceError, 4),
        (errors.ConnectionLostError, 4),
        (errors.ProvisionError, 4),
    ],
)
def test_exit_codes(kind: type[errors.EdgeproofError], code: int) -> None:
    assert kind("x").exit_code == code
