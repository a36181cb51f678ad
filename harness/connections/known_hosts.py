"""What known_hosts files say of a host: the keys it may show, and those it may not."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class KnownKeys:
    """The keys known for one host, as (type, key) pairs in the order of the files."""

    trusted: list[tuple[str, bytes]] = field(default_factory=list)
    revoked: list[tuple[str, bytes]] = field(default_factory=list)

    def types(self) -> list[str]:
        """The types of the trusted keys, for which a device should be asked first."""
        return list(dict.fromkeys(key_type for key_type, _ in self.trusted))


def known_keys(files: Iterable[Path], name: str) -> KnownKeys:
    """What the files say of a host; `name` is as host_name makes it. A missing file is empty."""
    known = KnownKeys()
    for file in files:
        if file.is_file():
            for line in file.read_text(errors="replace").splitlines():
                _add(known, line.split(), name)
    return known


def host_name(host: str, port: int) -> str:
    """A host as known_hosts files write it."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def _add(known: KnownKeys, words: list[str], name: str) -> None:
    marker = words.pop(0) if words and words[0].startswith("@") else None
    # paramiko cannot check a certificate of a host, so that its authority proves nothing here.
    if len(words) < 3 or marker not in (None, "@revoked") or not matches(words[0], name):
        return
    try:
        key = base64.b64decode(words[2], validate=True)
    except binascii.Error:
        return
    (known.revoked if marker else known.trusted).append((words[1], key))


def matches(patterns: str, name: str) -> bool:
    """Whether the first field of a line means this host: names, * and ?, !not, or a hash."""
    if patterns.startswith("|1|"):
        return _hash_matches(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        negated = pattern.startswith("!")
        if _wildcard(pattern.removeprefix("!")).fullmatch(name):
            if negated:
                return False
            found = True
    return found


def _wildcard(pattern: str) -> re.Pattern[str]:
    # Not fnmatch: it would read the brackets of [host]:port as a set of characters.
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


def _hash_matches(field: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in field[3:].split("|"))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
