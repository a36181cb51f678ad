"""The probes on the files of a NUC, a Jetson, a Raspberry Pi and a machine without sensors."""

from __future__ import annotations

import json
import os

import pytest

from agents import probes
from agents.scenarios import sustained

CPU = "sys/devices/system/cpu/"
NUC = {
    "proc/stat": "cpu  10 0 20 3000 5 0 7 250 0 0\ncpu0 1 0 2 3 4 5 6 125 0 0\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.12 avg300=0.00 total=123456\nfull total=7\n",
    CPU + "cpu0/cpufreq/scaling_cur_freq": "2800125\n",
    CPU + "cpu10/cpufreq/scaling_cur_freq": "400000\n",
    CPU + "cpufreq/policy0/scaling_cur_freq": "1\n",
    CPU + "cpu0/thermal_throttle/core_throttle_count": "3\n",
    CPU + "cpu0/thermal_throttle/package_throttle_count": "5\n",
    CPU + "cpu10/thermal_throttle/core_throttle_count": "4\n",
    CPU + "cpu10/thermal_throttle/package_throttle_count": "5\n",
    "sys/class/hwmon/hwmon0/name": "nvme\n",
    "sys/class/hwmon/hwmon0/temp1_input": "38850\n",
    "sys/class/hwmon/hwmon7/name": "coretemp\n",
    "sys/class/hwmon/hwmon7/temp1_input": "61000\n",
    "sys/class/hwmon/hwmon7/temp2_input": "64000\n",
    "sys/class/hwmon/hwmon7/temp1_crit": "100000\n",
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "27800\n",
    "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone1/temp": "61000\n",
}
JETSON = {
    "proc/stat": "cpu  10 0 20 3000 5 0 7 0 0 0\n",
    CPU + "cpu0/cpufreq/scaling_cur_freq": "1728000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48500\n",
    "sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",  # without power: it does not answer
    "sys/class/thermal/thermal_zone2/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "-256000\n",  # without power, on an older kernel
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",  # the zone, once more
    "sys/class/hwmon/hwmon0/temp1_input": "48500\n",
    "sys/class/hwmon/hwmon2/name": "ina3221\n",
    "sys/class/hwmon/hwmon2/oc1_event_cnt": "99\n",
    "sys/class/hwmon/hwmon4/name": "soctherm_oc\n",
    "sys/class/hwmon/hwmon4/oc1_event_cnt": "0\n",
    "sys/class/hwmon/hwmon4/oc2_event_cnt": "12\n",
    "sys/class/hwmon/hwmon4/oc3_event_cnt": "3\n",
}
PI = {
    "proc/stat": "cpu  10 0 20 3000\n",
    CPU + "cpu3/cpufreq/scaling_cur_freq": "600000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "85110\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}
READINGS = {
    "nuc": {
        "clock": {"0": 2800.125, "10": 400.0},
        "pressure": 123456,
        "steal": 250 / os.sysconf("SC_CLK_TCK"),
        "temperature": {"acpitz": 27.8, "coretemp": 64.0, "nvme": 38.85, "x86_pkg_temp": 61.0},
        "throttling": {"core_throttle_count": 7, "package_throttle_count": 10},
    },
    "jetson": {
        "clock": {"0": 1728.0},
        "pressure": None,
        "steal": 0.0,
        "temperature": {"cpu-thermal": 48.5},
        "throttling": {"oc1_event_cnt": 0, "oc2_event_cnt": 12, "oc3_event_cnt": 3},
    },
    "pi": {
        "clock": {"3": 600.0},
        "pressure": None,
        "steal": None,
        "temperature": {"cpu-thermal": 85.11},
        "throttling": {"get_throttled": 0x50005},
    },
    "nothing": dict.fromkeys(["clock", "pressure", "steal", "temperature", "throttling"]),
}
TREES = {"nuc": NUC, "jetson": JETSON, "pi": PI, "nothing": {}}


def lay_out(root, files):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


@pytest.mark.parametrize("board", sorted(TREES))
def test_what_the_probes_read(tmp_path, board):
    lay_out(tmp_path, TREES[board])
    found = probes.read_all(str(tmp_path))
    assert found == READINGS[board]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("board", "cpus", "clock"),
    [
        ("nuc", [10], {"10": 400.0}),
        ("nuc", [0, 1, 10], {"0": 2800.125, "10": 400.0}),
        ("jetson", [0], {"0": 1728.0}),
        ("pi", [0], None),
        ("pi", [3], {"3": 600.0}),
        ("nothing", [0], None),
    ],
)
def test_between_minutes_of_load_only_heat_is_read_and_only_the_cells_clock(
    tmp_path, board, cpus, clock
):
    lay_out(tmp_path, TREES[board])
    found = sustained.heat(cpus, str(tmp_path))
    kept = {name: READINGS[board][name] for name in ("throttling", "temperature")}
    assert found == {"clock": clock, **kept}
    assert json.loads(json.dumps(found)) == found


def test_heat_is_read_anew_each_time(tmp_path):
    lay_out(tmp_path, PI)
    before = sustained.heat([3], str(tmp_path))
    hot = {"sys/class/thermal/thermal_zone0/temp": "86000\n"}
    lay_out(tmp_path, {**hot, CPU + "cpu3/cpufreq/scaling_cur_freq": "500000\n"})
    after = sustained.heat([3], str(tmp_path))
    assert (before["temperature"], before["clock"]) == ({"cpu-thermal": 85.11}, {"3": 600.0})
    assert (after["temperature"], after["clock"]) == ({"cpu-thermal": 86.0}, {"3": 500.0})


def test_files_that_hold_something_else_are_no_reading(tmp_path):
    lay_out(tmp_path, dict.fromkeys([*NUC, *JETSON, *PI], "<unknown>\n"))
    assert probes.read_all(str(tmp_path)) == READINGS["nothing"]


def test_every_probe_says_what_it_measures():
    for name in probes.names():
        probe = probes.find(name)
        assert probe.UNIT and probe.__doc__, name
