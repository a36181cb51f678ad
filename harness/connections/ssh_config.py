"""~/.ssh/config -> how to reach a host: address, user, keys, known_hosts, hops before it."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko

from harness.connections.known_hosts import host_name
from harness.errors import InputError

SYSTEM_FOLDER = Path("/etc/ssh")
MAX_DEPTH = 16


@dataclass(frozen=True)
class Target:
    """One SSH server, with all that the configuration says of it."""

    host: str
    user: str
    port: int
    identity_files: tuple[Path, ...]
    use_agent: bool
    known_hosts: tuple[Path, ...]
    # The name under which its key is known, where that is not its address.
    alias: str | None
    timeout: float
    jumps: tuple[str, ...]
    proxy_command: str | None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"

    @property
    def ssh(self) -> str:
        """The command that makes the same connection by hand."""
        jumps = f"-J {','.join(self.jumps)} " if self.jumps else ""
        return f"ssh {jumps}-p {self.port} {self.user}@{self.host}"

    @property
    def ssh_verbose(self) -> str:
        return self.ssh.replace("ssh ", "ssh -v ", 1)

    @property
    def known_as(self) -> str:
        """Its name in known_hosts files."""
        return self.alias or host_name(self.host, self.port)

    def as_hop(self, before: tuple[str, ...], known_hosts: Path | None) -> Target:
        """The same server on the way to another one, after the hops before it."""
        files = (known_hosts, *self.known_hosts) if known_hosts else self.known_hosts
        return replace(self, jumps=before or self.jumps, known_hosts=files)


def read_config(config_file: Path | None) -> paramiko.SSHConfig:
    """The given file alone, or the user's and the system's as ssh reads them."""
    if config_file is not None and not config_file.is_file():
        raise InputError("no such ssh configuration", where=str(config_file))
    files = [config_file] if config_file else [_folder() / "config", SYSTEM_FOLDER / "ssh_config"]
    text = "\n".join("\n".join(_expanded(file, 0)) + "\nHost *" for file in files if file.is_file())
    try:
        return paramiko.SSHConfig.from_text(text)
    except paramiko.ConfigParseError as error:
        raise InputError(str(error), where=str(files[0])) from error


def _folder() -> Path:
    return Path.home() / ".ssh"


def _expanded(file: Path, depth: int) -> Iterator[str]:
    """The lines of a file with what it includes, which paramiko would pass over in silence."""
    if depth > MAX_DEPTH:
        raise InputError("Include goes round in a circle", where=str(file))
    section = "Host *"
    for line in file.read_text(errors="replace").splitlines():
        words = line.replace("=", " ", 1).split(maxsplit=1)
        keyword = words[0].lower() if words else ""
        if keyword == "include" and len(words) == 2:
            for included in _included(words[1], file):
                yield from _expanded(included, depth + 1)
            # What follows belongs to the section of this file, not to the last of the other.
            yield section
            continue
        if keyword in ("host", "match"):
            section = line
        yield line


def _included(patterns: str, file: Path) -> Iterator[Path]:
    base = SYSTEM_FOLDER if file.parent == SYSTEM_FOLDER else _folder()
    for pattern in shlex.split(patterns):
        path = Path(pattern).expanduser()
        root = Path(path.anchor) if path.is_absolute() else base
        relative = path.relative_to(root) if path.is_absolute() else path
        yield from sorted(found for found in root.glob(str(relative)) if found.is_file())


def resolve(
    config: paramiko.SSHConfig,
    host: str,
    user: str | None = None,
    port: int | None = None,
    identity_file: str | None = None,
    *,
    known_hosts: Path | None = None,
    timeout: float,
) -> Target:
    """What is asked for explicitly, else what the configuration says, else ssh's default."""
    try:
        said = config.lookup(host)
    except ImportError as error:
        raise InputError(
            "`Match exec` in the ssh configuration needs the package invoke",
            where=host,
            next_step="uv pip install invoke",
        ) from error
    return Target(
        host=said["hostname"],
        user=user or said.get("user") or getpass.getuser(),
        port=port or _port(said),
        identity_files=_identities(said, identity_file),
        use_agent=said.get("identitiesonly", "no").lower() != "yes",
        known_hosts=(known_hosts.expanduser(),) if known_hosts else _known_hosts(said),
        alias=said.get("hostkeyalias"),
        timeout=float(said.get("connecttimeout") or timeout),
        jumps=_jumps(said.get("proxyjump")),
        proxy_command=said.get("proxycommand"),
    )


def _port(said: paramiko.SSHConfigDict) -> int:
    try:
        return int(said.get("port") or 22)
    except ValueError as error:
        raise InputError(f"Port {said['port']} is no number", where=said["hostname"]) from error


def _identities(said: paramiko.SSHConfigDict, explicit: str | None) -> tuple[Path, ...]:
    """The keys to try, in ssh's order; its default keys only where nothing else is named."""
    named = [explicit] if explicit else []
    named += said.get("identityfile") or []
    if not named:
        named = [str(_folder() / f"id_{kind}") for kind in ("rsa", "ecdsa", "ed25519")]
    return tuple(Path(name).expanduser() for name in dict.fromkeys(named))


def _known_hosts(said: paramiko.SSHConfigDict) -> tuple[Path, ...]:
    users = said.get("userknownhostsfile") or "~/.ssh/known_hosts ~/.ssh/known_hosts2"
    system = said.get("globalknownhostsfile") or (
        f"{SYSTEM_FOLDER}/ssh_known_hosts {SYSTEM_FOLDER}/ssh_known_hosts2"
    )
    named = [*shlex.split(users), *shlex.split(system)]
    return tuple(Path(name).expanduser() for name in named if name.lower() != "none")


def _jumps(value: str | None) -> tuple[str, ...]:
    if value is None or value.lower() == "none":
        return ()
    return tuple(jump.strip() for jump in value.split(","))


def parse_jump(jump: str) -> tuple[str, str | None, int | None]:
    """[ssh://][user@]host[:port] -> host, user, port; an IPv6 address stands in brackets."""
    found = re.fullmatch(
        r"(?:ssh://)?(?:(?P<user>.+)@)?(?:\[(?P<v6>[^]]+)\]|(?P<host>[^:@]+))(?::(?P<port>\d+))?/?",
        jump,
    )
    if found is None:
        raise InputError(f"ProxyJump {jump} is not [user@]host[:port]")
    port = found["port"]
    return found["v6"] or found["host"], found["user"], int(port) if port else None
