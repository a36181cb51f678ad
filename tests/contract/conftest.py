"""A workshop for all contract tests: runtimes are unpacked once."""

from __future__ import annotations

import pytest

from tests.contract.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """This machine as a device, under this Python."""
    return Workshop(tmp_path_factory.mktemp("workshop") / "root")
