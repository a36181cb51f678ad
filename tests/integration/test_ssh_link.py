"""Links that break while something is going on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from harness.connections import ssh
from harness.connections.ssh import SshConnection
from harness.errors import ConnectionLostError, EdgeproofError
from tests.boards import Board
from tests.boards.loopback import make_loopback_board

# TCP_USER_TIMEOUT and what a loaded machine adds.
NOTICED_WITHIN_S = 12.0


def in_thread(doing: Callable[[], object]) -> tuple[threading.Thread, list[tuple[object, float]]]:
    """Start something; its result or error and when it came appear in the list."""
    outcome: list[tuple[object, float]] = []

    def call() -> None:
        try:
            result = doing()
        except EdgeproofError as error:
            result = error
        outcome.append((result, time.monotonic()))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread, outcome


def slow_upload(ssh: SshConnection, source: Path) -> Callable[[], None]:
    """Uploads without end, so that one is under way whenever the link breaks."""
    folder = ssh.run(["mktemp", "-d"]).stdout.strip()

    def upload() -> None:
        while True:
            ssh.put(source, f"{folder}/upload")

    return upload


def endless_stream(ssh: SshConnection) -> list[str]:
    with ssh.stream(["sh", "-c", "while echo tick; do sleep 0.1; done"], silence=60) as lines:
        return list(lines)


def test_a_pulled_cable_is_noticed_by_whatever_is_under_way(board: Board, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(random.Random(3).randbytes(20_000_000))
    connections = [board.connect() for _ in range(3)]
    running = [
        in_thread(lambda: connections[0].run(["sleep", "60"])),
        in_thread(lambda: endless_stream(connections[1])),
        in_thread(slow_upload(connections[2], tmp_path / "big")),
    ]
    time.sleep(0.5)
    board.link(up=False)
    pulled = time.monotonic()
    for thread, outcome in running:
        thread.join(NOTICED_WITHIN_S)
        assert outcome, "still waiting"
        result, when = outcome[0]
        assert isinstance(result, ConnectionLostError), result
        assert when - pulled < NOTICED_WITHIN_S
        assert board.host in str(result)
    for connection in connections:
        started = time.monotonic()
        connection.close()
        assert time.monotonic() - started < 3


def test_a_blip_of_three_seconds_goes_unnoticed(board: Board) -> None:
    with closing(board.connect()) as ssh:
        ticks = ["sh", "-c", "for i in $(seq 50); do echo $i; sleep 0.1; done"]

        def follow() -> list[str]:
            with ssh.stream(ticks, silence=20) as lines:
                return list(lines)

        thread, outcome = in_thread(follow)
        time.sleep(0.5)
        board.link(up=False)
        time.sleep(3)
        board.link(up=True)
        thread.join(15)
        assert outcome and outcome[0][0] == [str(number) for number in range(1, 51)]
        assert ssh.run(["echo", "still here"]).stdout == "still here\n"


def test_a_power_cut_and_a_new_boot_is_a_lost_connection(board: Board) -> None:
    with closing(board.connect()) as ssh:
        thread, outcome = in_thread(lambda: ssh.run(["sleep", "60"]))
        time.sleep(0.3)
        board.power_cut()
        board.boot()
        thread.join(NOTICED_WITHIN_S)
        assert outcome and isinstance(outcome[0][0], ConnectionLostError)
        with pytest.raises(ConnectionLostError):
            ssh.run(["true"])
    with closing(board.connect()) as again:
        assert again.run(["true"]).status == 0


@pytest.mark.parametrize("doing", ["run", "stream", "put"])
def test_a_killed_sshd_session(board: Board, tmp_path: Path, doing: str) -> None:
    (tmp_path / "big").write_bytes(random.Random(4).randbytes(20_000_000))
    with closing(board.connect()) as ssh:
        actions: dict[str, Callable[[], object]] = {
            "run": lambda: ssh.run(["sleep", "61.5"]),
            "stream": lambda: endless_stream(ssh),
            "put": slow_upload(ssh, tmp_path / "big"),
        }
        session = ssh.run(["sh", "-c", "echo $PPID"]).stdout.strip()
        thread, outcome = in_thread(actions[doing])
        time.sleep(0.5)
        killed = time.monotonic()
        # The sshd of the session and the privileged one above it, which may follow by itself.
        privileged = board.shell(f"ps -o ppid= -p {session}").stdout.strip()
        board.shell(f"kill -9 {session} {privileged}", check=False)
        thread.join(10)
        assert outcome and isinstance(outcome[0][0], ConnectionLostError), outcome
        assert outcome[0][1] - killed < 5


@pytest.mark.parametrize("doing", ["put", "run"])
def test_what_ends_on_a_broken_link_says_so(shared_board: Board, doing: str) -> None:
    """A channel says goodbye when it ends, and that fails on a link that has just broken."""
    with closing(shared_board.connect()) as ssh:
        opened = ssh._sftp() if doing == "put" else ssh._started(["sleep", "1"], lambda _: None)
        with pytest.raises(ConnectionLostError), opened:
            ssh._transport.packetizer.close()
            raise ConnectionLostError("the connection broke while it was under way")


def test_a_closed_connection_is_a_lost_one(shared_board: Board, tmp_path: Path) -> None:
    ssh = shared_board.connect()
    ssh.close()
    ssh.close()
    (tmp_path / "file").write_text("x")
    for action in (
        lambda: ssh.run(["true"]),
        lambda: ssh.put(tmp_path / "file", "/tmp/file"),
        lambda: ssh.get("/etc/hostname", tmp_path / "hostname"),
    ):
        with pytest.raises(ConnectionLostError):
            action()


def test_a_link_that_breaks_behind_a_hop_is_noticed(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.link(up=True)
    monkeypatch.setattr("harness.connections.ssh_watch.ASK_EVERY_S", 0.3)
    monkeypatch.setattr("harness.connections.ssh_watch.ANSWER_WITHIN_S", 2.0)
    (tmp_path / "big").write_bytes(random.Random(5).randbytes(20_000_000))
    with closing(make_loopback_board()) as hop:
        jump = f"{hop.user}@{hop.host}:{hop.port}"
        (tmp_path / "config").write_text(
            f"Host {board.host}\n  ProxyJump {jump}\n"
            f"Host {hop.host}\n  IdentityFile {hop.identity_file}\n"
            f"  UserKnownHostsFile {hop.known_hosts}\n"
        )
        key, config = str(board.identity_file), tmp_path / "config"
        asked = (board.host, board.user, board.port, key)
        connections = [
            ssh.connect(*asked, config_file=config, known_hosts=board.known_hosts) for _ in range(2)
        ]
        running = [
            in_thread(lambda: connections[0].run(["sleep", "60"])),
            in_thread(slow_upload(connections[1], tmp_path / "big")),
        ]
        time.sleep(0.5)
        board.link(up=False)
        for thread, outcome in running:
            thread.join(NOTICED_WITHIN_S)
            assert outcome and isinstance(outcome[0][0], ConnectionLostError), outcome
        for connection in connections:
            connection.close()


def test_a_hanging_sshd_does_not_hang_us(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.connections.ssh_watch.ASK_EVERY_S", 0.3)
    monkeypatch.setattr("harness.connections.ssh_watch.ANSWER_WITHIN_S", 2.0)
    with closing(board.connect()) as connection:
        session = connection.run(["sh", "-c", "echo $PPID"]).stdout.strip()
        board.shell(f"kill -STOP {session}")
        thread, outcome = in_thread(lambda: connection.run(["true"], timeout=20))
        thread.join(NOTICED_WITHIN_S)
        board.shell(f"kill -KILL {session}", check=False)
        assert outcome and isinstance(outcome[0][0], ConnectionLostError), outcome
