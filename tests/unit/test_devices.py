"""Device profiles and the inventory."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import device_profiles
from harness.devices import DeviceProfile, choose, load_inventory, load_profile, profile_kinds
from harness.errors import InputError


def inventory(folder: Path, text: str) -> Path:
    path = folder / "inventory.yaml"
    path.write_text(text)
    return path


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_inventory(path)
    return str(caught.value)


# --- profiles


def test_the_kinds() -> None:
    expected = {"generic-linux", "intel-nuc-12-pro", "jetson-orin-nano", "raspberry-pi-5"}
    assert expected <= set(profile_kinds())


@pytest.mark.parametrize("kind", profile_kinds())
def test_every_profile_is_valid_and_uses_its_sources(kind: str) -> None:
    profile = load_profile(kind)
    used = {source for block in profile.blocks() for source in block.sources}
    assert used == set(profile.sources)


@pytest.mark.parametrize("kind", profile_kinds())
def test_every_fact_of_the_hardware_has_a_source_or_is_marked(kind: str) -> None:
    profile = load_profile(kind)
    for block in (profile.cpu, profile.accelerator, profile.memory, profile.price_usd):
        if block is None:
            continue
        facts = block.model_fields_set - {"sources", "unverified"}
        assert not facts or block.sources or facts <= set(block.unverified)


def test_the_readme_explains_every_key() -> None:
    text = (Path(device_profiles.__path__[0]) / "README.md").read_text()
    for key in DeviceProfile.model_fields:
        assert f"`{key}" in text, key


def test_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'raspberry-pi-5'"):
        load_profile("raspbery-pi5")


def test_a_profile_with_a_source_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = {"kind": "new", "title": "New", "cpu": {"soc": "x", "sources": ["documentaton"]}}
    (tmp_path / "new.yaml").write_text(yaml.safe_dump({**text, "sources": {"documentation": "d"}}))
    monkeypatch.setattr("harness.devices.resources.files", lambda _: tmp_path)
    with pytest.raises(InputError, match="unknown source 'documentaton'; did you mean"):
        load_profile("new")


def test_a_profile_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other-name.yaml").write_text("kind: new\ntitle: New\n")
    monkeypatch.setattr("harness.devices.resources.files", lambda _: tmp_path)
    with pytest.raises(InputError, match=r"the file is named other-name\.yaml"):
        load_profile("other-name")


# --- the inventory


def test_local_is_always_there(tmp_path: Path) -> None:
    only = load_inventory(None)
    assert list(only) == ["local"]
    local = only["local"]
    assert (local.profile, local.connection, local.root) == (
        "generic-linux",
        "local",
        "~/.edgeproof",
    )
    assert local.details().kind == "generic-linux"
    again = load_inventory(inventory(tmp_path, "devices: {pi5: {host: pi5.lab}}\n"))
    assert again["local"] == local
    assert again["pi5"].connection == "ssh"


def test_local_may_have_another_profile(tmp_path: Path) -> None:
    text = "devices:\n  local: {profile: intel-nuc-12-pro, root: /srv/edgeproof/}\n"
    local = load_inventory(inventory(tmp_path, text))["local"]
    assert (local.profile, local.connection) == ("intel-nuc-12-pro", "local")
    assert local.root == "/srv/edgeproof"


def test_files_of_an_entry(tmp_path: Path) -> None:
    text = (
        "devices:\n  pi5: {profile: raspberry-pi-5, host: pi5.lab, user: pi, port: 2222, "
        "identity_file: ~/.ssh/lab, known_hosts: known, ssh_config: /etc/lab, python: python3.11}\n"
    )
    device = load_inventory(inventory(tmp_path, text))["pi5"]
    assert device.identity_file == Path("~/.ssh/lab").expanduser()
    assert device.known_hosts == tmp_path / "known"
    assert device.ssh_config == Path("/etc/lab")
    assert (device.user, device.port, device.python) == ("pi", 2222, "python3.11")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{profile: raspbery-pi-5, host: h}", "unknown profile 'raspbery-pi-5'; did you mean"),
        ("{hots: h}", "unknown key 'hots'; did you mean 'host'?"),
        ("{}", "devices.pi5 (line 2): has no host\n  next: give host: NAME"),
        ("3", "devices.pi5 (line 2): must be a mapping"),
        ("null", "devices.pi5 (line 2): must be a mapping"),
        ("{host: ''}", "devices.pi5.host"),
        ("{host: -oProxyCommand=x}", "is no plain name"),
        ("{host: 'a; rm'}", "is no plain name"),
        ("{host: h, user: '$(x)'}", "is no plain name"),
        ("{host: h, port: 0}", "greater than or equal to 1; it is 0"),
        ("{host: h, port: 65536}", "less than or equal to 65535"),
        ("{host: h, port: '22'}", "should be a valid integer"),
        ("{host: h, root: /}", "must be a folder of its own"),
        ("{host: h, root: '~'}", "must be a folder of its own"),
        ("{host: h, root: ~/../x}", "must be a folder of its own"),
        ("{host: h, root: relative}", "must be a folder of its own"),
        ("{host: h, connection: serial}", "should be 'local' or 'ssh'; it is serial"),
        ("{host: h, connection: local}", "host is given, but connection: local has no use"),
        ("{host: h, name: x}", "unknown key 'name'"),
    ],
)
def test_bad_entry(tmp_path: Path, entry: str, expected: str) -> None:
    text = message(inventory(tmp_path, f"devices:\n  pi5: {entry}\n"))
    assert expected in text
    assert "next: " in text


def test_bad_inventories(tmp_path: Path) -> None:
    assert "devices: this key is missing" in message(inventory(tmp_path, "device: {}\n"))
    assert "devices (line 1): must be a mapping" in message(inventory(tmp_path, "devices: [a]\n"))
    assert "another name" in message(inventory(tmp_path, "devices: {local: {host: h}}\n"))
    assert "given twice" in message(inventory(tmp_path, "devices: {a: {}, a: {}}\n"))
    assert "no such file" in message(tmp_path / "none.yaml")


def test_choose() -> None:
    known = load_inventory(None)
    assert [device.name for device in choose(known, ["local", "local"])] == ["local"]
    with pytest.raises(InputError, match="unknown device 'locale'; did you mean 'local'"):
        choose(known, ["locale"])
