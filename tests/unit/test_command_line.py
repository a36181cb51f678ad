"""The command line as a newcomer meets it: defaults, refusals, completion, progress."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from agents import wire
from harness import releases
from harness.cli import cli
from harness.cli_shared import Screen
from harness.errors import EdgeproofError, InputError
from harness.newcomer import check, device_at
from harness.progress import Bars, Plain
from harness.store import Store
from harness.study import load_study
from reports.families import is_origin
from tests.unit.session_builder import keep, session

DENSE = Path(__file__).parents[2] / "examples" / "digits" / "models" / "dense.onnx"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def edgeproof(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def refused(*arguments: str) -> EdgeproofError:
    failed = edgeproof(*arguments).exception
    assert isinstance(failed, EdgeproofError), failed
    return failed


def store() -> Store:
    made = Store()
    keep(made, session(1, launches=1))
    return made


def offered(*arguments: str) -> list[str]:
    """What the shell offers for the last of the arguments."""
    *typed, incomplete = arguments
    shell = ShellComplete(cli, {}, "edgeproof", "_EDGEPROOF_COMPLETE")
    return [item.value for item in shell.get_completions(typed, incomplete)]


@pytest.mark.parametrize("command", ["run", "gate"])
def test_without_a_study_the_next_command_is_init(command: str) -> None:
    failed = refused(command)
    assert failed.what == "there is no study.yaml in this folder"
    assert failed.next_step == "edgeproof init MODEL, or name a study"


def test_init_takes_the_boards_that_were_added() -> None:
    told = edgeproof("init", str(DENSE)).stdout
    assert "a board: edgeproof devices add NAME USER@HOST" in told
    assert told.endswith("next: edgeproof run study.yaml\n")
    assert load_study(Path("study.yaml")).devices == ("local",)
    Path("inventory.yaml").write_text("devices:\n  pi5: {host: pi5.lab}\n  nuc: {host: nuc.lab}\n")
    edgeproof("init", str(DENSE), "-o", "lab.yaml")
    assert load_study(Path("lab.yaml")).devices == ("pi5", "nuc")


def test_init_for_a_board_that_is_not_added_yet_says_so() -> None:
    done = edgeproof("init", str(DENSE), "--device", "pi5")
    assert done.stdout.endswith("next: edgeproof devices add pi5 USER@HOST\n")


def test_init_tells_of_a_wrong_model_before_a_file_in_the_way() -> None:
    Path("study.yaml").write_text("")
    assert refused("init", "gone.onnx").what == "no such file"
    assert refused("init", str(DENSE)).what == "is there already"


@pytest.mark.parametrize(
    ("name", "address", "keys", "what"),
    [
        ("a b", "pi@pi5.lab", {}, "'a b' is no name"),
        ("pi5", "pi@pi5.lab:x", {}, "port: "),
        ("pi5", "pi@pi5.lab", {"profile": "raspbery-pi-5"}, "did you mean 'raspberry-pi-5'?"),
        ("pi5", "pi@pi5.lab", {"identity_file": "/no/such/key"}, "no such file"),
        ("local", "pi@pi5.lab", {}, "local is this machine"),
        ("nuc", "pi@pi5.lab", {}, "nuc is there already"),
    ],
)
def test_what_is_wrong_without_a_look_at_the_board_is_said_at_once(
    name: str, address: str, keys: dict[str, Any], what: str
) -> None:
    inventory = Path("inventory.yaml")
    inventory.write_text("devices:\n  nuc: {host: nuc.lab}\n")
    with pytest.raises(InputError, match=re.escape(what)) as failed:
        check(device_at(name, address, **keys), inventory)
    assert failed.value.next_step


def test_the_shell_completes_what_is_there() -> None:
    store()
    Path("inventory.yaml").write_text("devices:\n  pi5: {host: pi5.lab}\n  nuc: {host: nuc.lab}\n")
    assert offered("run", "--device", "") == ["local", "pi5", "nuc"]
    assert offered("devices", "check", "p") == ["pi5"]
    assert offered("report", "") == ["latest", "kws-01"]
    assert offered("compare", "kws-") == ["kws-01"]
    assert offered("history", "") == ["kws", "latest", "kws-01"]
    assert offered("history", "kws", "--variant", "sl") == ["slim-40"]
    assert offered("gate", "s.yaml", "--against", "la") == ["last-release", "latest"]
    assert offered("devices", "add", "x", "h", "--profile", "rasp") == ["raspberry-pi-5"]


def test_a_completion_that_cannot_read_offers_nothing() -> None:
    Path("inventory.yaml").write_text("devices: [\n")
    assert offered("run", "--device", "") == []
    assert offered("report", "--store", "mysql://x", "") == []


def test_nobody_reading_on_is_no_verdict() -> None:
    with pytest.raises(BrokenPipeError):
        Screen().on_broken_pipe()


def doing(done: int, total: int) -> wire.DoingEvent:
    return {"kind": "doing", "what": "", "done": done, "total": total, "elapsed_s": 10.0 * done}


def drawn() -> tuple[Bars, Progress, io.StringIO]:
    told = io.StringIO()
    columns = BarColumn(), TextColumn("{task.fields[count]} {task.fields[what]}")
    progress = Progress(*columns, console=Console(file=told, width=80))
    return Bars(progress, 600), progress, told


def test_a_device_that_did_all_ends_full() -> None:
    bars, progress, _ = drawn()
    bars.update("pi5", "connecting")
    bars.update("pi5", "variant/litert/b1: launch 8 of 9", doing(8, 9))
    [task] = progress.tasks
    assert task.fields["what"] == "launch 8 of 9, variant/litert/b1", "the end is cut off first"
    bars.end("pi5", "done", whole=True)
    assert (task.completed, task.total, task.fields["count"]) == (9, 9, "9/9")


def test_a_failure_is_told_in_full_above_the_bars() -> None:
    bars, progress, told = drawn()
    bars.update("nuc", "connecting")
    bars.end("nuc", "failed: nobody answers [there]\n  next: ping nuc.lab")
    [task] = progress.tasks
    assert task.total == 1 and task.completed == 0, "it does not go on moving"
    assert told.getvalue() == "nuc: failed: nobody answers [there]\n  next: ping nuc.lab\n"


def test_lines_of_a_pipe_keep_the_end() -> None:
    told = io.StringIO()
    plain = Plain(Console(file=told, width=80), 600)
    plain.update("pi5", "launch 1", doing(1, 9))
    plain.end("pi5", "failed: [it] broke")
    assert told.getvalue().splitlines()[-1].endswith("pi5: failed: [it] broke")


STUDY = """
name: kws
baseline: dense
variants: {{dense: {{model: {0}}}, {1}: {{model: {0}}}}}
runtimes: [onnxruntime]
"""


def study(candidate: str = "slim-40") -> Any:
    Path("s.yaml").write_text(STUDY.format(DENSE, candidate))
    return load_study(Path("s.yaml"))


def test_a_release_has_one_name_for_good() -> None:
    made = store()
    assert releases.planned(study(), "1.4", made) == ("1.4", "slim-40")
    releases.call(made, made.load("kws-01"), "1.4", "slim-40")
    assert releases.find(made, "kws", "1.4") == releases.find(made, "kws", releases.LAST)
    found = releases.find(made, "kws", "1.4")
    assert found and (found.run, found.variant) == ("kws-01", "slim-40")
    assert found.files == ("sha-slim-40",)
    with pytest.raises(InputError, match="a release is never moved"):
        releases.planned(study(), "1.4", made)
    assert releases.find(made, "other", "1.4") is None, "of each study its own"


@pytest.mark.parametrize("name", ["latest", "last-release", "a b", "", "0123abcd", "1.4:gone"])
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(InputError) as failed:
        releases.planned(study(), name, Store())
    assert failed.value.what


def test_the_last_release_needs_one() -> None:
    with pytest.raises(InputError, match="no release of this study has a name yet"):
        releases.find(Store(), "kws", releases.LAST)


def test_the_drift_is_told_of_the_gates_since() -> None:
    made = store()
    releases.call(made, made.load("kws-01"), "1.4", "slim-40")
    slower = {"dense": 4.0, "slim-40": 4.0 * 1.05}
    files = {"dense": "sha-slim-40", "slim-40": "v2"}
    keep(made, session(2, slower, files=files, launches=4))
    [line] = releases.drift(made, "kws-02")
    assert line.startswith(
        "drift since 1.4: latency_p50_ratio of slim-40 in onnxruntime on pi5: 1.0"
    )
    assert list(releases.drift(made, "kws-01")) == [], "the release has none of itself"


def test_what_the_baseline_stems_from_need_not_be_as_good() -> None:
    plain: dict[str, Any] = {"dense": {}, "int8": {}, "released": {"from": "dense"}}
    beside = {"baseline": "released", "variants": plain}
    assert is_origin(beside, "dense") and not is_origin(beside, "int8")
    alone = {"baseline": "released", "variants": {"net": {}, "released": {"from": "net"}}}
    assert not is_origin(alone, "net"), "it is all that there is to judge"
    assert not is_origin({"baseline": "dense", "variants": {"dense": {}, "int8": {}}}, "dense")
