"""From a target to an authenticated SSH transport, through its hops; every refusal in words."""

from __future__ import annotations

import errno
import logging
import random
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import paramiko

from harness.connections.known_hosts import KnownKeys, known_keys
from harness.connections.ssh_auth import authenticate
from harness.connections.ssh_config import Target, parse_jump, resolve
from harness.connections.ssh_hostkey import check_host_key
from harness.connections.ssh_watch import watch
from harness.errors import DeviceError

# paramiko reports through logging what is raised as well; unheard, that would go to stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# 6-24% faster than paramiko's own first choice, aes128-ctr.
FAST_CIPHER = "aes128-gcm@openssh.com"
# A broken link is noticed after this long, idle or sending, and a blip shorter than it survives.
LOST_AFTER_S = 5
KEEPALIVE = (("TCP_KEEPIDLE", 2), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3))
# An sshd drops connections at random while more than MaxStartups are coming in.
ATTEMPTS = 6
FIRST_PAUSE_S = 0.25
# Slow boards take seconds to make keys and to fork a login, after they have sent a banner.
HANDSHAKE_S = 30.0
MAX_HOPS = 8


@dataclass
class Opened:
    """A transport and everything below it that must be closed with it."""

    transport: paramiko.Transport
    resources: ExitStack

    def close(self) -> None:
        self.resources.close()


@dataclass(frozen=True)
class Dialer:
    """Opens transports with one ssh configuration; known_hosts is trusted beside a hop's own."""

    config: paramiko.SSHConfig
    known_hosts: Path | None

    def open(self, target: Target, depth: int = 0) -> Opened:
        """Connect and log in, again and again while the device is too busy to answer."""
        if depth > MAX_HOPS:
            raise DeviceError("ProxyJump goes round in a circle", where=str(target))
        for attempt in range(ATTEMPTS):
            time.sleep(_pause(attempt))
            with ExitStack() as resources:
                transport = self._negotiate(target, resources, depth)
                if transport:
                    authenticate(transport, target)
                    watch(transport)
                    return Opened(transport, resources.pop_all())
        raise DeviceError(
            f"takes connections but drops them before its SSH banner ({ATTEMPTS} attempts)",
            where=str(target),
            next_step="look on the device whether sshd is overloaded (MaxStartups) or bans this "
            f"host (journalctl -u ssh); {target.ssh_verbose}",
        )

    def _negotiate(
        self, target: Target, resources: ExitStack, depth: int
    ) -> paramiko.Transport | None:
        """A transport whose key is known; None when the device dropped it before its banner."""
        sock = self._socket(target, resources, depth)
        resources.callback(sock.close)
        transport = paramiko.Transport(sock)
        resources.callback(transport.close)
        known = known_keys(target.known_hosts, target.known_as)
        _prefer(transport, known)
        transport.banner_timeout = target.timeout
        transport.handshake_timeout = transport.auth_timeout = HANDSHAKE_S
        transport.channel_timeout = HANDSHAKE_S
        started = time.monotonic()
        try:
            transport.start_client(timeout=target.timeout + HANDSHAKE_S)
        except (paramiko.SSHException, EOFError, OSError) as error:
            silent = time.monotonic() - started >= target.timeout
            other = "protocol version" in str(error)
            if not transport.remote_version and not silent and not other:
                return None
            raise _handshake_error(target, error) from error
        check_host_key(target, known, transport.get_remote_server_key())
        return transport

    def _socket(
        self, target: Target, resources: ExitStack, depth: int
    ) -> socket.socket | paramiko.Channel:
        if target.jumps:
            return self._through_jump(target, resources, depth)
        if target.proxy_command:
            return _through_command(target.proxy_command, resources)
        try:
            sock = socket.create_connection((target.host, target.port), timeout=target.timeout)
        except (OSError, UnicodeError) as error:
            raise _connect_error(target, error) from error
        _notice_a_broken_link(sock)
        return sock

    def _through_jump(self, target: Target, resources: ExitStack, depth: int) -> paramiko.Channel:
        """A channel from the last hop to the target; the hops before it are the last one's own."""
        *before, last = target.jumps
        hop = resolve(self.config, *parse_jump(last), timeout=target.timeout)
        hop = hop.as_hop(tuple(before), self.known_hosts)
        opened = self.open(hop, depth + 1)
        resources.callback(opened.close)
        try:
            return opened.transport.open_channel(
                "direct-tcpip", (target.host, target.port), ("127.0.0.1", 0), timeout=target.timeout
            )
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise DeviceError(
                f"jump host {hop} cannot connect on to it: {error or 'no answer'}",
                where=str(target),
                next_step=f"{hop.ssh} nc -vz {target.host} {target.port}",
            ) from error


def _pause(attempt: int) -> float:
    """Seconds before an attempt: longer each time, and no two hosts at once."""
    return FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5) if attempt else 0.0


def _prefer(transport: paramiko.Transport, known: KnownKeys) -> None:
    """Ask first for the fast cipher, and for the kinds of host key that can be checked."""
    options = transport.get_security_options()
    options.ciphers = _first((FAST_CIPHER,), options.ciphers)
    kinds = known.types()
    if "ssh-rsa" in kinds:
        kinds += ["rsa-sha2-512", "rsa-sha2-256"]
    options.key_types = _first(kinds, options.key_types)


def _first(wanted: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(offered, key=lambda name: name not in wanted))


def _notice_a_broken_link(sock: socket.socket) -> None:
    """Without these, a pulled cable stays unnoticed for as long as anyone waits."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (*KEEPALIVE, ("TCP_USER_TIMEOUT", LOST_AFTER_S * 1000)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _through_command(command: str, resources: ExitStack) -> socket.socket:
    """The end of a pipe to a ProxyCommand. Not paramiko's own, which spins when it ends."""
    ours, theirs = socket.socketpair()
    with theirs:
        pipe = theirs.fileno()
        child = subprocess.Popen(["sh", "-c", f"exec {command}"], stdin=pipe, stdout=pipe)
    resources.callback(_end, child)
    return ours


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(timeout=2)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _connect_error(target: Target, error: OSError | UnicodeError) -> DeviceError:
    what, next_step = f"cannot be reached: {error}", f"ping {target.host}"
    # A UnicodeError is a name with an empty or overlong part.
    if isinstance(error, socket.gaierror | UnicodeError):
        what = f"the name {target.host} is unknown ({error})"
        next_step = f"getent hosts {target.host}; check `host` in the inventory"
    elif isinstance(error, TimeoutError):
        what = f"no answer within {target.timeout:g} s"
    elif error.errno == errno.ECONNREFUSED:
        what = f"refused: nothing listens on port {target.port}"
        next_step = "start sshd on the device (systemctl start ssh), or check `port`"
    elif error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        what = "no route to it: off, unplugged or on another network"
    return DeviceError(what, where=str(target), next_step=next_step)


def _handshake_error(target: Target, error: Exception) -> DeviceError:
    text = str(error) or type(error).__name__
    what = f"the SSH handshake failed: {text}"
    if "protocol banner" in text:
        what = f"takes connections but sends no SSH banner within {target.timeout:g} s"
    elif "protocol version" in text:
        what = f"port {target.port} speaks something other than SSH"
    elif isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        what = f"it and this host share no cipher, key type or version: {text}"
    return DeviceError(what, where=str(target), next_step=target.ssh_verbose)
