"""Devices as fixtures: `board`, `shared_board` and the factory `new_board`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing

import pytest

from reports import faults
from tests.boards import Board, NotOnThisBoardError, make_board


@pytest.fixture(autouse=True, scope="session")
def _faults_raise() -> None:
    """A section that raises fails the test, however well the page tells of it."""
    faults.raising = True


@pytest.fixture
def faults_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults are told to the reader, as they are outside tests."""
    monkeypatch.setattr(faults, "raising", False)


@pytest.fixture
def new_board() -> Iterator[Callable[..., Board]]:
    """A factory of boards, new_board(disk_mb=256, python=True), removed when the test ends."""
    with ExitStack() as boards:

        def make(*, disk_mb: int = 256, python: bool | str = True) -> Board:
            return boards.enter_context(closing(make_board(disk_mb=disk_mb, python=python)))

        yield make


@pytest.fixture
def board(new_board: Callable[..., Board]) -> Board:
    """A fresh board for this test alone."""
    return new_board()


@pytest.fixture(scope="session")
def shared_board() -> Iterator[Board]:
    """One board for all tests that leave no trace on it."""
    with closing(make_board()) as made:
        yield made


def _skipping() -> Generator[None, object, object]:
    """Skip, with the reason, what asks of a board more than this machine's kind can do."""
    try:
        return (yield)
    except NotOnThisBoardError as lacking:
        pytest.skip(str(lacking))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    return (yield from _skipping())
