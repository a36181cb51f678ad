"""What an ssh configuration says of a host."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.connections.ssh_config import Target, parse_jump, read_config, resolve
from harness.errors import InputError


def target(tmp_path: Path, text: str, host: str = "lab") -> Target:
    (tmp_path / "config").write_text(text)
    return resolve(read_config(tmp_path / "config"), host, timeout=10)


def test_without_a_word_in_the_config_ssh_defaults_hold(tmp_path: Path) -> None:
    found = target(tmp_path, "")
    assert (found.host, found.user, found.port) == ("lab", getpass.getuser(), 22)
    assert found.identity_files[-1] == Path.home() / ".ssh/id_ed25519"
    assert found.known_hosts[0] == Path.home() / ".ssh/known_hosts"
    assert Path("/etc/ssh/ssh_known_hosts") in found.known_hosts
    assert (found.jumps, found.proxy_command, found.use_agent) == ((), None, True)


def test_all_that_is_honoured(tmp_path: Path) -> None:
    found = target(
        tmp_path,
        "Host lab\n  HostName 10.9.8.7\n  User pi\n  Port=2222\n  IdentityFile ~/.ssh/lab\n"
        "  IdentityFile /keys/%r\n  IdentitiesOnly yes\n  ProxyJump a@b:1, c\n"
        "  UserKnownHostsFile ~/known /other/known\n  GlobalKnownHostsFile none\n"
        "  HostKeyAlias farm\n  ConnectTimeout 3\n",
    )
    assert str(found) == "pi@10.9.8.7:2222"
    assert found.identity_files == (Path.home() / ".ssh/lab", Path("/keys/pi"))
    assert found.known_hosts == (Path.home() / "known", Path("/other/known"))
    assert (found.use_agent, found.known_as, found.timeout) == (False, "farm", 3)
    assert found.jumps == ("a@b:1", "c")
    assert found.ssh == "ssh -J a@b:1,c -p 2222 pi@10.9.8.7"


def test_explicit_values_win(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host *\n  User a\n  Port 1\n  IdentityFile /a\n")
    config = read_config(tmp_path / "config")
    found = resolve(config, "lab", "b", 2, "/b", known_hosts=Path("/k"), timeout=1)
    assert str(found) == "b@lab:2"
    assert found.identity_files == (Path("/b"), Path("/a"))
    assert found.known_hosts == (Path("/k"),)


def test_an_include_does_not_leak_its_last_section(tmp_path: Path) -> None:
    (tmp_path / "one.conf").write_text("Host one\n  User first\n")
    (tmp_path / "two.conf").write_text("Host two\n  User second\n")
    text = f"Include {tmp_path}/*.conf\nPort 2222\nHost lab\n  User third\n"
    assert str(target(tmp_path, text, "one")) == "first@one:2222"
    assert str(target(tmp_path, text, "two")) == "second@two:2222"
    assert str(target(tmp_path, text, "lab")) == "third@lab:2222"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Include {config}\n", "circle"),
        ("Host lab\n  Port ssh\n", "Port ssh is no number"),
        ("nonsense\n", "Unparsable"),
    ],
)
def test_what_cannot_be_used_is_an_input_error(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        target(tmp_path, text.replace("{config}", str(tmp_path / "config")))


def test_a_config_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such ssh configuration"):
        read_config(tmp_path / "none")


@pytest.mark.parametrize(
    ("jump", "expected"),
    [
        ("host", ("host", None, None)),
        ("user@host", ("host", "user", None)),
        ("user@host:22", ("host", "user", 22)),
        ("ssh://user@host:22", ("host", "user", 22)),
        ("me@corp@host", ("host", "me@corp", None)),
        ("[::1]:2222", ("::1", None, 2222)),
    ],
)
def test_jumps(jump: str, expected: tuple[str, str | None, int | None]) -> None:
    assert parse_jump(jump) == expected


@pytest.mark.parametrize("jump", ["", "user@", "host:port", "host:22:22", "@host"])
def test_jumps_that_are_none(jump: str) -> None:
    with pytest.raises(InputError):
        parse_jump(jump)


names = st.from_regex(r"[a-z][a-z0-9.-]{0,15}", fullmatch=True)


@given(names, st.none() | names, st.none() | st.integers(min_value=1, max_value=65535))
def test_any_jump_is_read_back(host: str, user: str | None, port: int | None) -> None:
    text = f"{user}@" if user else ""
    text += host + (f":{port}" if port else "")
    assert parse_jump(text) == (host, user, port)
