# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios of the simulated inverter, by name and from files, and the command that runs them."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from nutdrv_py.protocols.rct.frame import read_request
from nutdrv_py.protocols.rct.objects import BY_NAME
from nutdrv_py.protocols.rct.reader import FrameReader
from nutdrv_py.simulators.rct import SCENARIOS, InverterSimulator, Mode, load_scenario, meters
from nutdrv_py.simulators.stories import ScenarioError
from tests.simulators.command import simulated

WANTED = (
    "online",
    "outage",
    "outage-no-switch",
    "low-battery",
    "empty",
    "night",
    "night-off",
    "calibration",
    "faults",
    "second-tower",
    "no-battery",
    "noisy",
    "foreign",
    "bootloader",
    "asleep",
    "flapping",
    "demo",
    "solar-island",
)


def at(name: str) -> Callable[[float], InverterSimulator]:
    """The scenario at a moment; moments only rise."""
    sim = InverterSimulator(name, clock=lambda: 0.0)

    def go(seconds: float) -> InverterSimulator:
        sim.skip(seconds - sim.seconds)
        return sim

    return go


def test_the_table_is_complete() -> None:
    assert tuple(SCENARIOS) == WANTED
    assert all(scenario.title and scenario.name == name for name, scenario in SCENARIOS.items())


def test_outage() -> None:
    go = at("outage")
    assert go(29).value("prim_sm.island_flag") == 2
    assert go(31).value("prim_sm.island_flag") == 3
    assert go(335).value("rb485.u_l_grid[0]") > 200
    assert go(335).value("power_mng.is_grid") is False
    assert go(391).value("power_mng.is_grid") is True


def test_outage_no_switch() -> None:
    go = at("outage-no-switch")
    assert go(29).reachable
    assert not go(31).reachable
    assert go(331).reachable


def test_low_battery() -> None:
    go = at("low-battery")
    assert go(11).value("battery.soc") > 0.19
    assert go(320).value("battery.soc") < 0.15
    assert go(320).house.mode is Mode.ISLAND


def test_empty() -> None:
    go = at("empty")
    assert go(200).house.mode is Mode.ISLAND
    exhausted = next(second for second in range(200, 1000, 5) if go(second).house.mode is Mode.EXHAUSTED)
    assert go(exhausted).reachable
    assert not go(exhausted + 31).reachable
    assert go(1801).reachable
    assert go(1900).value("power_mng.is_grid") is True


def test_nights() -> None:
    assert at("night")(60).value("prim_sm.state") == 6
    go = at("night-off")
    assert go(29).reachable
    assert not go(31).reachable
    assert go(631).reachable


def test_calibration_and_faults() -> None:
    go = at("calibration")
    assert [go(second).value("battery.status2") for second in (0, 31, 331, 631)] == [0, 1 << 10, 1 << 3, 0]
    go = at("faults")
    assert [sorted(meters.fault_bits(go(second).house)) for second in (0, 31, 91, 151, 211)] == [[], [18], [18, 107], [105], []]


def test_solar_island_charges() -> None:
    go = at("solar-island")
    before = go(31).value("battery.soc")
    assert go(31).value("g_sync.p_acc_lp") < -2000
    assert go(300).value("battery.soc") > before


def test_flapping_never_connects_in_between() -> None:
    go = at("flapping")
    assert {go(second).value("power_mng.is_grid") for second in range(31, 220, 3)} == {False}
    assert go(275).value("power_mng.is_grid") is True


def test_bootloader_and_back() -> None:
    go = at("bootloader")
    assert [go(second).line.bootloader for second in (0, 31, 331)] == [False, True, False]


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "storm.yaml"
    path.write_text(
        """
base: noisy
title: A storm
house: {modules: 4, soc: 55, load_split: [1, 2, 1], calibration: high}
line: {drop: 0.2, foreign: yes, mute: [battery.soh]}
timeline:
  - {at: 30, set: {grid: outage, load: 900.5, override: {battery.soc: 0.5}}}
  - {at: 10, set: {offline: true}}
  - {at: 60, set: {grid: on, offline: no, faults: [25]}}
""",
        encoding="utf-8",
    )
    sim = InverterSimulator(load_scenario(str(path)), clock=lambda: 0.0)
    assert (sim.scenario.name, sim.scenario.title) == ("storm", "A storm")
    assert (sim.line.drop, sim.line.corrupt, sim.line.foreign, sim.line.mute) == (0.2, 0.05, 1.0, ("battery.soh",))
    sim.skip(40)
    assert not sim.reachable
    assert sim.value("g_sync.p_ac_load[1]") == pytest.approx(900.5 / 2)
    assert sim.value("battery.soc") == 0.5
    sim.skip(40)
    assert sim.reachable
    assert meters.fault_bits(sim.house) == {25}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hous: {}", 'no key "hous" .did you mean "house"'),
        ("house: {modles: 3}", 'did you mean "modules"'),
        ("house: {modules: 2.5}", "whole number"),
        ("line: {dropp: 0.1}", 'did you mean "drop"'),
        ("line: {drop: often}", "number"),
        ("timeline: [{at: 3, set: {grid: gone}}]", "grid cannot be"),
        ("timeline: [{at: 3, set: {drop: 3}}]", "0 to 1"),
        ("timeline: [{at: 3, set: {override: {battery.sc: 3}}}]", 'did you mean "battery.soc"'),
    ],
)
def test_errors_are_sentences(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=message):
        load_scenario(str(path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_runs_and_ends(number: signal.Signals) -> None:
    with simulated(number, "rct", "--serial", "ABC123") as text:
        found = re.search(r"^\[rct-sim\]\n    driver = nutdrv_py\n    port = 127\.0\.0\.1:(\d+)\n", text, re.M)
        assert found is not None
        assert "    backend = rct\n" in text
        reader = FrameReader()
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=2) as connection:
            connection.sendall(read_request(BY_NAME["inverter_sn"].oid))
            frames = reader.feed(connection.recv(100))
        assert frames[0].payload.startswith(b"ABC123\0")
