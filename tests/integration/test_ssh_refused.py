"""Connections that must not come about: each says what, where and what to do next."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from harness.connections import ssh
from harness.errors import DeviceError
from tests.boards import Board
from tests.boards.board import free_port, make_key


def refused(board: Board, **other: object) -> DeviceError:
    """The error of a connection to this board with something changed."""
    asked: dict[str, object] = {
        "host": board.host,
        "user": board.user,
        "port": board.port,
        "identity_file": str(board.identity_file),
        "config_file": board.ssh_config,
        "known_hosts": board.known_hosts,
        "timeout": 5.0,
    }
    connect: Callable[..., ssh.SshConnection] = ssh.connect
    with pytest.raises(DeviceError) as caught:
        connect(**(asked | other))
    return caught.value


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[float]]]:
    """A TCP server on loopback; yields its port and the times at which it was called."""
    calls: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    called, _ = listening.accept()
                except OSError:
                    return
                calls.append(time.monotonic())
                answer(called)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], calls
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_wrong_key_names_the_keys_that_were_tried(shared_board: Board, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    (tmp_path / "broken").write_text("no key")
    (tmp_path / "config").write_text(f"IdentityFile {tmp_path}/broken\nIdentitiesOnly yes\n")
    error = refused(
        shared_board,
        identity_file=str(tmp_path / "other"),
        config_file=tmp_path / "config",
    )
    assert error.where == f"{shared_board.user}@{shared_board.host}:{shared_board.port}"
    assert f"login refused for {shared_board.user}" in error.what
    assert f"{tmp_path}/other SHA256:" in error.what
    assert f"{tmp_path}/broken (not a usable private key" in error.what
    assert error.next_step is not None and "ssh -v " in error.next_step


def test_an_unknown_user(shared_board: Board) -> None:
    assert "login refused for nobody-here" in refused(shared_board, user="nobody-here").what


def test_a_key_with_a_passphrase_says_so(shared_board: Board, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    (tmp_path / "config").write_text("IdentitiesOnly yes\n")
    error = refused(shared_board, identity_file=str(key), config_file=tmp_path / "config")
    assert f"ssh-add {key}" in error.what


def test_an_unknown_host_key_shows_its_fingerprint(shared_board: Board, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    error = refused(shared_board, known_hosts=tmp_path / "empty")
    assert "the host key is unknown: ssh-ed25519 SHA256:" in error.what
    assert error.next_step is not None and "ssh-keyscan" in error.next_step
    assert (tmp_path / "empty").read_text() == ""


def test_a_known_hosts_file_of_other_hosts_does_not_help(
    shared_board: Board, tmp_path: Path
) -> None:
    line = shared_board.known_hosts.read_text().split(maxsplit=1)[1]
    (tmp_path / "others").write_text(f"other.example {line}* # no key\n")
    assert "unknown" in refused(shared_board, known_hosts=tmp_path / "others").what


def test_a_changed_host_key(shared_board: Board, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    place = shared_board.known_hosts.read_text().split()[0]
    public = (tmp_path / "other.pub").read_text()
    (tmp_path / "known").write_text(f"{place} {public}")
    error = refused(shared_board, known_hosts=tmp_path / "known")
    assert "the host key changed" in error.what and "SHA256:" in error.what
    assert (
        error.next_step is not None and "only if it is the same: ssh-keygen -R" in error.next_step
    )


def test_a_revoked_host_key(shared_board: Board, tmp_path: Path) -> None:
    line = shared_board.known_hosts.read_text()
    (tmp_path / "known").write_text(f"{line}@revoked {line}")
    assert "revoked" in refused(shared_board, known_hosts=tmp_path / "known").what


def test_a_port_on_which_nothing_listens(shared_board: Board) -> None:
    port = free_port() if shared_board.host == "127.0.0.1" else 9
    error = refused(shared_board, port=port)
    assert error.what == f"refused: nothing listens on port {port}"


# Too long, and malformed: so that no name server is asked for them.
@pytest.mark.parametrize("name", [".".join(["board"] * 60), "board..lab"])
def test_an_unknown_name(shared_board: Board, name: str) -> None:
    error = refused(shared_board, host=name)
    assert f"the name {name} is unknown" in error.what
    assert error.next_step is not None and "inventory" in error.next_step


def test_a_silent_port(shared_board: Board) -> None:
    held: list[socket.socket] = []
    with server(held.append) as (port, calls):
        error = refused(shared_board, host="127.0.0.1", port=port, timeout=1.0)
        assert "sends no SSH banner within 1 s" in error.what
        assert len(calls) == 1
    for sock in held:
        sock.close()


def test_a_port_that_hangs_up_is_tried_again_but_not_for_ever(
    shared_board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.connections.ssh_open.FIRST_PAUSE_S", 0.02)
    with server(socket.socket.close) as (port, calls):
        error = refused(shared_board, host="127.0.0.1", port=port)
    assert "drops them before its SSH banner (6 attempts)" in error.what
    assert len(calls) == 6
    assert calls[-1] - calls[-2] > calls[1] - calls[0]


def test_a_port_that_speaks_something_else(shared_board: Board) -> None:
    def answer(sock: socket.socket) -> None:
        with sock:
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n" + b"x: y\r\n" * 200)
            sock.settimeout(5)
            # What the client says is unread, so that closing would be a reset before our answer.
            with contextlib.suppress(OSError):
                while sock.recv(1024):
                    pass

    with server(answer) as (port, _):
        error = refused(shared_board, host="127.0.0.1", port=port)
    assert "speaks something other than SSH" in error.what


def test_a_busy_sshd_lets_everyone_in_after_some_tries(board: Board) -> None:
    failures: list[DeviceError] = []

    def log_in() -> None:
        try:
            with closing(board.connect()) as connection:
                connection.run(["true"])
        except DeviceError as error:
            failures.append(error)

    # Past MaxStartups 10:30:100, an sshd drops some of them.
    threads = [threading.Thread(target=log_in) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_board_without_power_is_no_route(board: Board) -> None:
    if board.host == "127.0.0.1":
        pytest.skip("a loopback board has no link of its own")
    board.power_cut()
    started = time.monotonic()
    error = refused(board)
    assert "no route to it" in error.what or "no answer within" in error.what
    assert time.monotonic() - started < 7


def test_a_board_that_is_gone_is_not_looked_for_elsewhere(new_board: Callable[..., Board]) -> None:
    board = new_board()
    board.link(up=False)
    board.shell("ip link del eth0")
    assert "no route to it" in refused(board).what
