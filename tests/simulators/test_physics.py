# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated house: energy balance, charge, states of the grid."""

from __future__ import annotations

import random

import pytest

from nutdrv_py.simulators.enphase import SCENARIOS, GatewaySimulator, Site, SiteSetup
from nutdrv_py.simulators.enphase.changes import change_site
from nutdrv_py.simulators.enphase.house import MIDS, POLICIES
from nutdrv_py.simulators.enphase.relay import GRID_STATES


def balance(site: Site) -> float:
    flows = site.flows
    return flows.pv + flows.grid + flows.storage + flows.generator - flows.load


def test_energy_balance_holds_in_any_house() -> None:
    dice = random.Random(7)
    for _ in range(400):
        phases = dice.choice((1, 2, 3))
        setup = SiteSetup(
            phases=phases,
            mid=dice.choice(MIDS),
            packs=dice.randrange(4),
            acb=dice.randrange(3),
            soc=dice.uniform(0, 100),
            load=dice.uniform(0, 9000),
            pv=dice.uniform(0, 9000),
            grid=dice.choice(GRID_STATES),
            policy=dice.choice(POLICIES),
            reserve=dice.uniform(0, 100),
            wobble=dice.choice((0, 5)),
        )
        site = Site(setup)
        for _ in range(4):
            charge, moved = site.encharge.energy_wh, site.energies.encharge_net
            acb_charge = site.acb.energy_wh
            site.advance(dice.choice((0.3, 7, 3600, 20_000)))
            assert balance(site) == pytest.approx(0, abs=1e-6)
            assert 0 <= site.encharge.soc <= 100
            assert site.encharge.energy_wh - charge == pytest.approx(moved - site.energies.encharge_net, abs=0.01)
            totals = site.energies
            stored = site.encharge.energy_wh - setup.packs * setup.pack_capacity_wh * setup.soc / 100
            stored += site.acb.capacity_wh * (site.acb.soc - setup.acb_soc) / 100
            assert stored == pytest.approx(totals.charged - totals.discharged, abs=0.02)
            assert acb_charge >= 0
            for name in ("load", "pv", "grid", "storage", "generator"):
                parts = site.phase_watts(name)
                assert len(parts) == phases
                assert sum(parts) == pytest.approx(getattr(site.flows, name), abs=1e-6)
            by_phase = zip(*(site.phase_watts(name) for name in ("pv", "grid", "storage", "generator")), strict=True)
            sums = [sum(parts) for parts in by_phase]
            assert sums == pytest.approx(list(site.phase_watts("load")), abs=1e-6)
            change_site(site, {"grid": dice.choice(GRID_STATES)})


def test_charge_moves_with_energy_in_an_outage() -> None:
    site = Site(SiteSetup(packs=2, soc=50, load=2000, grid="outage"))
    site.advance(1800)
    assert site.encharge.soc == pytest.approx(40)
    assert site.flows.storage == 2000
    assert site.flows.grid == 0


def test_surplus_charges_until_full_then_pv_is_turned_down() -> None:
    site = Site(SiteSetup(packs=1, pack_capacity_wh=1000, soc=90, load=500, pv=1500, grid="outage"))
    assert site.flows.storage == -1000
    site.advance(3600)
    assert site.encharge.soc == 100
    assert site.flows.pv == 500
    assert site.flows.storage == 0


def test_empty_battery_is_a_blackout_at_the_right_moment() -> None:
    site = Site(SiteSetup(packs=1, pack_capacity_wh=1000, soc=10, load=1000, grid="outage", gateway_backed_up=False))
    site.advance(359)
    assert not site.blackout
    site.advance(2)
    assert site.blackout
    assert site.encharge.soc == 0
    assert site.flows.load == 0
    assert site.volts == 0
    change_site(site, {"grid": "on"})
    assert not site.blackout
    assert site.gateway_powered


def test_overload_is_a_blackout() -> None:
    site = Site(SiteSetup(packs=1, load=3800, grid="outage"))
    assert not site.blackout
    change_site(site, {"load": 4000})
    assert site.blackout


def test_gateway_that_is_not_backed_up_dies_with_the_grid() -> None:
    site = Site(SiteSetup(gateway_backed_up=False))
    assert site.gateway_powered
    change_site(site, {"grid": "outage"})
    assert not site.gateway_powered
    change_site(site, {"gateway_backed_up": True})
    assert site.gateway_powered


def test_self_consumption_stops_at_the_reserve() -> None:
    site = Site(SiteSetup(packs=1, soc=21, reserve=20, load=1000, policy="self-consumption"))
    assert site.flows.grid == 0
    site.advance(7200)
    assert site.encharge.soc == 20
    assert (site.flows.grid, site.flows.storage) == (1000, 0)


def test_reclosing_ends_by_itself() -> None:
    site = Site(SiteSetup(grid="reclosing"))
    site.advance(9)
    assert site.grid == "reclosing"
    site.advance(2)
    assert site.grid == "on"


def test_generator_charges_and_carries() -> None:
    site = Site(SiteSetup(packs=2, soc=40, load=1000, grid="outage"))
    change_site(site, {"generator": True})
    assert site.grid == "generator"
    assert site.flows.generator == 1000 + 2 * 1250
    assert site.flows.storage == -2500
    change_site(site, {"generator": False})
    assert site.grid == "outage"
    assert site.flows.storage == 1000


@pytest.mark.parametrize(
    ("grid", "admin", "oper", "mode", "main"),
    [
        ("on", "closed", "closed", "multimode-ongrid", 1),
        ("outage", "closed", "open", "multimode-offgrid", 0),
        ("reclosing", "closed", "open synchronized", "multimode-offgrid", 0),
        ("generator", "closed", "open", "multimode-generator", 0),
    ],
)
def test_relay_words(grid: str, admin: str, oper: str, mode: str, main: int) -> None:
    words = Site(SiteSetup(grid=grid)).relay
    assert (words.admin, words.oper, words.mode, words.main_relay) == (admin, oper, mode, main)


def test_deliberate_island_synchronizes_first() -> None:
    site = Site()
    change_site(site, {"grid": "island"})
    assert (site.relay.admin, site.relay.oper) == ("open", "open synchronizing")
    site.advance(30)
    assert (site.relay.admin, site.relay.oper) == ("open", "open synchronized")


def test_without_a_controller_the_relay_never_opens() -> None:
    site = Site(SiteSetup(mid="none"))
    change_site(site, {"grid": "outage"})
    assert site.relay.oper == "closed"
    assert site.blackout


def test_bad_packs_take_capacity_and_power_away() -> None:
    site = Site(SiteSetup(packs=2, soc=50))
    change_site(site, {"packs_bad": 1})
    assert (site.encharge.capacity_wh, site.nameplate_wh, site.encharge.energy_wh) == (5000, 10_000, 2500)


def test_wobble_is_small_and_repeatable() -> None:
    seen = []
    for _ in range(2):
        site = Site(SiteSetup(load=1000, wobble=5))
        loads = []
        for _ in range(20):
            site.advance(10)
            loads.append(site.flows.load)
        seen.append(loads)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 10
    assert all(950 <= load <= 1050 for load in seen[0])


@pytest.mark.parametrize(
    "changes",
    [{"grid": "of"}, {"soc": 101}, {"load": -1}, {"pv": float("nan")}, {"packs_bad": 9}, {"policy": "x"}],
)
def test_wrong_changes_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        change_site(Site(), changes)


def test_wrong_name_gets_a_hint() -> None:
    with pytest.raises(ValueError, match='did you mean "shutdown"'):
        GatewaySimulator(SCENARIOS["online"]).set(shutdwon=True)
