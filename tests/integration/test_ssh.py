"""Commands, streams and copies over a real sshd."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.connections import Connection
from harness.connections.ssh import SshConnection
from harness.errors import ConnectionLostError, DeviceError
from tests.boards import Board


@pytest.fixture(scope="module")
def ssh(shared_board: Board) -> Iterator[SshConnection]:
    with closing(shared_board.connect()) as connection:
        yield connection


@pytest.fixture
def folder(ssh: SshConnection) -> Iterator[str]:
    """An empty folder on the device."""
    made = ssh.run(["mktemp", "-d"]).stdout.strip()
    yield made
    ssh.run(["rm", "-rf", made])


def test_it_is_a_connection(ssh: SshConnection) -> None:
    # What the type checker says counts; the names are for those who do not run it.
    connection: Connection = ssh
    for method in ("run", "stream", "put", "get", "close"):
        assert callable(getattr(connection, method))


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_run_returns_status_and_both_outputs(ssh: SshConnection) -> None:
    done = ssh.run(sh("echo out; echo err >&2; exit 3"))
    assert (done.status, done.stdout, done.stderr) == (3, "out\n", "err\n")


@pytest.mark.parametrize(
    "word",
    ["", "two words", 'it\'s "quoted"', "$HOME `id` \\n *", "a\nb", "naïve 测试 🙂", "--", ";|&"],
)
def test_an_argument_arrives_as_it_is(ssh: SshConnection, word: str) -> None:
    assert ssh.run(["printf", "%s", word]).stdout == word


def test_commands_run_as_the_ordinary_user(ssh: SshConnection, shared_board: Board) -> None:
    assert ssh.run(["id", "-un"]).stdout.strip() == shared_board.user


def test_a_missing_command_is_status_127(ssh: SshConnection) -> None:
    done = ssh.run(["no-such-command-here"])
    assert done.status == 127
    assert "no-such-command-here" in done.stderr


def test_bytes_that_are_no_text_do_not_break_the_output(ssh: SshConnection) -> None:
    assert ssh.run(["printf", r"a\377b"]).stdout == "a\ufffdb"


def test_a_command_gets_no_stdin(ssh: SshConnection) -> None:
    assert ssh.run(["cat"], timeout=5).stdout == ""


def test_big_outputs_on_both_streams_do_not_block_each_other(ssh: SshConnection) -> None:
    size = 10_000_000
    script = f"head -c {size} /dev/zero >&2; head -c {size} /dev/zero; head -c {size} /dev/zero >&2"
    done = ssh.run(sh(script))
    assert (done.status, len(done.stdout), len(done.stderr)) == (0, size, 2 * size)


def test_a_command_past_its_time_is_ended(ssh: SshConnection) -> None:
    with pytest.raises(DeviceError, match=r"`sleep 31.25` did not end within 0.5 s"):
        ssh.run(["sleep", "31.25"], timeout=0.5)
    assert_soon_gone(ssh, "sleep 31.25")


def test_a_command_that_closed_its_output_but_goes_on_is_ended_too(ssh: SshConnection) -> None:
    with pytest.raises(DeviceError, match="did not end within"):
        ssh.run(sh("exec >&- 2>&-; sleep 32.25"), timeout=0.5)
    assert_soon_gone(ssh, "sleep 32.25")


def assert_soon_gone(ssh: SshConnection, command: str) -> None:
    # Brackets, so that the search does not find itself.
    pattern = f"[{command[0]}]{command[1:]}"
    deadline = time.monotonic() + 5
    while ssh.run(["pgrep", "-f", pattern]).status == 0:
        assert time.monotonic() < deadline, f"{command} is still running"
        time.sleep(0.05)


def test_a_killed_command_is_not_a_lost_connection(ssh: SshConnection) -> None:
    assert ssh.run(sh("kill -9 $$")).status == -1
    assert ssh.run(["true"]).status == 0


def test_a_detached_command_outlives_the_connection(shared_board: Board) -> None:
    with closing(shared_board.connect()) as first:
        first.run(sh("setsid nohup sleep 5.75 >/dev/null 2>&1 </dev/null &"))
    with closing(shared_board.connect()) as second:
        assert second.run(["pgrep", "-f", "[s]leep 5.75"]).status == 0
        second.run(["pkill", "-f", "[s]leep 5.75"])


def test_threads_share_one_connection(ssh: SshConnection) -> None:
    outputs: dict[int, str] = {}

    def ask(number: int) -> None:
        outputs[number] = ssh.run(sh(f"sleep 0.1; echo {number}")).stdout

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {number: f"{number}\n" for number in range(8)}


def test_stream_yields_lines_while_the_command_runs(ssh: SshConnection) -> None:
    script = "printf 'one\\ntw'; sleep 0.2; printf 'o\\n\\n\\342\\200'; sleep 0.1; printf '\\250z'"
    with ssh.stream(sh(script), silence=10) as lines:
        assert list(lines) == ["one", "two", "", "\u2028z"]


def test_stream_gives_the_first_line_before_the_last_is_written(ssh: SshConnection) -> None:
    started = time.monotonic()
    with ssh.stream(sh("echo first; sleep 33.25"), silence=10) as lines:
        assert next(lines) == "first"
    assert time.monotonic() - started < 5
    assert_soon_gone(ssh, "sleep 33.25")


def test_stream_of_a_big_output_with_a_full_stderr(ssh: SshConnection) -> None:
    script = "head -c 5000000 /dev/zero >&2; seq 1000000"
    with ssh.stream(sh(script), silence=10) as lines:
        assert sum(int(line) for line in lines) == 500_000_500_000


def test_stream_reports_a_command_that_fails(ssh: SshConnection) -> None:
    with (
        pytest.raises(DeviceError, match="ended with status 7: went wrong"),
        ssh.stream(sh("echo a; echo went wrong >&2; exit 7"), silence=10) as lines,
    ):
        assert next(lines) == "a"
        next(lines)


def test_silence_ends_a_stream(ssh: SshConnection) -> None:
    started = time.monotonic()
    with (
        pytest.raises(ConnectionLostError, match=r"said nothing for 0.5 s"),
        ssh.stream(sh("echo a; sleep 34.25"), silence=0.5) as lines,
    ):
        list(lines)
    assert time.monotonic() - started < 5
    assert_soon_gone(ssh, "sleep 34.25")


@pytest.mark.parametrize("size", [0, 1, 32768, 9_000_001])
def test_put_and_get_return_the_same_bytes(
    ssh: SshConnection, folder: str, tmp_path: Path, size: int
) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "here").write_bytes(content)
    ssh.put(tmp_path / "here", f"{folder}/there")
    digest = ssh.run(["sha256sum", f"{folder}/there"]).stdout.split()[0]
    assert digest == hashlib.sha256(content).hexdigest()
    ssh.get(f"{folder}/there", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert ssh.run(["ls", folder]).stdout == "there\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "here"]


def test_put_replaces_a_file_whose_name_needs_quoting(
    ssh: SshConnection, folder: str, tmp_path: Path
) -> None:
    for content in ("a longer first version", "second"):
        (tmp_path / "here").write_text(content)
        ssh.put(tmp_path / "here", f"{folder}/it's a 测试")
    assert ssh.run(["cat", f"{folder}/it's a 测试"]).stdout == "second"


def test_what_was_put_survives_a_power_cut(board: Board, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(content := random.Random(1).randbytes(3_000_000))
    if board.host == "127.0.0.1":
        pytest.skip("a loopback board keeps what was not synced")
    with closing(board.connect()) as ssh:
        ssh.put(tmp_path / "here", f"/home/{board.user}/kept")
        old_boot = ssh.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout
        ssh.run(sh("echo lost > unsynced"))
        board.power_cut()
    board.boot()
    with closing(board.connect()) as ssh:
        assert ssh.run(["ls"]).stdout.split() == ["kept"]
        assert ssh.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout != old_boot
        ssh.get("kept", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_full_disk_is_named_and_leaves_nothing_behind(
    new_board: Callable[..., Board], tmp_path: Path
) -> None:
    board = new_board(disk_mb=32)
    (tmp_path / "here").write_bytes(random.Random(2).randbytes(3_000_000))
    with closing(board.connect()) as ssh:
        board.fill_disk()
        with pytest.raises(DeviceError, match="no space left for") as caught:
            ssh.put(tmp_path / "here", f"/home/{board.user}/model")
        assert "df -h" in str(caught.value)
        assert ssh.run(["ls", f"/home/{board.user}"]).stdout == ""
        board.free_disk()
        ssh.put(tmp_path / "here", f"/home/{board.user}/model")
        assert ssh.run(["ls", f"/home/{board.user}"]).stdout == "model\n"


@pytest.mark.parametrize(
    ("remote", "reason"),
    [("/no/such/folder/file", "No such file"), ("/proc/edgeproof", "")],
)
def test_put_says_why_the_device_refused(
    ssh: SshConnection, tmp_path: Path, remote: str, reason: str
) -> None:
    (tmp_path / "here").write_text("content")
    with pytest.raises(DeviceError, match=f"writing {remote} failed: {reason}"):
        ssh.put(tmp_path / "here", remote)


def test_get_of_a_missing_file_leaves_the_old_one(ssh: SshConnection, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("old")
    with pytest.raises(DeviceError, match="reading /no/such/file failed: No such file"):
        ssh.get("/no/such/file", tmp_path / "here")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_the_fast_cipher_is_used(ssh: SshConnection) -> None:
    assert vars(ssh._transport)["remote_cipher"] == "aes128-gcm@openssh.com"


def test_a_board_without_python(new_board: Callable[..., Board]) -> None:
    with closing(new_board(python=False).connect()) as ssh:
        assert ssh.run(["python3", "-V"]).status == 127


def test_a_board_with_an_old_python(new_board: Callable[..., Board]) -> None:
    with closing(new_board(python="#!/bin/sh\necho Python 3.6.9\n").connect()) as ssh:
        assert ssh.run(["python3", "-V"]).stdout == "Python 3.6.9\n"
