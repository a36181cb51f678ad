"""Agent, blobs and runtimes arrive whole, once, on this machine and on a board."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from harness import deploy
from harness.connections import Completed
from harness.connections.local import LocalConnection
from harness.deploy import Blob, Site
from harness.devices import Device, DeviceProfile
from harness.errors import DeviceError, InputError
from harness.provision import Archive
from tests.boards import Board, board_kind
from tests.boards.namespace import NamespaceBoard

ROOT = Path(__file__).parents[2]
PROFILE = DeviceProfile.model_validate({"kind": "any", "title": "Any"})
NOTHING = dict.fromkeys(deploy.KINDS, 0)


@pytest.fixture(params=["local", "board"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Site]]:
    """Opens the same empty folder on a device, as run after run does."""
    if request.param == "local":
        device = Device(name="local", connection="local", root=str(tmp_path / "device"))
        device = device.model_copy(update={"python": sys.executable})
        yield lambda: deploy.open_site(device, LocalConnection())
        return
    board: Board = request.getfixturevalue("shared_board")
    with closing(board.connect()) as connection:
        root = connection.run(["mktemp", "-d"]).stdout.strip()
        device = Device(name="board", host=board.host, root=root)
        yield lambda: deploy.open_site(device, connection)
        connection.run(["rm", "-rf", root])


@pytest.fixture
def site(reopen: Callable[[], Site]) -> Site:
    """A device that has the agent; what was pushed so far does not count."""
    return replace(reopen(), pushed=dict(NOTHING))


def blob(folder: Path, size: int, seed: int = 0, kind: str = "models") -> Blob:
    """A file of random bytes."""
    path = folder / f"{kind}-{seed}-{size}"
    path.write_bytes(random.Random(seed).randbytes(size))
    return Blob(kind, path, hashlib.sha256(path.read_bytes()).hexdigest())


def shell(site: Site, script: str) -> str:
    """Run a script in the device's folder."""
    done = site.connection.run(["sh", "-c", f"cd {site.root} && {script}"])
    assert done.status == 0, done.stderr
    return done.stdout


def blobs(site: Site) -> set[str]:
    """Names of what lies among the blobs."""
    return set(shell(site, "ls -A blobs").split())


