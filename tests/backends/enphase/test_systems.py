# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/systems.md, Enphase: each row is played, and serves what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from nutdrv_py.errors import DeviceError
from nutdrv_py.simulators.enphase import Fault, GatewaySimulator
from tests.backends.enphase.conftest import house
from tests.backends.enphase.systems import SYSTEMS, System, table
from tests.conftest import REPO, FakeClock

NAMES = [f"{system.firmware} {number}" for number, system in enumerate(SYSTEMS)]


@pytest.mark.parametrize("system", SYSTEMS, ids=NAMES)
async def test_a_system_of_this_shape_serves_what_the_page_says(tmp_path: Path, system: System) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    for name, text in system.files.items():
        (folder / name).write_text(text)

    async def story() -> None:
        clock = FakeClock()
        sim = GatewaySimulator.from_captures(folder, clock=clock.monotonic, wall=clock.wall)
        async with house(tmp_path, sim, clock=clock) as h:
            if not system.live:
                h.sim.faults["/ivp/livedata/status"] = Fault("status", status=404)
            if system.fails:
                for _ in range(2):
                    with pytest.raises(DeviceError, match=system.fails):
                        await h.poll()
                return
            shown = h.shown(await h.polls(15))
            assert {name: shown.get(name) for name in system.expected} == dict(system.expected)
            assert [name for name in system.expected if name.startswith("ups.status")], "each row says whether servers go down"

    await story()


def test_the_page_has_a_row_for_each_system_and_no_other() -> None:
    page = (REPO / "docs" / "systems.md").read_text(encoding="utf-8")
    begin, end = "<!-- kept by tests/backends/enphase/test_systems.py -->\n\n", "\n\n<!-- end -->"
    shown = page.partition(begin)[2].partition(end)[0]
    assert shown == table(), f"write this between the marks of docs/systems.md:\n{table()}"
