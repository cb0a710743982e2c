# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios by name and from files, and the command that runs them."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from nutdrv_py.simulators.enphase import SCENARIOS, GatewaySimulator, load_scenario
from nutdrv_py.simulators.stories import ScenarioError
from tests.simulators.command import simulated

WANTED = (
    "online",
    "outage",
    "island",
    "generator",
    "low-battery",
    "nightly-restart",
    "token-expiry",
    "slow",
    "broken-json",
    "three-phase",
    "split-phase",
    "no-batteries",
    "no-controller",
    "ac-battery",
    "frozen-livedata",
    "collar",
    "old-firmware",
    "mfa",
    "no-meters",
    "wrong-serial",
    "total-ct",
    "demo",
)


def test_the_table_is_complete() -> None:
    assert set(SCENARIOS) == set(WANTED)
    assert all(scenario.title for scenario in SCENARIOS.values())


@pytest.mark.parametrize("name", WANTED)
def test_each_scenario_runs_to_its_end(name: str) -> None:
    now = 0.0
    sim = GatewaySimulator(SCENARIOS[name], clock=lambda: now)
    for _ in range(10):
        sim.skip(200)
    assert not sim._timeline


def test_low_battery_runs_down() -> None:
    sim = GatewaySimulator(SCENARIOS["low-battery"], clock=lambda: 0.0)
    sim.skip(800)
    assert 5 < sim.site.encharge.soc < 10
    sim.skip(400)
    assert sim.site.blackout


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "storm.yaml"
    path.write_text(
        """
base: outage
title: A storm
site: {phases: 3, soc: 55, load_split: [1, 2, 1]}
gateway: {firmware: D8.3.6086}
timeline:
  - {at: 30, set: {grid: outage, load: [100, 200, 300]}}
  - {at: 10, set: {offline: true}}
  - {at: 60, set: {grid: on, fault: {/info: {kind: hang}}}}
faults:
  /ivp/meters: {kind: delay, seconds: 6}
""",
        encoding="utf-8",
    )
    scenario = load_scenario(str(path))
    assert (scenario.name, scenario.title, scenario.site.phases, scenario.site.soc) == ("storm", "A storm", 3, 55)
    assert [event.at for event in scenario.timeline] == [10, 30, 60]
    assert scenario.faults["/ivp/meters"].seconds == 6
    sim = GatewaySimulator(scenario, clock=lambda: 0.0)
    sim.skip(40)
    assert sim.offline
    assert sim.site.phase_watts("load") == pytest.approx((100, 200, 300))
    sim.skip(40)
    assert sim.site.grid == "on"
    assert sim.faults["/info"].kind == "hang"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sit: {}", 'no key "sit" .did you mean "site"'),
        ("site: {phasse: 3}", 'did you mean "phases"'),
        ("site: {phases: 4}", "1, 2 .split phase. or 3"),
        ("site: {phases: three}", "whole number"),
        ("site: {grid: on}", "quotation marks"),
        ("site: {grid: of}", "known|did you mean"),
        ("base: low-battery\nsite: {soc: 12.5, packs: 1.5}", "packs cannot be 1.5"),
        ("gateway: {firmwear: x}", 'did you mean "firmware"'),
        ("gateway: {firmware: new}", "D8.2.4345"),
        ("faults: {/ivp/meters: {kind: hung}}", 'did you mean "hang"'),
        ("faults: {/ivp/meters: {seconds: 3}}", "needs a kind"),
    ],
)
def test_errors_are_sentences(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=message):
        load_scenario(str(path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_runs_and_cleans_up(number: signal.Signals) -> None:
    with simulated(number, "enphase") as text:
        found = re.search(r"credentials = (\S+)", text)
        assert found is not None
        credentials = Path(found[1])
        assert os.stat(credentials).st_mode & 0o777 in (0o600, 0o640), "for this user, or for root and NUT's group"
        assert credentials.read_text(encoding="utf-8") == "USERNAME=demo@example.org\nPASSWORD=demo-password\n"
        assert re.search(r"login_url = https://127\.0\.0\.1:\d+/login/login\.json\n", text)
        assert re.search(r"token_url = https://127\.0\.0\.1:\d+/tokens\n", text)
    assert not credentials.parent.exists()
