"""Devices for tests: real sshds on stand-in boards, or on loopback where those cannot be."""

from tests.boards.board import Board, NotOnThisBoardError
from tests.boards.kinds import BoardKind, board_kind, make_board

__all__ = ["Board", "BoardKind", "NotOnThisBoardError", "board_kind", "make_board"]