def runtime(folder: Path, **files: bytes) -> Archive:
    """A made-up runtime."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    path = folder / "runtime.tar.gz"
    path.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Archive("toy", path, digest, path.stat().st_size, 100, ())


def test_the_zipapp_is_the_same_whoever_packs_it(tmp_path: Path) -> None:
    script = "import sys; from harness.deploy import zipapp; sys.stdout.buffer.write(zipapp())"
    first = deploy.zipapp()
    environment = {**os.environ, "PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    second = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        umask=0o077,
    )
    assert second.stdout == first


def test_the_zipapp_holds_every_module_of_the_agent_and_nothing_else() -> None:
    names = set(zipfile.ZipFile(io.BytesIO(deploy.zipapp())).namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "agents").rglob("*.py")}
    assert names == sources | {"__main__.py"}


def test_the_agent_that_arrives_runs(site: Site) -> None:
    facts = site.facts()
    assert facts["python"].startswith("3.")
    done = site.connection.run([site.python, site.agent, "no-such-verb"])
    assert done.status != 0 and "usage" in done.stderr


def test_a_second_deployment_pushes_nothing(reopen: Callable[[], Site], tmp_path: Path) -> None:
    files = [blob(tmp_path, 300_000), blob(tmp_path, 10_000, seed=1, kind="datasets")]
    toy = runtime(tmp_path, toy__kernel=b"k" * 5000)
    first = reopen()
    deploy.push(first, files)
    folder = deploy.install(first, toy)
    assert first.pushed == {
        "agent": len(deploy.zipapp()),
        "models": 300_000,
        "datasets": 10_000,
        "runtimes": toy.bytes,
    }
    second = reopen()
    deploy.push(second, files)
    assert deploy.install(second, toy) == folder
    assert second.pushed == NOTHING
    assert second.agent == first.agent


def test_only_what_is_missing_is_pushed(site: Site, tmp_path: Path) -> None:
    old, new = blob(tmp_path, 50_000), blob(tmp_path, 60_000, seed=1)
    deploy.push(site, [old])
    deploy.push(site, [old, new, new])
    assert site.pushed["models"] == 110_000
    assert {old.sha256, new.sha256} <= blobs(site)
    deploy.push(site, [])
    assert site.pushed["models"] == 110_000


def test_a_second_push_hashes_each_blob_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [blob(tmp_path, 1000, seed=seed) for seed in range(4)]
    deploy.push(site, files)
    commands: list[Sequence[str]] = []
    run = site.connection.run

    def counted(command: Sequence[str], *, timeout: float = 60.0) -> Completed:
        commands.append(command)
        return run(command, timeout=timeout)

    monkeypatch.setattr(site.connection, "run", counted)
    deploy.push(site, files)
    assert sum(site.blob(files[0].sha256) in command for command in commands) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "printf x | dd of=$f bs=1 seek=20000 conv=notrunc 2>/dev/null",
        "truncate -s 49999 $f",
        ": > $f",
    ],
    ids=["a flipped byte", "a byte short", "empty"],
)
def test_a_corrupted_blob_is_pushed_again(site: Site, tmp_path: Path, damage: str) -> None:
    file = blob(tmp_path, 50_000)
    deploy.push(site, [file])
    shell(site, f"f=blobs/{file.sha256}; {damage}")
    deploy.push(site, [file])
    assert site.pushed["models"] == 2 * 50_000
    assert shell(site, f"sha256sum < blobs/{file.sha256}").split()[0] == file.sha256


def test_a_corrupted_agent_is_pushed_again(reopen: Callable[[], Site]) -> None:
    first = reopen()
    shell(first, f"printf damage > {first.agent}")
    second = reopen()
    assert second.pushed["agent"] == len(deploy.zipapp())
    assert second.facts()["machine"]


def test_a_torn_transfer_is_no_blob(site: Site, tmp_path: Path) -> None:
    file = blob(tmp_path, 50_000)
    half = tmp_path / "half"
    half.write_bytes(file.path.read_bytes()[:25_000])
    site.connection.put(half, site.blob(file.sha256) + ".part")
    deploy.push(site, [file])
    assert site.pushed["models"] == 50_000
    assert shell(site, f"sha256sum < blobs/{file.sha256}").split()[0] == file.sha256
    assert f"{file.sha256}.part" not in blobs(site)


def test_what_is_not_what_was_hashed_is_refused(site: Site, tmp_path: Path) -> None:
    file = blob(tmp_path, 50_000)
    file.path.write_bytes(b"changed since")
    with pytest.raises(InputError, match="has changed"):
        deploy.push(site, [file])
    assert file.sha256 not in blobs(site)


def test_a_runtime_is_unpacked_and_its_archive_gone(site: Site, tmp_path: Path) -> None:
    toy = runtime(tmp_path, toy__kernel=b"kernel", toy__deep__er=b"deeper")
    # What an earlier, cut off attempt left behind goes too.
    shell(site, f"mkdir runtimes/toy-{toy.sha256[:16]}.part99")
    folder = deploy.install(site, toy)
    assert site.connection.run(["cat", f"{folder}/toy/kernel"]).stdout == "kernel"
    assert site.connection.run(["cat", f"{folder}/toy/deep/er"]).stdout == "deeper"
    assert toy.sha256 not in blobs(site), "the room it took is free again"
    assert shell(site, "ls -A runtimes").split() == [folder.rpartition("/")[2]]


@pytest.mark.parametrize("bad", ["..__outside", "__absolute", "link"])
def test_a_runtime_unpacks_whole_or_not_at_all(site: Site, tmp_path: Path, bad: str) -> None:
    toy = runtime(tmp_path, toy__kernel=b"kernel", **{bad: b"x"})
    if bad == "link":
        with tarfile.open(toy.path, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("fine"))
            member = tarfile.TarInfo("link")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
        toy = replace(toy, sha256=hashlib.sha256(toy.path.read_bytes()).hexdigest())
    with pytest.raises(DeviceError, match="outside its folder"):
        deploy.install(site, toy)
    assert shell(site, "ls -A runtimes") == ""
    assert "outside" not in shell(site, "ls -A . ..")


def test_a_cut_archive_leaves_no_runtime_and_a_whole_one_then_arrives(
    site: Site, tmp_path: Path
) -> None:
    toy = runtime(tmp_path, toy__kernel=random.Random(0).randbytes(200_000))
    whole = toy.path.read_bytes()
    toy.path.write_bytes(whole[:150_000])
    cut = replace(toy, sha256=hashlib.sha256(whole[:150_000]).hexdigest())
    with pytest.raises(DeviceError):
        deploy.install(site, cut)
    assert shell(site, "ls -A runtimes") == ""
    toy.path.write_bytes(whole)
    folder = deploy.install(site, toy)
    assert shell(site, f"wc -c < {folder}/toy/kernel").strip() == "200000"


def test_a_board_without_python_is_told_what_to_install(new_board: Callable[..., Board]) -> None:
    board = new_board(python=False)
    with closing(board.connect()) as connection:
        device = Device(name="bare", host=board.host)
        with pytest.raises(DeviceError, match="no Python there") as refused:
            deploy.open_site(device, connection)
    assert "install python3" in (refused.value.next_step or "")


def test_a_full_disk_is_known_before_anything_is_sent(
    new_board: Callable[..., Board], tmp_path: Path
) -> None:
    board = new_board(disk_mb=128)
    if not isinstance(board, NamespaceBoard):
        pytest.skip(f"no disk of its own: {board_kind().why}")
    with closing(board.connect()) as connection:
        site = deploy.open_site(Device(name="small", host=board.host), connection)
        with pytest.raises(DeviceError, match="not enough disk") as refused:
            deploy.push(site, [blob(tmp_path, 90_000_000)])
        assert len(blobs(site)) == 1, "the agent alone"
    assert "clean small" in (refused.value.next_step or "")
