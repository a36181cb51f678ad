"""The command line as a newcomer meets it: defaults, refusals, completion, progress."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from agents import wire
from harness import cli_measure, release_files, releases
from harness.cli import cli
from harness.cli_shared import Screen
from harness.errors import EdgeproofError, InputError, StoreError
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
    done = edgeproof("init", str(DENSE), "--device", "pi5", "--device", "nuc")
    added = [f"edgeproof devices add {name} USER@HOST" for name in ("pi5", "nuc")]
    assert done.stdout == f"wrote study.yaml; next: {', then '.join(added)}\n"


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


def test_a_completion_makes_no_store() -> None:
    assert offered("report", "") == offered("gate", "--against", "") == []
    assert offered("history", "--store", "sqlite:///typo.db", "") == []
    assert list(Path().rglob("*.db")) == []


def test_a_name_that_a_shell_would_run_is_not_offered() -> None:
    hostile = replace(session(2, launches=1), id="$(reboot)")
    keep(store(), hostile)
    assert offered("report", "") == ["latest", "kws-01"]


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


def test_what_a_board_says_cannot_steer_the_terminal() -> None:
    bars, _, told = drawn()
    hostile = "failed: \x1b[2Jwiped\n  next: \u202eeno"
    bars.update("nuc", hostile)
    bars.end("nuc", hostile)
    Plain(Console(file=told, width=80), 600).end("nuc", hostile)
    assert not {"\x1b", "\u202e"} & set(told.getvalue())
    assert told.getvalue().count("wiped\n  next: ") == 2
    assert not {"\x1b", "\u202e"} & set("".join(map(str, bars.progress.tasks[0].fields.values())))


def test_what_goes_on_is_the_command_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["lab dir/s.yaml", "--store", "postgresql://me:secret@lab/x", "--resume", "kws-00"]
    typed += ["--device", "pi5", "--device", "nuc", "--on-inconclusive", "extend", "-q"]
    with cli_measure.gate.make_context("gate", typed):
        told = cli_measure._go_on("kws-01")
    assert "secret" not in told and told == (
        "edgeproof gate 'lab dir/s.yaml' --resume kws-01 --device pi5 --device nuc "
        "--store 'postgresql://me:***@lab/x' --quiet --on-inconclusive extend"
    )


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


def test_what_is_neither_a_release_nor_a_run_is_told_with_the_releases_there_are() -> None:
    made = store()
    releases.call(made, made.load("kws-01"), "1.4", "slim-40")
    with pytest.raises(StoreError, match=r"no run '1\.5' in the store; releases of kws: 1\.4"):
        release_files.against(study(), "1.5", made)


def test_the_last_release_needs_one() -> None:
    with pytest.raises(InputError, match="no release of this study has a name yet"):
        releases.find(Store(), "kws", releases.LAST)


def test_the_drift_is_told_of_the_gates_since() -> None:
    made = store()
    releases.call(made, made.load("kws-01"), "1.4", "slim-40")
    slower = {"dense": 4.0, "slim-40": 4.0 * 1.05}
    files = {"dense": "sha-slim-40", "slim-40": "v2"}
    keep(made, session(2, slower, files=files, launches=4))
    keep(made, session(3, slower, files=files, launches=4))
    found = releases.with_release(made, made.load("kws-03"))
    assert found.release and found.release.name == "1.4"
    assert [each.id for each in found.since] == ["kws-02"]
    [row] = json.loads(edgeproof("report", "kws-02", "--format", "json").stdout)["drift"]["cells"]
    assert (row["metric"], row["direct"], row["gates"]) == ("latency_p50_ratio", True, 1)
    assert 1.0 < row["ratio"] < 1.1
    itself = releases.with_release(made, made.load("kws-01"))
    assert itself.release is None and itself.since == (), "the release has none of itself"


def test_what_the_baseline_stems_from_need_not_be_as_good() -> None:
    plain: dict[str, Any] = {"dense": {}, "int8": {}, "released": {"from": "dense"}}
    beside = {"baseline": "released", "variants": plain}
    assert is_origin(beside, "dense") and not is_origin(beside, "int8")
    alone = {"baseline": "released", "variants": {"net": {}, "released": {"from": "net"}}}
    assert not is_origin(alone, "net"), "it is all that there is to judge"
    assert not is_origin({"baseline": "dense", "variants": {"dense": {}, "int8": {}}}, "dense")


def test_boards_are_checked_side_by_side_and_told_in_the_inventorys_order(tmp_path: Path) -> None:
    """None is answered before all have called: one by one, the first would wait in vain."""
    names = ["pi5", "nuc", "orin"]
    together = threading.Barrier(len(names))

    def answer(call: socket.socket, at: int) -> None:
        with call:
            together.wait(timeout=10)
            time.sleep(0.1 * (len(names) - at))  # the first to call is the last to be answered
            call.sendall(b"SSH-1.0-old\r\n")

    def serve() -> None:
        for at in range(len(names)):
            call, _ = listening.accept()
            threading.Thread(target=answer, args=(call, at), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        at = {"profile": "generic-linux", "host": "127.0.0.1", "port": port}
        lab = dict.fromkeys(names, at)
        (tmp_path / "lab.yaml").write_text(yaml.safe_dump({"devices": lab}, sort_keys=False))
        threading.Thread(target=serve, daemon=True).start()
        done = edgeproof("devices", "check", *names, "--inventory", "lab.yaml", "--json")
    rows = json.loads(done.stdout)
    assert [(row["device"], row["ready"]) for row in rows] == [(name, "no") for name in names]
    assert not together.broken and "1.0" in rows[0]["details"], rows
    assert done.exit_code == 4


def test_a_gate_whose_devices_all_fail_ends_with_4_and_tells_ci_so(tmp_path: Path) -> None:
    lab = {name: {"host": "127.0.0.1", "port": 1} for name in ("pi5", "nuc")}
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump({"devices": lab}))
    study = {
        "name": "away",
        "baseline": "dense",
        "variants": {"dense": {"model": str(DENSE)}},
        "runtimes": ["onnxruntime"],
        "gates": [{"metric": "latency_p50_ms", "max": 5}],
        "devices": list(lab),
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    told = ("-o", "junit.xml", "-o", "summary.md", "--annotations")
    done = edgeproof("gate", "study.yaml", "--progress", "none", *told)
    assert done.exit_code == 4 and isinstance(done.exception, SystemExit), done.output
    assert "Traceback" not in done.output
    assert done.stderr.splitlines()[-1].startswith("gate: inconclusive: 2 of 2 verdicts, such as")
    assert "--resume away-" in done.stderr, "what measures the rest"
    cases = [*ElementTree.parse(tmp_path / "junit.xml").iter("testcase")]
    assert [[part.tag for part in case] for case in cases] == [["error"], ["error"]]
    assert all("nothing listens on port 1" in str(case[0].text) for case in cases)
    summary = (tmp_path / "summary.md").read_text()
    assert "INCONCLUSIVE" in summary and "Device pi5 failed: " in summary
    assert done.stdout.count("::error title=inconclusive") == 2
    assert edgeproof("gate", "study.yaml", "--progress", "none", "--bisect").exit_code == 255
