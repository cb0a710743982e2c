# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/systems.md, RCT: each system of the table, played by a fixture of the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from nutdrv_py.errors import DeviceError
from nutdrv_py.simulators.rct.scenarios import parse_scenario
from tests.backends.rct.conftest import Home, home
from tests.conftest import REPO

SYSTEMS: list[dict[str, Any]] = list(yaml.safe_load_all((REPO / "tests" / "systems" / "rct.yaml").read_text()))
COLUMNS = ("system", "firmware", "configuration", "special", "source")


async def _settled(house: Home, polls: int) -> str:
    """The status after some polls, "stale" when the last one has failed."""
    status = ""
    for _ in range(polls):
        try:
            status = str((await house.poll()).status)
        except DeviceError:
            status = "stale"
    return status


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system["system"])
async def test_a_system_is_served_as_it_is_and_its_outage_is_what_the_table_says(system: Mapping[str, Any]) -> None:
    scenario = parse_scenario(system["scenario"])
    async with home(scenario, changes=system.get("changes"), **system.get("options", {})) as house:
        assert await _settled(house, 4) == system["status"]
        if system["status"] != "stale":
            shown = house.shown(await house.poll())
            assert {name: shown.get(name) for name in system["shown"]} == system["shown"]
        house.sim.set(grid="outage")
        house.sim.skip(600 if system["outage"] == "stale" else 0)
        # Ten: the battery's own signs are asked every four seconds, and count when shown twice.
        assert await _settled(house, 10) == system["outage"]


def test_the_table_of_the_page_is_that_of_the_fixtures() -> None:
    page = (REPO / "docs" / "systems.md").read_text()
    section = page.partition("\n## RCT Power\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    outage = {"stale": "stale data"}
    wanted = [
        "| " + " | ".join([*(str(system[name]) for name in COLUMNS), f"`{text}`" if text != "stale" else outage[text]]) + " |"
        for system in SYSTEMS
        for text in [system["outage"]]
    ]
    assert rows[1:] == wanted
