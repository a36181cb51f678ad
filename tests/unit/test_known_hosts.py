"""Which keys known_hosts files give for a host, checked against ssh-keygen -F where it is there."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.connections.known_hosts import host_name, known_keys, matches

KEY = base64.b64encode(b"key one").decode()
OTHER = base64.b64encode(b"key two").decode()


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        ("board", "board", True),
        ("Board.Lab", "board.lab", True),
        ("board", "board2", False),
        ("a,board,b", "board", True),
        ("*.lab", "pi.lab", True),
        ("*.lab,!pi.lab", "pi.lab", False),
        ("10.0.0.?", "10.0.0.7", True),
        ("10.0.0.?", "10.0.0.77", False),
        ("[board]:2222", "[board]:2222", True),
        ("[board]:2222", "b", False),
        ("board", "[board]:2222", False),
        ("[*]:2222", "[board]:2222", True),
        ("|1|not|base64", "board", False),
        ("|1|", "board", False),
    ],
)
def test_patterns(patterns: str, name: str, expected: bool) -> None:
    assert matches(patterns, name) is expected


def test_a_port_is_part_of_the_name() -> None:
    assert (host_name("Board", 22), host_name("Board", 2222)) == ("board", "[board]:2222")


def test_all_keys_of_a_host_are_trusted_and_revoked_ones_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(
        f"# a comment\n\nboard ssh-ed25519 {KEY} said who\nother ssh-ed25519 {OTHER}\n"
        f"board ssh-rsa {OTHER}\nboard ssh-ed25519 {OTHER}\nboard ssh-ed25519 ***\nboard\n"
    )
    (tmp_path / "b").write_text(
        f"@revoked * ssh-rsa {OTHER}\n@cert-authority board ssh-ed25519 {KEY}\n"
    )
    known = known_keys([tmp_path / "a", tmp_path / "none", tmp_path / "b"], "board")
    expected = [("ssh-ed25519", b"key one"), ("ssh-rsa", b"key two"), ("ssh-ed25519", b"key two")]
    assert known.trusted == expected
    assert known.revoked == [("ssh-rsa", b"key two")]
    assert known.types() == ["ssh-ed25519", "ssh-rsa"]


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    matches(text, "board")


@given(st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True))
def test_a_name_matches_itself_alone(name: str) -> None:
    assert matches(name, name)
    assert not matches(name, name + "x")
    assert not matches(f"{name},!{name}", name)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_names_hashed_by_ssh_are_found(tmp_path: Path) -> None:
    key, hosts = tmp_path / "key", tmp_path / "hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    hosts.write_text(f"board,10.0.0.7 {public}\n[board]:2222 {public}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", hosts], check=True, capture_output=True)
    assert "board" not in hosts.read_text()
    for name in ("board", "10.0.0.7", "[board]:2222"):
        assert len(known_keys([hosts], name).trusted) == 1, name
    assert known_keys([hosts], "other").trusted == []
