"""A stand-in board: namespaces, a disk of its own, an address of its own, a real sshd."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tests.boards import slots
from tests.boards.board import Board, make_key, tail

# More specific than any default route, less than the board's own link: what it leaves behind.
METRIC = "4096"
INIT = Path(__file__).with_name("board_init.sh")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# _IOR('X', 125, u32) with EXT4_GOING_FLAGS_NOLOGFLUSH: the filesystem stops as if power failed.
POWER_FAILS = (
    "import fcntl,os,sys; fcntl.ioctl(os.open(sys.argv[1], 0), 0x8004587D, b'\\2\\0\\0\\0')"
)
SSHD_CONFIG = """\
ListenAddress 0.0.0.0
HostKey /etc/edgeproof-board/host_key
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UseDNS no
PrintMotd no
StrictModes no
Subsystem sftp internal-sftp
"""


@dataclass
class NamespaceBoard(Board):
    """A board of this machine's own architecture, with its root filesystem under an overlay."""

    slot: Path = field(kw_only=True)
    first: subprocess.Popen[bytes] | None = field(default=None, kw_only=True)

    @property
    def netns(self) -> str:
        return f"epb{self.slot.name}"

    def log(self) -> str:
        return tail(self.slot / "log")

    def boot(self) -> None:
        (self.slot / "boot_id").write_text(f"{uuid.uuid4()}\n")
        spaces = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        entry = ["nsenter", f"--net=/run/netns/{self.netns}"]
        with (self.slot / "log").open("ab") as log:
            self.first = subprocess.Popen(
                [*entry, *spaces, "sh", str(INIT), str(self.slot), self.name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"PATH": PATH},
            )
        (self.slot / "process").write_text(slots.identity(self.first.pid))
        self.link(up=True)
        self.wait_until_listening()

    def power_cut(self) -> None:
        # The cable first: a board without power sends no FIN and no RST.
        self.link(up=False)
        self._enter("--mount", "--", "python3", "-c", POWER_FAILS, str(self.slot / "disk"))
        self._kill()

    def _kill(self) -> None:
        slots.end_processes(self.slot)
        if self.first:
            self.first.wait()
        # The disk is free again only when the last process of the namespace is reaped.
        while self._disk_in_use():
            time.sleep(0.01)

    def _disk_in_use(self) -> bool:
        image = str(self.slot / "disk.img")
        listed = _output("losetup", "--associated", image)
        return bool(listed.strip())

    def link(self, up: bool) -> None:
        _output("ip", "-n", self.netns, "link", "set", "eth0", "up" if up else "down")

    def fill_disk(self) -> None:
        self.shell("cat /dev/zero > /var/filler 2>/dev/null; sync")

    def free_disk(self) -> None:
        self.shell("rm -f /var/filler; sync")

    def shell(self, cmd: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        inside = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd=/"]
        return self._enter(*inside, "--", "/bin/sh", "-c", cmd, check=check)

    def _enter(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        assert self.first is not None
        children = Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children")
        command = ["nsenter", "--target", children.read_text().strip(), *arguments]
        env = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"}
        return subprocess.run(command, capture_output=True, text=True, check=check, env=env)

    def close(self) -> None:
        if self.first and self.first.poll() is None:
            self._kill()
        slots.remove(self.slot)


def make_namespace_board(*, disk_mb: int, python: bool | str) -> NamespaceBoard:
    """Make and boot a board; on failure nothing of it stays."""
    slot = slots.claim()
    try:
        host = _make_network(slot)
        _make_disk(slot, disk_mb)
        _make_python(slot, python)
        for key in ("host_key", "id"):
            make_key(slot / key)
        (slot / "sshd_config").write_text(SSHD_CONFIG)
        board = NamespaceBoard(
            name=f"board-{slot.name}",
            host=host,
            port=22,
            user="bench",
            identity_file=slot / "id",
            known_hosts=slot / "known_hosts",
            ssh_config=slot / "ssh_config",
            slot=slot,
        )
        board.write_client_files(slot / "host_key.pub")
        board.boot()
    except BaseException:
        slots.remove(slot)
        raise
    return board


def _make_network(slot: Path) -> str:
    """Give the board a link and return its address; both ends are on this machine."""
    name = f"epb{slot.name}"
    network = _network(int(slot.name))
    ours, boards = network.hosts()
    (slot / "netns").write_text(name)
    # Without this, a connect to a board that is gone would leave by the default route.
    (slot / "route").write_text(f"unreachable {network} metric {METRIC}")
    _output("ip", "route", "replace", *(slot / "route").read_text().split())
    _output("ip", "netns", "add", name)
    _output("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    _output("ip", "addr", "add", f"{ours}/30", "dev", name)
    _output("ip", "link", "set", name, "up")
    _output("ip", "-n", name, "addr", "add", f"{boards}/30", "dev", "eth0")
    _output("ip", "-n", name, "link", "set", "lo", "up")
    return str(boards)


def _network(number: int) -> ipaddress.IPv4Network:
    """The board's four addresses, in a private range that the machine has no other use for."""
    for second in range(213, 250):
        block = ipaddress.IPv4Network(f"10.{second}.0.0/16")
        if not any(block.overlaps(used) for used in _foreign_routes()):
            return ipaddress.IPv4Network((int(block.network_address) + 4 * number, 30))
    raise RuntimeError("no private network is free for boards")


def _foreign_routes() -> list[ipaddress.IPv4Network]:
    routes = json.loads(_output("ip", "-4", "-json", "route"))
    foreign = (
        ipaddress.IPv4Network(route["dst"])
        for route in routes
        if route["dst"] != "default"
        and not route.get("dev", "").startswith("epb")
        and str(route.get("metric")) != METRIC
    )
    # A route to the whole of 10/8 leads to few of its addresses; ours are more specific.
    return [network for network in foreign if network.prefixlen > 8]


def _make_disk(slot: Path, disk_mb: int) -> None:
    image = slot / "disk.img"
    image.touch()
    os.truncate(image, disk_mb << 20)
    _output("mkfs.ext4", "-q", "-m", "0", str(image))
    (slot / "disk").mkdir()
    (slot / "root").mkdir()


def _make_python(slot: Path, python: bool | str) -> None:
    """Tell the boot script: the machine's python3, none, or this script instead of it."""
    if python is not True:
        (slot / "python3").write_text(python or "")


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
