"""What every test device offers, whatever it is made of."""

from __future__ import annotations

import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from harness.connections import ssh

BOOT_TIMEOUT = 20.0


class NotOnThisBoardError(Exception):
    """Asked of a board something that its kind cannot do; the fixtures turn it into a skip."""


@dataclass
class Board(ABC):
    """A device with a real sshd; the paths are files on the host."""

    name: str
    host: str
    port: int
    user: str
    identity_file: Path
    known_hosts: Path
    ssh_config: Path

    def connect(self, timeout: float = 10.0) -> ssh.SshConnection:
        """A connection of the product to this board, with this board's own files only."""
        return ssh.connect(
            self.host,
            self.user,
            self.port,
            str(self.identity_file),
            config_file=self.ssh_config,
            known_hosts=self.known_hosts,
            timeout=timeout,
        )

    def inventory_entry(self) -> dict[str, str | int]:
        """The keys of this board in an inventory file."""
        return {
            "host": self.host,
            "user": self.user,
            "port": self.port,
            "identity_file": str(self.identity_file),
            "known_hosts": str(self.known_hosts),
        }

    def wait_until_listening(self) -> None:
        """Return when sshd answers with its banner."""
        deadline = time.monotonic() + BOOT_TIMEOUT
        while not self._banner():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: no sshd after {BOOT_TIMEOUT:.0f} s: {self.log()}")
            time.sleep(0.02)

    def _banner(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as sock:
                return sock.recv(4) == b"SSH-"
        except OSError:
            return False

    def write_client_files(self, public_host_key: Path) -> None:
        """Write the known_hosts and ssh_config with which a client may reach this board."""
        key_type, key = public_host_key.read_text().split()[:2]
        place = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        self.known_hosts.write_text(f"{place} {key_type} {key}\n")
        self.ssh_config.write_text(
            f"Host {self.name}\n  HostName {self.host}\n  Port {self.port}\n  User {self.user}\n"
            f"  IdentityFile {self.identity_file}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile none\n"
        )

    @abstractmethod
    def log(self) -> str:
        """The end of what sshd and the boot script said."""

    @abstractmethod
    def boot(self) -> None:
        """Start it (again, with the same disk) and wait for sshd."""

    @abstractmethod
    def power_cut(self) -> None:
        """End everything on it at once; what was not fsynced is gone."""

    @abstractmethod
    def link(self, up: bool) -> None:
        """Plug or pull the network cable."""

    @abstractmethod
    def fill_disk(self) -> None:
        """Leave no free byte on its disk."""

    @abstractmethod
    def free_disk(self) -> None:
        """Undo fill_disk."""

    @abstractmethod
    def shell(self, cmd: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root inside the board, past its sshd."""

    @abstractmethod
    def close(self) -> None:
        """Remove it and everything it left on the machine."""


def make_key(path: Path) -> None:
    """Write an ed25519 key pair, path and path.pub."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True)


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def tail(path: Path, characters: int = 2000) -> str:
    """The end of a log file, empty when there is none."""
    return path.read_text(errors="replace")[-characters:] if path.exists() else ""
