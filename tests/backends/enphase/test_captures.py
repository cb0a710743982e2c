# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers of real gateways, where they are at hand, with the variables they must become, worked out by hand.

The folders are named after the firmware; they are not part of this project.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from nutdrv_py.errors import DeviceError
from nutdrv_py.simulators.enphase import GatewaySimulator
from tests.backends.enphase.conftest import house
from tests.conftest import REPO, FakeClock

CAPTURES = REPO.parent / "shared" / "captures" / "enphase"
needed = pytest.mark.skipif(not CAPTURES.is_dir(), reason="no captured answers at hand")

# None: the variable must not be there.
EXPECTED: dict[str, dict[str, str | None]] = {
    "7.3.517_system_2": {
        "ups.status": "OL CHRG", "battery.charge": "96", "battery.packs": "3", "battery.packs.bad": "0",
        "battery.capacity": "131.2",                    # 10080 Wh / 76.8 V
        "experimental.battery.energy": "9710", "experimental.storage.realpower": "-2032.0",
        "battery.voltage": "85.4", "battery.charge.low": "20", "battery.charge.restart": None, "battery.charger.status": "charging",
        "input.phases": "2", "input.realpower": "23.2", "input.L1-L2.voltage": "245.0", "input.voltage": "245.0",
        "ups.realpower.nominal": "3840",                # 3 x 1280 W
        "ups.realpower": "651.0",                       # 2659.8 PV + 23.2 grid - 2032 into the battery
        "ups.load": "17.0", "ups.firmware": "D7.3.517", "experimental.outage.detection": "possible",
    },
    "8.1.41": {
        "ups.status": "OL", "battery.charge": "92", "battery.packs": "2", "battery.temperature": "42.0",
        "battery.capacity": "129.2", "experimental.storage.realpower": "40.0", "battery.charger.status": "resting",
        "battery.charge.restart": None, "experimental.battery.charge.verylow": "10", "ups.realpower.nominal": "7680",
        "ups.load": None, "ups.realpower": None, "input.realpower": None, "input.voltage": None, "output.voltage": None,
        "battery.runtime": None,
    },
    "8.2.4286_with_3cts_and_battery_split": {
        "ups.status": "OL CHRG", "battery.charge": "46", "battery.packs": "5", "battery.temperature": "23.0",
        "battery.capacity": "325.5", "experimental.battery.energy": "11600", "experimental.storage.realpower": "-6592.0",
        "battery.voltage": "78.7", "battery.charge.low": "20", "battery.charge.restart": "10",
        "experimental.battery.charge.reserve": "100",
        "ups.realpower.nominal": "19200",               # 5 x 3840 W
        "ups.realpower": "2288.5",                      # 7131 PV + 1749.5 grid - 6592 into the battery
        "ups.load": "11.9",
        "battery.runtime": "14314",                     # (11600 - 10 % of 25000) Wh / 2288.53 W
        "input.phases": "2", "input.realpower": "1749.5", "input.L1-N.voltage": "123.5", "input.L2-N.voltage": "123.7",
    },
    "8.2.4345_with_device_data": {
        "ups.status": "OL", "battery.charge": None, "battery.packs": "0", "battery.capacity": None, "battery.runtime": None,
        "input.phases": "1", "input.frequency": "50.06", "input.voltage": "244.2", "experimental.controller.type": "ENPOWER",
        "experimental.battery.encharge.charge": None, "ups.load": None,
    },
    "8.3.5433_tot_is_net_cons": {
        "ups.status": "OL", "battery.charge": None, "battery.packs": "0", "experimental.controller.type": None,
        "experimental.outage.detection": "unknown",     # an empty inventory proves nothing for ten minutes
        "input.phases": "2", "ups.realpower": "786.5",  # what the CT measures: production and net together
    },
}  # fmt: skip


@needed
@pytest.mark.parametrize("name", list(EXPECTED))
async def test_a_real_gateways_answers_become_these_variables(tmp_path: Path, name: str) -> None:
    clock = FakeClock()
    sim = GatewaySimulator.from_captures(CAPTURES / name, clock=clock.monotonic, wall=clock.wall)
    async with house(tmp_path, sim, clock=clock) as h:
        shown = h.shown(await h.polls(2))
        assert {key: shown.get(key) for key in EXPECTED[name]} == EXPECTED[name]
        sim.set(grid="outage")
        assert h.shown(await h.poll())["ups.status"].split()[0] == "OB"


@needed
async def test_a_gateway_whose_role_may_read_nothing_is_a_refusal_and_no_status(tmp_path: Path) -> None:
    clock = FakeClock()
    sim = GatewaySimulator.from_captures(CAPTURES / "7.3.130_no_consumption", clock=clock.monotonic, wall=clock.wall)
    async with house(tmp_path, sim, clock=clock) as h:
        with pytest.raises(DeviceError, match="refused the token"):
            await h.poll()


@needed
def test_every_folder_that_is_there_is_played() -> None:
    assert {folder.name for folder in CAPTURES.iterdir() if folder.is_dir()} == {*EXPECTED, "7.3.130_no_consumption"}
