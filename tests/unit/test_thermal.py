"""Temperature and clocks over the run: what the probes read, what is drawn, what is not known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from run_builder import RunBuilder, blocks, cell, cell_launch, every_scenario
from run_builder import heating as heat_of_builder

from agents import wire
from harness.rows import launch_record, launch_row
from reports.clock import NO_CLOCK, NO_HIGHEST
from reports.document import build
from reports.heat import HEAT, NO_COUNTER, NO_SENSOR, UNREAD
from reports.layout import Section
from reports.run import DeviceRecord, Run
from reports.sections import thermal as thermal_section
from reports.sections.thermal import MOST_LAUNCHES
from reports.text import NOTHING
from reports.thermal import NO_LAUNCH, SET_BACK, UNTIMED, thermal

ALLOWED = {"clocks": {"scaling_max_freq": "2400000"}}


def reading(celsius: float | None, mhz: float | None, bits: int = 0) -> dict[str, Any]:
    return {
        "temperature": None if celsius is None else {"cpu-thermal": celsius, "nvme": celsius - 20},
        "clock": None if mhz is None else {"0": mhz, "1": 600.0},
        "throttling": {"get_throttled": bits},
    }


def heating(
    launches: int = 6,
    facts: Mapping[str, Any] = ALLOWED,
    mhz: float | None = 2400.0,
    **changes: Any,
) -> Run:
    """Each launch is 5 degrees hotter; from 80 on it throttles. Cells run on processor 0."""
    made = RunBuilder()
    for variant in ("dense", "int8"):
        made.add_cell(cell(variant))
    for at in range(launches):
        hot = 60.0 + 5 * at
        before, after = reading(hot, mhz), reading(hot + 5, mhz)
        if hot + 5 > 80:
            after = reading(hot + 5, mhz and mhz / 2, bits=0x4)
        around: Any = {"before": before, "after": after} | changes
        for variant in ("dense", "int8"):
            launch = cell_launch(cell(variant)["id"], blocks(2.0, made.rng, 1))
            made.add_launch("g", at, launch, around=around)
    run = made.build()
    return replace(run, devices=[replace(run.devices[0], facts=dict(facts))])


def section(run: Run) -> Section:
    return thermal_section.section(build(run))


def drawn(found: Section) -> list[list[dict[str, Any]]]:
    """The points of its one chart: temperature, clock, and what is shaded."""
    [chart] = found.charts
    sets = list(chart.draw()["datasets"].values())
    keys = ("sensor", "value", "from")
    return [
        next((s for s in sets if key in s[0] and (key != "value" or "sensor" not in s[0])), [])
        for key in keys
    ]


def test_a_launch_of_a_group_is_one_row_with_its_time_and_share_of_the_highest_clock() -> None:
    [device] = thermal(heating())
    rows = device["launches"]
    assert [row["at_s"] for row in rows] == [0.0, 2.5, 5.0, 7.5, 10.0, 12.5]
    assert rows[0]["temperature_c"] == {"cpu-thermal": [60.0, 65.0], "nvme": [40.0, 45.0]}
    assert rows[0]["clock_share"] == [1.0, 1.0] and rows[-1]["clock_share"] == [1.0, 0.5]
    assert [row["throttled"] for row in rows] == [None] * 4 + ["throttled"] * 2
    told = {
        key: device[key] for key in ("hottest_c", "hottest_sensor", "lowest_share", "throttled")
    }
    assert told == {
        "hottest_c": 90.0,
        "hottest_sensor": "cpu-thermal",
        "lowest_share": 0.5,
        "throttled": 2,
    }
    assert device["reasons"] == {}


def test_it_is_told_and_drawn_with_what_throttled_shaded() -> None:
    found = section(heating())
    assert found.points == [
        (
            "pi5",
            "at most 90.0 °C (cpu-thermal); clock at least 50.0% of its highest, 2,400 MHz; "
            "throttled in 2 of 6 launches.",
        )
    ]
    heat, clocks, shaded = drawn(found)
    assert {point["sensor"] for point in heat} == {"cpu-thermal", "nvme"}
    assert max(point["value"] for point in heat) == 90.0
    assert sorted({point["value"] for point in clocks}) == [0.5, 1.0]
    assert [(span["from"], span["to"]) for span in shaded] == [(10.0, 14.5)]
    assert not found.detail, "throttling is no detail"
    [table] = found.tables
    assert table.rows[-1][3:6] == ["85.0 to 90.0", "65.0 to 70.0", "2,400 to 1,200"]


def test_a_long_run_is_thinned_but_what_throttled_is_shaded_whole() -> None:
    found = section(heating(launches=3 * MOST_LAUNCHES))
    heat, clocks, shaded = drawn(found)
    last = 2.5 * (3 * MOST_LAUNCHES - 1) + 2.0
    assert [(span["from"], span["to"]) for span in shaded] == [(10.0 / 60, last / 60)]
    assert (len(heat), len(clocks)) == (2 * 2 * MOST_LAUNCHES, 2 * MOST_LAUNCHES)
    assert "not every launch is drawn" in found.charts[0].caption
    assert len(found.tables[0].rows) == 3 * MOST_LAUNCHES


def test_what_a_machine_does_not_tell_is_said_and_not_drawn() -> None:
    silent = {"before": {}, "after": {}}
    found = section(heating(facts={}, **silent))
    assert found.points == [("pi5", f"{NO_SENSOR}; {NO_CLOCK}.")]
    assert not found.charts and not found.tables and not found.words and found.detail
    nothing = section(RunBuilder().build())
    assert nothing.points == [("pi5", f"{NO_LAUNCH}.")] and not nothing.charts
    clock_only = section(heating(before=reading(None, 2400.0), after=reading(None, 2400.0)))
    assert drawn(clock_only)[0] == [] and drawn(clock_only)[1]
    heat_only = section(heating(mhz=None))
    assert drawn(heat_only)[1] == [] and drawn(heat_only)[0]


def test_a_share_needs_the_highest_clock_of_these_processors() -> None:
    [unknown] = thermal(heating(facts={}))
    assert unknown["reasons"] == {"clock_share": NO_HIGHEST}
    [little] = thermal(heating(facts={"clocks": {"scaling_max_freq": "1800000"}}))
    assert "others run at 2,400 MHz" in little["reasons"]["clock_share"]
    assert little["lowest_mhz"] == 1200.0 and little["lowest_share"] is None
    assert "clock at least 1,200 MHz" in section(heating(facts={})).points[0][1]


def test_launches_without_a_time_are_listed_and_not_drawn() -> None:
    run = heating()
    untimed = replace(run, launches=[replace(each, started=None) for each in run.launches])
    last = replace(run.launches[-1], started=run.launches[0].started - 3600, ordinal=9)  # type: ignore[operator]
    set_back = replace(run, launches=[*run.launches, last])
    for wrong, reason in ((untimed, UNTIMED), (set_back, SET_BACK)):
        found = section(wrong)
        assert reason in found.points[0][1]
        assert not found.charts and found.tables[0].rows


def test_devices_are_told_apart() -> None:
    run = heating()
    other = DeviceRecord("nuc", "intel-nuc-12-pro", "failed", "no route to host")
    found = thermal(replace(run, devices=[*run.devices, other]))
    assert [(each["device"], each["count"]) for each in found] == [("pi5", 6), ("nuc", 0)]


def loaded(*launches: list[wire.Reading], facts: Mapping[str, Any] = ALLOWED) -> Run:
    """One cell under a load of three minutes; each launch's readings, empty as it once was."""
    made = RunBuilder()
    one = cell("dense", scenario=wire.SUSTAINED)
    made.add_cell(one)
    for at, readings in enumerate(launches):
        minutes = blocks(4.0, made.rng, 3, 300)
        made.add_launch("g", at, cell_launch(one["id"], minutes, readings=readings))
    run = made.build()
    return replace(run, devices=[replace(run.devices[0], facts=dict(facts))])


