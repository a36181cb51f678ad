"""Which profile fits a board, and how an address is read."""

from __future__ import annotations

from typing import Any

import pytest

from harness.newcomer import device_at, entry, fitting

PI5 = "raspberrypi,5-model-b\0brcm,bcm2712\0"
JETSON = "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0"


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"board": PI5, "cpu_model": "Raspberry Pi 5 Model B Rev 1.0"}, "raspberry-pi-5"),
        ({"board": JETSON, "cpu_model": None}, "jetson-orin-nano"),
        ({"board": None, "cpu_model": "12th Gen Intel(R) Core(TM) i5-1240P"}, "intel-nuc-12-pro"),
        ({"board": "raspberrypi,4-model-b\0", "cpu_model": "BCM2835"}, "generic-linux"),
        ({"board": None, "cpu_model": None}, "generic-linux"),
    ],
)
def test_the_board_says_what_it_is(facts: dict[str, Any], kind: str) -> None:
    found, why = fitting({"machine": "aarch64", **facts})
    assert found == kind and why


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("pi5.lab", {"host": "pi5.lab"}),
        ("pi@pi5.lab", {"host": "pi5.lab", "user": "pi"}),
        ("pi@pi5.lab:22", {"host": "pi5.lab", "user": "pi"}),
        ("pi5.lab:2222", {"host": "pi5.lab", "port": 2222}),
        ("pi@fe80::1", {"host": "fe80::1", "user": "pi"}),
    ],
)
def test_an_address_is_read_as_ssh_has_it(address: str, said: dict[str, Any]) -> None:
    assert entry(device_at("pi5", address)) == {"profile": "generic-linux", **said}
