"""Runtimes are built by the real uv, from wheels made here: no index is asked."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import subprocess
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents import backends, facts
from harness import provision
from harness.devices import DeviceProfile
from harness.errors import ProvisionError
from harness.provision import Target

GOAL = Target("x86_64", "3.11", 36)
MANYLINUX = "manylinux_2_17_x86_64"
FACTS = {"machine": "x86_64", "libc": "glibc", "libc_version": "2.36", "python": "3.11.2"}


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, all that uv sees, and caches of this test's own."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "index").as_uri())
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return folder


def put_wheel(
    shelf: Path, name: str, version: str, tag: str, *requires: str, **files: bytes
) -> None:
    """Write a wheel with the given files of its package."""
    stem, about = f"{name}-{version}", f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in requires)
    wheel = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n"
    contents = {f"{name}/__init__.py": b"", f"{about}/METADATA": metadata.encode()}
    contents |= {f"{name}/{file}": data for file, data in files.items()}
    contents[f"{about}/WHEEL"] = wheel.encode()
    record = "".join(f"{path},{digest(data)},{len(data)}\n" for path, data in contents.items())
    contents[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n".encode()
    with zipfile.ZipFile(shelf / f"{stem}-{tag}.whl", "w") as archive:
        for path, data in contents.items():
            archive.writestr(path, data)


def digest(data: bytes) -> str:
    """A file's hash as a wheel's RECORD has it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def count_builds(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines of uv from now on."""
    commands: list[list[str]] = []
    run: Callable[..., Any] = subprocess.run

    def counted(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    return commands


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Target("x86_64", "3.11", 36)),
        ({"machine": "aarch64", "python": "3.8.10"}, Target("aarch64", "3.8", 36)),
        ({"libc_version": "2.17"}, Target("x86_64", "3.11", 17)),
        ({"libc_version": "2.31-0ubuntu9"}, Target("x86_64", "3.11", 31)),
        # Newer than any platform that uv knows: what runs on 2.40 runs there.
        ({"libc_version": "2.77"}, Target("x86_64", "3.11", 40)),
        ({"python": "3.13.0rc1"}, Target("x86_64", "3.13", 36)),
    ],
)
def test_a_device_is_a_target(changes: dict[str, str], expected: Target) -> None:
    assert provision.target({**FACTS, **changes}) == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machine": "armv7l"}, "armv7l"),
        ({"machine": "riscv64"}, "riscv64"),
        ({"libc": "", "libc_version": ""}, "no glibc"),
        ({"libc": "musl", "libc_version": "1.2.4"}, "musl"),
        ({"libc_version": "2.16"}, "2.16"),
        ({"libc_version": "2"}, "glibc 2"),
        ({"libc_version": None}, "glibc"),
    ],
)
def test_a_device_that_no_wheel_fits_is_told_so(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ProvisionError, match=said) as refused:
        provision.target({**FACTS, **changes})
    assert refused.value.status == "unsupported"


def test_this_machine_is_a_target(tmp_path: Path) -> None:
    found = provision.target(facts.collect(str(tmp_path)))
    assert found.platform.startswith(f"{found.machine}-manylinux_2_")


def test_what_a_runtime_needs_is_its_backends_unless_the_board_says_otherwise() -> None:
    plain = DeviceProfile.model_validate({"kind": "k", "title": "K"})
    assert provision.requirements("tflite", plain) == backends.find("tflite").REQUIRES
    pins = {"tflite": "system", "litert": {"requires": ["ai-edge-litert==2.1.0"]}}
    pinned = DeviceProfile.model_validate({"kind": "k", "title": "K", "runtimes": pins})
    assert provision.requirements("tflite", pinned) is None
    assert provision.requirements("litert", pinned) == ("ai-edge-litert==2.1.0",)


def test_an_archive_holds_what_was_installed(shelf: Path) -> None:
    put_wheel(shelf, "toy", "1.0", f"cp311-cp311-{MANYLINUX}", "part>=2", **{"kernel.so": b"\x7fE"})
    put_wheel(shelf, "part", "2.5", "py3-none-any")
    built = provision.archive("toy", ("toy",), GOAL)
    assert built.packages == ("part-2.5", "toy-1.0")
    data = built.path.read_bytes()
    assert (built.bytes, built.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    with tarfile.open(built.path) as tar:
        members = {member.name: member for member in tar}
        kernel = tar.extractfile("toy/kernel.so")
        assert kernel is not None and kernel.read() == b"\x7fE"
    assert {"toy/__init__.py", "part/__init__.py"} <= set(members)
    assert all(member.isfile() for member in members.values()), "no links, no devices"
    assert built.unpacked_bytes == sum(member.size for member in members.values())


def test_a_second_archive_is_the_first(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_wheel(shelf, "toy", "1.0", "py3-none-any")
    first = provision.archive("toy", ("toy",), GOAL)
    # A newer version must not come in between two runs.
    put_wheel(shelf, "toy", "2.0", "py3-none-any")
    builds = count_builds(monkeypatch)
    before = first.path.stat()
    assert provision.archive("toy", ("toy",), GOAL) == first
    assert builds == []
    after = first.path.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_other_requirements_and_targets_are_other_archives(shelf: Path) -> None:
    put_wheel(shelf, "toy", "1.0", "py3-none-any")
    put_wheel(shelf, "toy", "2.0", "py3-none-any")
    newest = provision.archive("toy", ("toy",), GOAL)
    pinned = provision.archive("toy", ("toy<2",), GOAL)
    board = provision.archive("toy", ("toy",), Target("aarch64", "3.8", 31))
    assert (newest.packages, pinned.packages) == (("toy-2.0",), ("toy-1.0",))
    assert len({newest.path, pinned.path, board.path}) == 3


def test_the_same_packages_make_the_same_bytes(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"module{at}.py": os.urandom(400) for at in range(20)}
    put_wheel(shelf, "toy", "1.0", "py3-none-any", "part", **files)
    put_wheel(shelf, "part", "2.5", "py3-none-any")
    first = provision.archive("toy", ("toy",), GOAL)
    # Another user, another day, another mask, nothing of uv's cache left.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache2"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv2"))
    time.sleep(1.1)  # gzip and tar keep whole seconds
    mask = os.umask(0o077)
    try:
        second = provision.archive("toy", ("toy",), GOAL)
    finally:
        os.umask(mask)
    assert second.path != first.path
    assert second.sha256 == first.sha256


def test_two_runs_at_once_build_once(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_wheel(shelf, "toy", "1.0", "py3-none-any")
    builds = count_builds(monkeypatch)
    found: list[provision.Archive] = []
    threads = [
        threading.Thread(target=lambda: found.append(provision.archive("toy", ("toy",), GOAL)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert found == [found[0]] * 4


@pytest.mark.parametrize(
    "goal", [Target("x86_64", "3.13", 36), Target("aarch64", "3.11", 36), GOAL]
)
def test_a_runtime_without_wheels_for_the_device_is_unsupported(shelf: Path, goal: Target) -> None:
    needs = tuple(backends.find("tflite").REQUIRES)
    put_wheel(shelf, "tflite_runtime", "2.14.0", f"cp311-cp311-{MANYLINUX}", "numpy>=1.23")
    put_wheel(shelf, "numpy", "1.26.4", "py3-none-any")
    put_wheel(shelf, "numpy", "2.4.0", "py3-none-any")
    if goal == GOAL:
        built = provision.archive("tflite", needs, goal)
        assert built.packages == ("numpy-1.26.4", "tflite_runtime-2.14.0")
        return
    with pytest.raises(ProvisionError, match=f"Python {goal.python}") as refused:
        provision.archive("tflite", needs, goal)
    assert refused.value.status == "unsupported"
    assert "tflite-runtime" in refused.value.what and goal.platform in refused.value.what


def test_a_wheel_for_a_newer_glibc_does_not_fit(shelf: Path) -> None:
    put_wheel(shelf, "toy", "1.0", "cp311-cp311-manylinux_2_17_x86_64")
    put_wheel(shelf, "toy", "2.0", "cp311-cp311-manylinux_2_31_x86_64")
    old = provision.archive("toy", ("toy",), Target("x86_64", "3.11", 28))
    new = provision.archive("toy", ("toy",), Target("x86_64", "3.11", 31))
    assert (old.packages, new.packages) == (("toy-1.0",), ("toy-2.0",))


def test_an_index_that_is_out_of_reach_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(ProvisionError, match="uv could not install") as failure:
        provision.archive("toy", ("toy",), GOAL)
    assert failure.value.status == "failed"
    assert "network" in (failure.value.next_step or "")


def test_without_a_network_a_new_runtime_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(ProvisionError) as failure:
        provision.archive("toy", ("toy",), GOAL)
    assert failure.value.status == "failed", failure.value.what


def test_a_failed_build_leaves_nothing_that_passes_for_one(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(ProvisionError):
        provision.archive("toy", ("toy",), GOAL)
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left == ["lock"]
    put_wheel(shelf, "toy", "1.0", "py3-none-any")
    assert provision.archive("toy", ("toy",), GOAL).packages == ("toy-1.0",)


def test_requirements_for_other_machines_are_left_out(shelf: Path) -> None:
    put_wheel(shelf, "toy", "1.0", f"cp311-cp311-{MANYLINUX}")
    needs = (
        "toy; python_version < '3.12' and platform_machine == 'x86_64'",
        "elsewhere; platform_machine == 'aarch64'",
    )
    assert provision.archive("toy", needs, GOAL).packages == ("toy-1.0",)


@pytest.mark.parametrize(
    ("machine", "python"), [("aarch64", "3.11"), ("x86_64", "3.12"), ("x86_64", "3.8")]
)
def test_a_runtime_that_has_nothing_for_a_machine_is_unsupported(machine: str, python: str) -> None:
    markers = "python_version >= '3.9' and python_version < '3.12' and platform_machine == 'x86_64'"
    needs = (f"toy; {markers}",)
    with pytest.raises(ProvisionError) as refused:
        provision.archive("toy", needs, Target(machine, python, 36))
    assert refused.value.status == "unsupported"
    assert f"no wheels of toy for Python {python} on {machine}" in refused.value.what


def test_targets_of_a_runtime_share_its_archive(shelf: Path) -> None:
    put_wheel(shelf, "toy", "1.0", f"cp311-cp311-{MANYLINUX}")
    built = provision.archive("toy:fast", ("toy",), GOAL)
    assert built == provision.archive("toy", ("toy",), GOAL)
    assert ":" not in str(built.path) + built.runtime, "its folder goes into a path list"


def test_what_clashes_is_unsupported_and_told(shelf: Path) -> None:
    put_wheel(shelf, "toy", "1.0", f"cp311-cp311-{MANYLINUX}", "part>=2")
    put_wheel(shelf, "part", "1.0", "py3-none-any")
    put_wheel(shelf, "part", "2.5", "py3-none-any")
    with pytest.raises(ProvisionError, match="no wheels fit toy, part<2 on") as refused:
        provision.archive("toy", ("toy", "part<2"), GOAL)
    assert refused.value.status == "unsupported"
    assert "part>=2" in refused.value.what  # the explanation, in the words of uv


def test_an_index_that_never_answers_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{port}/simple")
        monkeypatch.setattr(provision, "BUILD_TIMEOUT_S", 1)
        with pytest.raises(ProvisionError, match="it was not done after") as failure:
            provision.archive("toy", ("toy",), GOAL)
    assert failure.value.status == "failed"
