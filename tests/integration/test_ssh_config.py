"""~/.ssh/config over real sshds: names, Include, keys, the agent, hops and proxy commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.connections import ssh
from harness.errors import DeviceError
from tests.boards import Board, make_board
from tests.boards.loopback import make_loopback_board


@pytest.fixture(scope="module")
def jump() -> Iterator[Board]:
    """A second sshd, on loopback; it may be on the way to the board."""
    with closing(make_loopback_board()) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, with no agent."""
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def host_block(name: str, board: Board, extra: str = "") -> str:
    return (
        f"Host {name}\n  HostName {board.host}\n  Port {board.port}\n  User {board.user}\n"
        f"  IdentityFile {board.identity_file}\n{extra}"
    )


def known(*boards: Board) -> str:
    return "".join(board.known_hosts.read_text() for board in boards)


def test_a_name_in_the_users_config(home: Path, shared_board: Board) -> None:
    (home / ".ssh/config").write_text("Include extra.conf\nHost *\n  ConnectTimeout 5\n")
    (home / ".ssh/extra.conf").write_text(host_block("lab-*", shared_board))
    (home / ".ssh/known_hosts").write_text(known(shared_board))
    with closing(ssh.connect("lab-7", None, None, None)) as connection:
        assert connection.run(["id", "-un"]).stdout.strip() == shared_board.user
        assert str(connection).endswith(f"@{shared_board.host}:{shared_board.port}")


def test_explicit_arguments_win_over_the_config(home: Path, shared_board: Board) -> None:
    (home / ".ssh/config").write_text("Host *\n  User wrong\n  Port 1\n  IdentityFile /wrong\n")
    (home / ".ssh/known_hosts").write_text(known(shared_board))
    explicit = (shared_board.user, shared_board.port, str(shared_board.identity_file))
    with closing(ssh.connect(shared_board.host, *explicit)) as connection:
        assert connection.run(["true"]).status == 0


def test_a_default_key_and_hashed_known_hosts(home: Path, shared_board: Board) -> None:
    (home / ".ssh/id_ed25519").write_bytes(shared_board.identity_file.read_bytes())
    (home / ".ssh/id_ed25519").chmod(0o600)
    hosts = home / ".ssh/known_hosts"
    hosts.write_text(known(shared_board))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", hosts], check=True, capture_output=True)
    assert shared_board.host not in hosts.read_text()
    asked = (shared_board.host, shared_board.user, shared_board.port, None)
    with closing(ssh.connect(*asked)) as connection:
        assert connection.run(["true"]).status == 0


def test_a_lax_config_does_not_make_an_unknown_key_good(home: Path, shared_board: Board) -> None:
    lax = "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
    (home / ".ssh/config").write_text(host_block("lab", shared_board, lax))
    with pytest.raises(DeviceError, match="the host key is unknown"):
        ssh.connect("lab", None, None, None)


def test_a_key_in_the_agent(
    home: Path, shared_board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock = home / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL)
    try:
        while not sock.exists():
            assert agent.poll() is None
        env = {**os.environ, "SSH_AUTH_SOCK": str(sock)}
        subprocess.run(
            ["ssh-add", "-q", shared_board.identity_file], env=env, check=True, capture_output=True
        )
        monkeypatch.setenv("SSH_AUTH_SOCK", str(sock))
        (home / ".ssh/known_hosts").write_text(known(shared_board))
        asked = (shared_board.host, shared_board.user, shared_board.port, None)
        with closing(ssh.connect(*asked)) as connection:
            assert connection.run(["true"]).status == 0
    finally:
        agent.terminate()
        agent.wait()


def test_two_hops_to_a_server_that_only_the_last_can_see(
    home: Path, shared_board: Board, jump: Board, tmp_path: Path
) -> None:
    inner = host_block("inner", shared_board, "  ProxyJump first,second\n  HostKeyAlias inner\n")
    inner = inner.replace(f"HostName {shared_board.host}", "HostName 127.0.0.1")
    config = host_block("first", jump) + host_block("second", shared_board) + inner
    (home / ".ssh/config").write_text(config)
    key = known(shared_board).split(maxsplit=1)[1]
    (home / ".ssh/known_hosts").write_text(known(shared_board, jump) + f"inner {key}")
    with closing(ssh.connect("inner", None, None, None)) as connection:
        seen = connection.run(["sh", "-c", "echo $SSH_CONNECTION; hostname"]).stdout
        assert seen.split()[0] == "127.0.0.1"
        here = ["uname", "-n"] if shared_board.host == "127.0.0.1" else ["echo", shared_board.name]
        assert seen.split()[-1] == subprocess.check_output(here, text=True).strip()
        (tmp_path / "file").write_bytes(os.urandom(3_000_000))
        there = connection.run(["mktemp"]).stdout.strip()
        connection.put(tmp_path / "file", there)
        connection.get(there, tmp_path / "back")
        connection.run(["rm", there])
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_a_hop_that_cannot_connect_on(home: Path, shared_board: Board, jump: Board) -> None:
    config = host_block("first", jump) + host_block("lab", shared_board, "  ProxyJump first\n")
    (home / ".ssh/config").write_text(config)
    (home / ".ssh/known_hosts").write_text(known(shared_board, jump))
    with pytest.raises(DeviceError, match=f"jump host {jump.user}@.* cannot connect on") as caught:
        ssh.connect("lab", None, 1, None)
    assert caught.value.where == f"{shared_board.user}@{shared_board.host}:1"


def test_a_hop_must_be_known_too(home: Path, shared_board: Board, jump: Board) -> None:
    config = host_block("first", jump) + host_block("lab", shared_board, "  ProxyJump first\n")
    (home / ".ssh/config").write_text(config)
    (home / ".ssh/known_hosts").write_text(known(shared_board))
    with pytest.raises(DeviceError, match="the host key is unknown") as caught:
        ssh.connect("lab", None, None, None)
    assert caught.value.where == f"{jump.user}@{jump.host}:{jump.port}"


def test_hops_in_a_circle(home: Path) -> None:
    (home / ".ssh/config").write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(DeviceError, match="circle"):
        ssh.connect("a", None, None, None)


PROXY = """
import os, socket, sys, threading
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def down():
    while data := sock.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=down, daemon=True).start()
while data := os.read(0, 65536):
    sock.sendall(data)
"""


def test_a_proxy_command(home: Path, shared_board: Board) -> None:
    (home / "proxy.py").write_text(PROXY)
    command = f"  ProxyCommand python3 {home}/proxy.py %h %p\n"
    (home / ".ssh/config").write_text(host_block("lab", shared_board, command))
    (home / ".ssh/known_hosts").write_text(known(shared_board))
    with closing(ssh.connect("lab", None, None, None)) as connection:
        assert len(connection.run(["head", "-c", "3000000", "/dev/zero"]).stdout) == 3_000_000


def test_a_proxy_command_that_fails(
    home: Path, shared_board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.connections.ssh_open.FIRST_PAUSE_S", 0.01)
    failing = "  ProxyCommand false\n"
    (home / ".ssh/config").write_text(host_block("lab", shared_board, failing))
    with pytest.raises(DeviceError, match="before its SSH banner"):
        ssh.connect("lab", None, None, None)


def test_boards_of_one_process_do_not_meet(shared_board: Board) -> None:
    with closing(make_board()) as other:
        assert (other.host, other.port) != (shared_board.host, shared_board.port)
        assert other.name != shared_board.name
