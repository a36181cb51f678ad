"""A workshop for all contract tests: runtimes are unpacked once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.contract.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """This machine as a device, under this Python."""
    with closing(Workshop(tmp_path_factory.mktemp("workshop") / "root")) as made:
        yield made
