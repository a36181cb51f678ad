"""The lab's devices: which boards there are, how to reach them, what kind each is."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

import device_profiles
from agents import backends
from harness import documents
from harness.documents import Model, refused, unknown
from harness.errors import InputError
from harness.fields import Slug, Text
from harness.labels import Label
from reports.run import Run

LOCAL = "local"
DEFAULT_PROFILE = "generic-linux"
DEFAULT_ROOT = "~/.edgeproof"

Positive = Annotated[float, Field(gt=0)]


class Facts(Model):
    """A block of facts: `sources` are keys of the profile's own sources."""

    sources: tuple[Text, ...] = ()
    # Names of facts in this block that no primary source confirms.
    unverified: tuple[Text, ...] = ()


class Cluster(Model):
    """Cores of one kind."""

    cores: Annotated[int, Field(ge=1)]
    core: Text
    max_mhz: Positive | None = None


class Cpu(Facts):
    """The processor."""

    soc: Text | None = None
    clusters: tuple[Cluster, ...] = ()
    threads: int | None = None
    isa: tuple[Text, ...] = ()


class Accelerator(Facts):
    """What computes beside the processor."""

    name: Text
    max_mhz: Positive | None = None
    features: tuple[Text, ...] = ()


class Memory(Facts):
    """Memory sizes that the board is sold with, and its bandwidth."""

    gib: tuple[Positive, ...] = ()
    bandwidth_gb_s: Positive | None = None


class Price(Facts):
    """What a board costs; as_of is a month, since prices move."""

    value: Positive
    of: Text
    as_of: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]


class PowerMode(Model):
    """One setting of the board's power limit."""

    name: Text
    watts: Positive | None = None
    gpu_max_mhz: Positive | None = None


class Power(Facts):
    """Power modes and where they are read from."""

    modes: tuple[PowerMode, ...] = ()
    read: Text | None = None
    pl1_watts: Positive | None = None
    pl2_watts: Positive | None = None


class Image(Facts):
    """An operating system image: its Python, its glibc, the newest runtimes with wheels for it."""

    name: Text
    python: Text
    glibc: Text
    wheels: dict[Text, Text | None] = Field(default_factory=dict)


class Sensor(Facts):
    """Where a probe reads: files as globs, or a command."""

    measures: Literal["temperature", "throttling", "clock", "governor", "power", "load"]
    read: Text
    note: Text | None = None


class Trap(Facts):
    """What spoils a measurement on this kind of board."""

    text: Text


def _requirement(value: str) -> str:
    try:
        Requirement(value)
    except InvalidRequirement as error:
        raise refused(f"'{documents.shortened(value)}' is no requirement: {error}") from None
    return value


class Pin(Model):
    """What a kind of board gives a runtime instead of what its backend says."""

    # What to install.
    requires: (
        Annotated[tuple[Annotated[Text, AfterValidator(_requirement)], ...], Field(min_length=1)]
        | None
    ) = None
    # In the runtime's own words: options of a provider, properties of a compilation.
    options: dict[Text, bool | int | float | str] = Field(default_factory=dict)


