# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a system can report an outage, and what is said when its parts do not agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nutdrv_py.backends.enphase.controller import DOUBT, SETTLING, can_see_outage, contradictions
from nutdrv_py.simulators.enphase import Fault
from tests.backends.enphase.conftest import House, house


def _relay(oper: str = "closed", enchg: str = "unknown", solar: str = "unknown") -> dict[str, object]:
    return {"mains_oper_state": oper, "mains_admin_state": "closed", "Enchg_grid_mode": enchg, "Solar_grid_mode": solar}


def _listed(*kinds: str, **keys: object) -> list[dict[str, object]]:
    return [{"type": kind, "devices": [{"communicating": True, **keys}]} for kind in kinds]


@pytest.mark.parametrize(
    ("raw", "able"),
    [
        ({"inventory": _listed("ENPOWER"), "relay": _relay(enchg="multimode-ongrid")}, (True, "ENPOWER")),
        ({"inventory": _listed("COLLAR"), "relay": _relay(enchg="multimode-ongrid")}, (True, "COLLAR")),
        # As a real 8.3 said it: only the inverters' mode tells.
        ({"inventory": _listed("ENCHARGE", "ENPOWER"), "relay": _relay(solar="multimode-ongrid")}, (True, "ENPOWER")),
        ({"inventory": _listed("ENCHARGE", "ENPOWER"), "relay": _relay()}, (True, "ENPOWER")),
        ({"inventory": _listed("ENPOWER"), "relay": {"mains_oper_state": "closed"}}, (True, "ENPOWER")),
        ({"inventory": _listed("ENPOWER"), "relay": _relay(enchg="grid-tied", solar="multimode-ongrid")}, (True, "ENPOWER")),
        ({"inventory": _listed("ENPOWER"), "relay": _relay(enchg="grid-tied", solar="grid-tied")}, (False, "ENPOWER")),
        ({"inventory": _listed("ENCHARGE"), "relay": _relay(enchg="grid-tied")}, (False, "none")),
        ({"inventory": _listed("ENCHARGE"), "relay": _relay(enchg="multimode-ongrid")}, (True, "")),
        # A gateway that has just started.
        ({"inventory": [], "relay": _relay()}, (None, "")),
        ({"inventory": [{"type": "ENPOWER", "devices": []}], "relay": _relay()}, (None, "")),
        ({"relay": _relay(enchg="multimode-ongrid")}, (True, "")),
        ({"relay": _relay(solar="multimode-ongrid")}, (True, "")),
        ({"relay": _relay()}, (None, "")),
    ],
)
def test_a_device_that_is_listed_is_believed_and_without_one_no_outage_is_seen(raw: dict[str, object], able: tuple[bool | None, str]) -> None:
    assert can_see_outage(raw) == able


@pytest.mark.parametrize(
    ("raw", "on_grid", "against"),
    [
        ({"relay": _relay(enchg="multimode-offgrid")}, True, ["Enchg_grid_mode is multimode-offgrid"]),
        ({"relay": _relay(enchg="multimode-ongrid", solar="grid-tied")}, True, []),
        ({"relay": _relay("open", solar="multimode-ongrid")}, False, ["Solar_grid_mode is multimode-ongrid"]),
        ({"relay": _relay("open", enchg="multimode-generator")}, False, []),
        (
            {"relay": _relay(), "inventory": _listed("COLLAR", mid_state="close", grid_state="on_grid", admin_state_str="ENCMN_MDE_OFF_GRID")},
            True,
            ["admin_state_str of the IQ Meter Collar is encmn_mde_off_grid"],
        ),
        # What a System Controller says on a generator; its Enpwr_grid_mode is known to be wrong there.
        (
            {"inventory": _listed("ENPOWER", mains_oper_state="open", Enpwr_grid_mode="multimode-ongrid", admin_state_str="ENPWR_STATE_OPER_GEN_CLOSE")},
            False,
            [],
        ),
        ({"inventory": _listed("ENPOWER", mains_oper_state=5, admin_state_str=None)}, True, []),
    ],
)
def test_sources_that_contradict_the_relay_are_found(raw: dict[str, Any], on_grid: bool, against: list[str]) -> None:
    assert list(contradictions(raw, on_grid=on_grid)) == against


def _answer(h: House, path: str, body: object) -> None:
    h.sim.faults[path] = Fault("wrong-json", body=json.dumps(body))


async def test_a_controller_whose_batteries_do_not_tell_their_mode_can_report_an_outage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path) as h:
        _answer(h, "/ivp/ensemble/relay", _relay(solar="multimode-ongrid"))
        shown = h.shown(await h.polls(5))
        assert shown["experimental.controller.type"] == "ENPOWER"
        assert shown["experimental.outage.detection"] == "possible"
    assert "CANNOT REPORT" not in caplog.text


async def test_a_gateway_that_has_just_started_is_not_called_unable_and_one_that_lists_nothing_for_long_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path) as h:
        _answer(h, "/ivp/ensemble/inventory", [])
        _answer(h, "/ivp/ensemble/relay", _relay())
        shown = h.shown(await h.poll())
        assert shown["experimental.outage.detection"] == "unknown"
        assert "experimental.controller.type" not in shown
        shown = h.shown(await h.polls(int(SETTLING / 60) - 1, 60))
        assert shown["experimental.outage.detection"] == "unknown"
        assert "CANNOT REPORT" not in caplog.text
        shown = h.shown(await h.polls(3, 60))
        assert shown["experimental.outage.detection"].startswith("impossible")
        assert shown["experimental.controller.type"] == "none"
        assert caplog.text.count("CANNOT REPORT") == 1
        # It was a slow start after all: the sentence is taken back.
        h.sim.faults.clear()
        shown = h.shown(await h.polls(6, 60))
        assert shown["experimental.outage.detection"] == "possible"
        assert shown["experimental.controller.type"] == "ENPOWER"
        assert caplog.text.count("can report an outage after all") == 1


async def test_a_collar_that_contradicts_the_relay_is_said_once_and_the_relay_decides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path, "collar") as h:
        await h.polls(2)
        _answer(h, "/ivp/ensemble/relay", _relay(enchg="multimode-offgrid", solar="multimode-offgrid"))
        _answer(h, "/ivp/ensemble/inventory", _listed("ENCHARGE", "COLLAR", mid_state="open", admin_state_str="ENCMN_MDE_OFF_GRID"))
        # The parts of a gateway follow the relay one by one.
        shown = h.shown(await h.polls(int(DOUBT / 5)))
        assert shown["experimental.outage.detection"] == "possible"
        shown = h.shown(await h.polls(70))
        assert shown["ups.status"].split()[0] == "OL"
        assert shown["experimental.outage.detection"].startswith("doubtful: the relay is closed, but Enchg_grid_mode is multimode-offgrid")
        h.sim.faults.clear()
        shown = h.shown(await h.polls(70))
        assert shown["experimental.outage.detection"] == "possible"
    said = [record.getMessage() for record in caplog.records if "contradicts itself" in record.getMessage()]
    assert len(said) == 1
    assert "restart the gateway" in said[0]
    assert "Enchg_grid_mode is multimode-offgrid" in said[0]


async def test_an_inventory_from_before_the_relay_moved_contradicts_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path, "collar") as h:
        await h.polls(2)
        for grid in ("outage", "on", "outage", "on"):
            h.sim.set(grid=grid)
            for _ in range(20):
                shown = h.shown(await h.poll())
                assert shown["experimental.outage.detection"] == "possible"
    assert "contradicts itself" not in caplog.text
