"""The local connection keeps the promises of the one over SSH."""

from __future__ import annotations

import errno
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.connections import Connection
from harness.connections.local import LocalConnection
from harness.errors import ConnectionLostError, DeviceError


@pytest.fixture
def local() -> Connection:
    return LocalConnection()


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def assert_soon_gone(argument: str) -> None:
    """No process with this argument is left, or a moment later none."""
    deadline = time.monotonic() + 5
    while any(argument in (process.info["cmdline"] or []) for process in processes()):
        assert time.monotonic() < deadline, f"{argument} is still running"
        time.sleep(0.02)


def processes() -> Iterator[psutil.Process]:
    yield from psutil.process_iter(["cmdline"])


def test_run_returns_status_and_both_outputs(local: Connection) -> None:
    done = local.run(sh("echo out; echo err >&2; exit 3"))
    assert (done.status, done.stdout, done.stderr) == (3, "out\n", "err\n")


@pytest.mark.parametrize("word", ["", 'it\'s "quoted" $HOME', "a\nb", "naïve 测试 🙂"])
def test_an_argument_arrives_as_it_is(local: Connection, word: str) -> None:
    assert local.run(["printf", "%s", word]).stdout == word


def test_a_missing_command_is_status_127(local: Connection) -> None:
    done = local.run(["no-such-command-here"])
    assert (done.status, "no-such-command-here" in done.stderr) == (127, True)


def test_a_command_that_may_not_run_is_status_126(local: Connection) -> None:
    assert local.run(["/etc/passwd"]).status == 126


def test_a_killed_command_has_status_minus_one(local: Connection) -> None:
    assert local.run(sh("kill -9 $$")).status == -1


def test_commands_start_in_the_home_folder_without_stdin(local: Connection) -> None:
    assert local.run(sh("cat; pwd"), timeout=5).stdout.strip() == str(Path.home())


def test_big_outputs_on_both_streams_do_not_block_each_other(local: Connection) -> None:
    size = 10_000_000
    done = local.run(sh(f"head -c {size} /dev/zero >&2; head -c {size} /dev/zero"))
    assert (done.status, len(done.stdout), len(done.stderr)) == (0, size, size)


def test_a_command_past_its_time_ends_with_its_children(local: Connection) -> None:
    with pytest.raises(DeviceError, match=r"did not end within 0.3 s"):
        local.run(sh("sleep 41.25; true"), timeout=0.3)
    assert_soon_gone("41.25")


def test_a_command_that_ignores_sigterm_is_killed(local: Connection) -> None:
    with pytest.raises(DeviceError, match="did not end within"):
        local.run(sh("trap '' TERM; sleep 42.25; sleep 42.25"), timeout=0.3)
    assert_soon_gone("42.25")


def test_a_detached_command_goes_on(local: Connection) -> None:
    script = "setsid sleep 43.25 >/dev/null 2>&1 </dev/null & echo $!"
    process = psutil.Process(int(local.run(sh(script)).stdout))
    assert process.is_running()
    process.kill()


def test_stream_yields_lines_while_the_command_runs(local: Connection) -> None:
    started = time.monotonic()
    with local.stream(sh("printf 'one\\ntw'; sleep 0.1; echo o; sleep 44.25"), silence=5) as lines:
        assert [next(lines), next(lines)] == ["one", "two"]
    assert time.monotonic() - started < 4
    assert_soon_gone("44.25")


def test_stream_of_a_big_output_with_a_full_stderr(local: Connection) -> None:
    with local.stream(sh("head -c 5000000 /dev/zero >&2; seq 100000"), silence=5) as lines:
        assert sum(int(line) for line in lines) == 5_000_050_000


def test_stream_reports_a_command_that_fails(local: Connection) -> None:
    with (
        pytest.raises(DeviceError, match="ended with status 7: went wrong"),
        local.stream(sh("echo a; echo went wrong >&2; exit 7"), silence=5) as lines,
    ):
        list(lines)


def test_stream_of_a_missing_command(local: Connection) -> None:
    with (
        pytest.raises(DeviceError, match="no-such-command-here"),
        local.stream(["no-such-command-here"], silence=5),
    ):
        pass


def test_silence_ends_a_stream(local: Connection) -> None:
    with (
        pytest.raises(ConnectionLostError, match=r"said nothing for 0.3 s"),
        local.stream(["sleep", "45.25"], silence=0.3) as lines,
    ):
        list(lines)
    assert_soon_gone("45.25")


@pytest.mark.parametrize("size", [0, 1, 3_000_001])
def test_put_and_get_return_the_same_bytes(local: Connection, tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "here").write_bytes(content)
    local.put(tmp_path / "here", str(tmp_path / "there"))
    local.get(str(tmp_path / "there"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "here", "there"]


def test_get_of_a_missing_file_leaves_the_old_one(local: Connection, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("old")
    with pytest.raises(DeviceError, match="cannot read /no/such/file: No such file"):
        local.get("/no/such/file", tmp_path / "here")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_put_into_a_missing_folder(local: Connection, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("x")
    with pytest.raises(DeviceError, match=r"cannot write .*: No such file"):
        local.put(tmp_path / "here", str(tmp_path / "no/there"))


def test_a_full_disk_is_named_and_leaves_nothing_behind(local: Connection, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "here").write_bytes(bytes(3_000_000))
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "small", str(tmp_path / "small")]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("this machine lets us mount no small disk")
    try:
        with pytest.raises(DeviceError, match=r"no space left on the disk of .*small"):
            local.put(tmp_path / "here", str(tmp_path / "small/there"))
        assert list((tmp_path / "small").iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path / "small")], check=True)


def test_a_missing_local_file_is_the_callers_error(local: Connection, tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        local.put(tmp_path / "none", str(tmp_path / "there"))
    assert caught.value.errno == errno.ENOENT