class DeviceProfile(Model):
    """A kind of board: device_profiles/<kind>.yaml."""

    kind: Slug
    title: Text
    vendor: Text | None = None
    architecture: Literal["x86_64", "aarch64", "armv7l"] | None = None
    compatible: Text | None = None
    cpu: Cpu = Cpu()
    accelerator: Accelerator | None = None
    memory: Memory = Memory()
    price_usd: Price | None = None
    power: Power = Power()
    images: tuple[Image, ...] = ()
    sensors: tuple[Sensor, ...] = ()
    traps: tuple[Trap, ...] = ()
    runtimes: dict[Label, Literal["system"] | Pin] = Field(default_factory=dict)  # by label
    sources: dict[Text, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sources_exist(self) -> DeviceProfile:
        for block in self.blocks():
            for source in block.sources:
                if source not in self.sources:
                    raise refused(unknown("source", source, self.sources))
            for fact in block.unverified:
                if fact not in type(block).model_fields:
                    raise refused(unknown("fact", fact, type(block).model_fields))
        return self

    def pin(self, label: str) -> Literal["system"] | Pin | None:
        """Return what it says about the very target of a runtime's label."""
        name, target = backends.name_of(label), backends.target_of(label)
        found = self.runtimes.get(f"{name}:{target}")
        usual = target == backends.targets(name)[0]
        return self.runtimes.get(name) if found is None and usual else found

    def options(self, label: str) -> dict[str, Any]:
        """Return the options of a runtime's label."""
        pin = self.pin(label)
        return dict(pin.options) if isinstance(pin, Pin) else {}

    def blocks(self) -> list[Facts]:
        """List the blocks that hold facts."""
        single = [self.cpu, self.memory, self.power, self.accelerator, self.price_usd]
        many: list[Facts] = [*self.images, *self.sensors, *self.traps]
        return [block for block in single if block is not None] + many


def profile_kinds() -> list[str]:
    """List the kinds of boards that have a profile."""
    files = resources.files(device_profiles).iterdir()
    return sorted(Path(item.name).stem for item in files if item.name.endswith(".yaml"))


@functools.cache
def load_profile(kind: str) -> DeviceProfile:
    """Read the profile of a kind of board."""
    if kind not in profile_kinds():
        raise InputError(
            unknown("profile", kind, profile_kinds()),
            where="device_profiles",
            next_step="name one of these, or add device_profiles/<kind>.yaml",
        )
    source = resources.files(device_profiles) / f"{kind}.yaml"
    with resources.as_file(source) as path:
        document = documents.read(path)
        profile = documents.validate(DeviceProfile, document)
        if profile.kind != kind:
            wrong = documents.problem(document, ("kind",), f"the file is named {kind}.yaml")
            raise documents.failure(path, [wrong])
    return profile


def prices(run: Run) -> dict[str, dict[str, Any]]:
    """What each device of a run costs, as its profile has it: value (USD), of, as_of."""
    kinds = {device.name: device.profile for device in run.devices}
    known = {name: kind for name, kind in kinds.items() if kind in profile_kinds()}
    found = {name: load_profile(kind).price_usd for name, kind in known.items()}
    keys = {"value", "of", "as_of"}
    return {name: price.model_dump(include=keys) for name, price in found.items() if price}


def _known_profile(kind: str) -> str:
    if kind not in profile_kinds():
        raise refused(unknown("profile", kind, profile_kinds()))
    return kind


def _plain_word(value: str) -> str:
    """Refuse what a shell or ssh would read as more than a name."""
    if value.startswith("-") or not re.fullmatch(r"[^\s'\"`$;&|<>\\]+", value):
        raise refused(f"'{documents.shortened(value)}' is no plain name")
    return value


def _root(value: str) -> str:
    parts = [part for part in value.split("/") if part not in ("", ".", "~")]
    if not value.startswith(("/", "~/")) or not parts or ".." in parts or "\n" in value:
        raise refused("must be a folder of its own: ~/NAME or an absolute path")
    return value.rstrip("/")


Word = Annotated[Text, AfterValidator(_plain_word)]
File = Annotated[Path, BeforeValidator(lambda value: str(value) if value is not None else value)]


class Device(Model):
    """One board with an address."""

    name: Slug
    profile: Annotated[Text, AfterValidator(_known_profile)] = DEFAULT_PROFILE
    connection: Literal["local", "ssh"] = "ssh"
    host: Word | None = None
    user: Word | None = None
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = None
    identity_file: File | None = None
    known_hosts: File | None = None
    ssh_config: File | None = None
    root: Annotated[Text, AfterValidator(_root)] = DEFAULT_ROOT
    python: Text = "python3"

    @model_validator(mode="after")
    def _address_fits_connection(self) -> Device:
        if self.connection == "ssh" and self.host is None:
            raise refused("has no host", "give host: NAME, or connection: local")
        extra = [key for key in SSH_KEYS if getattr(self, key) is not None]
        if self.connection == "local" and extra:
            raise refused(f"{extra[0]} is given, but connection: local has no use for it")
        return self

    def details(self) -> DeviceProfile:
        """Return the profile that this board is of."""
        return load_profile(self.profile)


SSH_KEYS = ("host", "user", "port", "identity_file", "known_hosts", "ssh_config")
FILE_KEYS = ("identity_file", "known_hosts", "ssh_config")


class Inventory(Model):
    """The inventory file."""

    devices: Annotated[dict[Slug, Device], Field(max_length=10_000)]

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: object) -> object:
        """Hand each entry its name, and say `local` where the entry is this machine."""
        if not isinstance(data, dict) or not isinstance(data.get("devices"), dict):
            return data
        entries = {name: _entry(name, entry) for name, entry in data["devices"].items()}
        return {**data, "devices": entries}

    @model_validator(mode="after")
    def _local_is_local(self) -> Inventory:
        if LOCAL in self.devices and self.devices[LOCAL].connection != "local":
            raise refused("devices.local is this machine; give a remote board another name")
        return self


def _entry(name: object, entry: object) -> object:
    if entry is None and name == LOCAL:
        entry = {}
    if not isinstance(entry, dict):
        return entry
    if "name" in entry:
        raise refused(f"devices.{name}: unknown key 'name'; the key above it is the name")
    # This machine's interpreter is at hand: no need to trust what `python3` means on its PATH.
    here = {"connection": "local", "python": sys.executable}
    return {**(here if name == LOCAL and "host" not in entry else {}), **entry, "name": name}


def load_inventory(path: Path | None) -> dict[str, Device]:
    """Read an inventory file; `local` is always there."""
    local = Device(name=LOCAL, connection="local", python=sys.executable)
    if path is None:
        return {LOCAL: local}
    inventory = documents.validate(Inventory, documents.read(path))
    devices = {name: _absolute(device, path.parent) for name, device in inventory.devices.items()}
    return {LOCAL: local, **devices}


def choose(inventory: Mapping[str, Device], names: Iterable[str]) -> list[Device]:
    """Return the named devices; an unknown name is an InputError that names the nearest one."""
    chosen = []
    for name in dict.fromkeys(names):
        if name not in inventory:
            raise InputError(
                unknown("device", name, inventory),
                where="devices",
                next_step=f"edgeproof devices add {name} USER@HOST, or give --inventory FILE",
            )
        chosen.append(inventory[name])
    return chosen


def _absolute(device: Device, folder: Path) -> Device:
    """Make the files of an entry independent of the current folder; ~ is the user's home."""
    files = {key: getattr(device, key) for key in FILE_KEYS}
    return device.model_copy(
        update={key: folder / file.expanduser() for key, file in files.items() if file is not None}
    )
