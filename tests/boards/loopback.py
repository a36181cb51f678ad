"""A real sshd on a port of loopback, where a machine cannot make a stand-in board."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.boards import slots
from tests.boards.board import Board, NotOnThisBoardError, free_port, make_key, tail

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SSHD_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {slot}/host_key
AuthorizedKeysFile {slot}/id.pub
AllowUsers {user}
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
StrictModes no
Subsystem sftp internal-sftp
"""


@dataclass
class LoopbackBoard(Board):
    """An sshd of this machine: it shares the disk and cannot lose its link."""

    slot: Path = field(kw_only=True)
    sshd: subprocess.Popen[bytes] | None = field(default=None, kw_only=True)

    def log(self) -> str:
        return tail(self.slot / "log")

    def boot(self) -> None:
        assert SSHD is not None
        with (self.slot / "log").open("ab") as log:
            self.sshd = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.slot / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.slot / "process").write_text(slots.identity(self.sshd.pid))
        self.wait_until_listening()

    def power_cut(self) -> None:
        slots.end_processes(self.slot)
        if self.sshd:
            self.sshd.wait()

    def link(self, up: bool) -> None:
        raise NotOnThisBoardError("a loopback board has no link of its own")

    def fill_disk(self) -> None:
        raise NotOnThisBoardError("a loopback board has no disk of its own")

    def free_disk(self) -> None:
        raise NotOnThisBoardError("a loopback board has no disk of its own")

    def shell(self, cmd: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", cmd], capture_output=True, text=True, check=check)

    def close(self) -> None:
        self.power_cut()
        slots.remove(self.slot)


def make_loopback_board(*, python: bool | str = True) -> LoopbackBoard:
    """Start an sshd on loopback; on failure nothing of it stays."""
    if python is not True:
        raise NotOnThisBoardError("a loopback board has the machine's own python3")
    slot = slots.claim()
    try:
        for key in ("host_key", "id"):
            make_key(slot / key)
        board = LoopbackBoard(
            name=f"loopback-{slot.name}",
            host="127.0.0.1",
            port=free_port(),
            user=_user(slot),
            identity_file=slot / "id",
            known_hosts=slot / "known_hosts",
            ssh_config=slot / "ssh_config",
            slot=slot,
        )
        config = SSHD_CONFIG.format(slot=slot, port=board.port, user=board.user)
        (slot / "sshd_config").write_text(config)
        board.write_client_files(slot / "host_key.pub")
        board.boot()
    except BaseException:
        slots.remove(slot)
        raise
    return board


def _user(slot: Path) -> str:
    """An ordinary user of the board's own where root may add one, else whoever runs the tests."""
    if os.getuid() != 0:
        return getpass.getuser()
    # sshd wants this folder; where it comes from a service manager, it may be missing.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    name, home = f"epb{slot.name}", slot / "home"
    add = ["useradd", "--no-create-home", "--home-dir", str(home), "--password", "*", name]
    if subprocess.run(add, capture_output=True).returncode != 0:
        return getpass.getuser()
    (slot / "user").write_text(name)
    home.mkdir(mode=0o700)
    account = pwd.getpwnam(name)
    os.chown(home, account.pw_uid, account.pw_gid)
    return name