def lasting(run: Run) -> tuple[dict[str, Any], dict[str, str]]:
    """What its one cell tells of the load, and why it does not tell the rest."""
    [row] = build(run)["results"]
    return row["sustained"], row["reasons"]


def panels(spec: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """The points of each panel: those of its lines, and then those of its diamonds."""
    panels = [(panel, layer) for panel in spec["vconcat"] for layer in panel["layer"]]
    data = [layer.get("data") or panel.get("data") or spec["data"] for panel, layer in panels]
    return [spec["datasets"][each["name"]] for each in data]


def test_a_lasting_load_is_drawn_over_its_first_minute() -> None:
    document = build(every_scenario().build())
    rows = [row for row in document["results"] if row["sustained"]]
    for row in rows:
        minutes = row["sustained"]["minutes"]
        assert row["sustained"]["over_first"] == [minute / minutes[0] for minute in minutes]
    found = thermal_section.section(document)
    assert "lasting load" in found.charts[-1].caption
    points = panels(found.charts[-1].draw())[0]
    told = [ratio for row in rows for ratio in row["sustained"]["over_first"]]
    assert sorted(point["value"] for point in points) == sorted(told)


def test_heat_is_drawn_below_the_minutes_of_a_load_and_throttling_marks_them() -> None:
    run = loaded(heat_of_builder(3))
    load, reasons = lasting(run)
    assert load["temperature_c"]["cpu-thermal"] == [55.0, 67.5, 80.0, 92.5]
    assert load["clock_mhz"] == [2400.0, 2400.0, 1500.0, 1500.0]
    assert load["clock_share"] == [1.0, 1.0, 0.625, 0.625]
    assert load["throttled"] == [None, "throttled", "throttled"]
    assert not [path for path in reasons if path.startswith("sustained") and "ci" not in path]
    found = section(run)
    ratios, diamonds, heat, clocks = panels(found.charts[-1].draw())
    assert [point["minute"] for point in ratios] == [1, 2, 3]
    assert [point["minute"] for point in diamonds] == [2, 3]
    assert [(p["minute"], p["value"]) for p in heat][::3] == [(0, 55.0), (3, 92.5)]
    assert [p["value"] for p in clocks] == load["clock_share"]
    assert found.charts[-1].caption.endswith("diamonds: throttled")
    shown = found.tables[-1].rows[0][-3:]
    assert shown == [
        "cpu-thermal: 55.0, 67.5, 80.0, 92.5",
        "100.0%, 100.0%, 62.5%, 62.5%",
        f"{NOTHING}; throttled; throttled",
    ]
    assert "after each minute" in found.words[0]


def test_what_was_read_within_a_load_counts_for_its_device_and_its_flags() -> None:
    """Around the launch it is 55.6 degrees at most, at 2,400 MHz, and nothing throttles."""
    run = loaded(heat_of_builder(3))
    [device] = thermal(run)
    told = ("hottest_c", "hottest_sensor", "lowest_mhz", "lowest_share", "throttled")
    assert [device[key] for key in told] == [92.5, "cpu-thermal", 1500.0, 0.625, 1]
    assert device["launches"][0]["temperature_c"] == {"cpu-thermal": [51.2, 55.6]}
    [row] = build(run)["results"]
    assert row["noise"]["temperature_c"] == [55.0, 92.5]
    assert row["noise"]["clock_mhz"] == [1500.0, 2400.0]
    assert "throttled in 1 of 1 launches: throttled" in row["flags"]
    assert "warmed by up to 37.5 degrees within a launch" in row["flags"]
    assert not section(run).detail


def test_throttling_is_blamed_on_the_cell_during_whose_minutes_it_was() -> None:
    """One launch of two cells, each alone in turn: by its end the counter has risen."""
    made = RunBuilder()
    cool, hot = heat_of_builder(2, throttles_at=9), heat_of_builder(2)
    before, after = reading(50.0, 2400.0), reading(90.0, 1500.0, bits=0x4)
    for variant, readings in (("int8", cool), ("dense", hot)):
        one = cell(variant, scenario=wire.SUSTAINED)
        made.add_cell(one)
        launch = cell_launch(one["id"], blocks(2.0, made.rng, 2, 300), readings=readings)
        made.add_launch("g", 0, launch, around={"before": before, "after": after})
    run = made.build()
    int8, dense = build(run)["results"]
    assert int8["sustained"]["throttled"] == [None, None]
    assert not [flag for flag in int8["flags"] if "throttled" in flag]
    assert [flag for flag in dense["flags"] if "throttled" in flag]
    [device] = thermal(run)
    assert (device["throttled"], device["hottest_c"]) == (1, 90.0)


def test_of_several_launches_the_hottest_and_the_slowest_are_told() -> None:
    cool = heat_of_builder(3, throttles_at=9)
    load, _ = lasting(loaded(cool, heat_of_builder(3), heat_of_builder(3, throttles_at=3)))
    assert load["clock_mhz"] == [2400.0, 2400.0, 1500.0, 1500.0]
    assert load["throttled"] == [None, "throttled", "throttled"]
    # A launch that was stored before minutes were read takes nothing from the others.
    mixed, _ = lasting(loaded([], cool))
    assert mixed["clock_mhz"] == [2400.0] * 4 and mixed["throttled"] == [None] * 3


def test_minutes_that_nobody_read_are_null_with_the_reason() -> None:
    silent: wire.Reading = {"clock": None, "throttling": None, "temperature": None}
    load, reasons = lasting(loaded([silent] * 4))
    assert [load[name] for name in HEAT] == [None] * 4
    whys = [NO_SENSOR, NO_CLOCK, NO_CLOCK, NO_COUNTER]
    assert [reasons[f"sustained.{name}"] for name in HEAT] == whys
    older = loaded([])
    load, reasons = lasting(older)
    assert [load[name] for name in HEAT] == [None] * 4
    assert [reasons[f"sustained.{name}"] for name in HEAT] == [UNREAD] * 4
    found = section(older)
    assert len(panels(found.charts[-1].draw())) == 1 and "clock" not in found.charts[-1].caption
    assert f"Of the minutes under a lasting load: {UNREAD}." in found.words
    unknown, reasons = lasting(loaded(heat_of_builder(3), facts={}))
    assert unknown["clock_share"] is None and unknown["clock_mhz"]
    assert reasons["sustained.clock_share"] == NO_HIGHEST


def test_the_store_keeps_when_a_launch_began_and_reads_older_ones() -> None:
    record = heating().launches[1]
    event: Any = {
        "group": "g",
        "ordinal": 0,
        "started": 1.8e9,
        "seconds": 2.0,
        "interleaved": True,
        "conditions": record.conditions,
    }
    row = launch_row("run", "pi5", event, record.launch)
    assert launch_record(SimpleNamespace(**row)) == replace(record, started=1.8e9)
    older = {**row, "record": {k: v for k, v in row["record"].items() if k != "started"}}
    assert launch_record(SimpleNamespace(**older)).started is None


def test_the_store_keeps_what_was_read_minute_by_minute_and_reads_older_ones() -> None:
    record = loaded(heat_of_builder(3)).launches[0]
    about: Any = {"group": "g", "ordinal": 0, "started": 1.8e9, "seconds": 2.0}
    event: Any = {**about, "interleaved": False, "conditions": record.conditions}
    row = launch_row("run", "pi5", event, record.launch)
    kept = {**row, "record": json.loads(json.dumps(row["record"]))}
    told = launch_record(SimpleNamespace(**kept))
    assert told.launch["readings"] == heat_of_builder(3)
    older = {**row, "record": {k: v for k, v in row["record"].items() if k != "readings"}}
    assert launch_record(SimpleNamespace(**older)).launch["readings"] == []
