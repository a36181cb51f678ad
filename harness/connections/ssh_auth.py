"""Logging in with key files and the agent, and saying afterwards what was tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm

from harness.connections.ssh_config import Target
from harness.errors import DeviceError


def authenticate(transport: paramiko.Transport, target: Target) -> None:
    """Log in with the first key that the device takes, or raise with all that were tried."""
    tried: list[str] = []
    for key, label in _keys(target, tried):
        tried.append(label)
        try:
            further = transport.auth_publickey(target.user, key)
        except paramiko.BadAuthenticationType as error:
            allowed = ", ".join(error.allowed_types)
            raise _refused(target, tried, f"it takes no keys, only {allowed}") from error
        except paramiko.AuthenticationException:
            continue
        except (paramiko.SSHException, EOFError, OSError) as error:
            # Such as MaxAuthTries: the device hung up.
            raise _refused(target, tried, f"it hung up: {error or 'end of file'}") from error
        if not further:
            return
        raise _refused(target, tried, f"the key is right, but it also wants {', '.join(further)}")
    raise _refused(target, tried, "")


def _keys(target: Target, tried: list[str]) -> Iterator[tuple[paramiko.PKey, str]]:
    """Keys in the order in which ssh offers them; one that cannot be read is noted as tried."""
    for path in target.identity_files:
        if not path.exists():
            tried.append(f"{path} (no such file)")
            continue
        key, problem = _load(path)
        if key is None:
            tried.append(f"{path} ({problem})")
        else:
            yield key, f"{path} {key.fingerprint}"
    if target.use_agent:
        agent = paramiko.Agent()
        try:
            for key in agent.get_keys():
                yield key, f"agent {key.comment or key.get_name()} {key.fingerprint}"
        finally:
            agent.close()


def _load(path: Path) -> tuple[paramiko.PKey | None, str]:
    """A private key with the certificate beside it, or why it cannot be used."""
    try:
        return paramiko.PKey.from_path(path), ""
    except (paramiko.PasswordRequiredException, TypeError):
        return None, f"has a passphrase: ssh-add {path}"
    except OSError as error:
        return None, error.strerror or str(error)
    except (paramiko.SSHException, UnsupportedAlgorithm, ValueError) as error:
        return None, f"not a usable private key: {error}"


def _refused(target: Target, tried: list[str], why: str) -> DeviceError:
    keys = "; ".join(tried) or "none: no key file and no agent"
    return DeviceError(
        f"login refused for {target.user}{f' ({why})' if why else ''}; keys tried: {keys}",
        where=str(target),
        next_step=f"{target.ssh_verbose}; to let a key in: "
        f"ssh-copy-id -p {target.port} {target.user}@{target.host}",
    )
