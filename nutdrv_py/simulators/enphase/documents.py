# SPDX-License-Identifier: GPL-2.0-or-later
"""The documents of the gateway's endpoints for a house (IQ Gateway local API): one function for each document.

Nothing here knows HTTP or tokens. Keys and units follow the API; every function names which. Firmware differences are
rows of tables: a key with the first version that has it and the first that no longer has it.

"Fixture 8.1.41" is the folder of pyenphase's tests/fixtures for that firmware: answers of a real gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nutdrv_py.simulators.enphase.physics import Site
from nutdrv_py.simulators.enphase.scenarios import GatewayOptions

Document = dict[str, Any]

ALWAYS = (0,)
"""First version of a key that every firmware has."""

NEVER = (99,)
"""End version of a key that no firmware has dropped."""

REPORT_KINDS = ("production", "net-consumption", "total-consumption", "storage")

EXTRA_EID = 1023410688
"""Firmware 8.3.5025 and newer add this meter, always zero and named nowhere (fixture 8.3.5433_tot_is_net_cons)."""

EIDS: Mapping[str, int] = {
    "production": 704643328,
    "net-consumption": 704643584,
    "total-consumption": 704643584,
    "storage": 704643840,
    "backfeed": 704644352,
    "load": 704644608,
    "evse": 704644864,
    "pv3p": 704645120,
}
"""Element ids of the meters: fixed numbers, the same on every gateway. One consumption CT measures either net or total
(fixture 8.3.5433_tot_is_net_cons lists 704643584 as total-consumption)."""

CHANNEL_EIDS: Mapping[str, int] = {
    "production": 1778385169, "net-consumption": 1778385425, "total-consumption": 1778385425, "storage": 1778385681,
}  # fmt: skip

PHASE_MODES: Mapping[int, str] = {1: "single", 2: "split", 3: "three"}

POWER_FACTORS: Mapping[str, float] = {
    "production": 0.99,
    "net-consumption": 0.92,
    "total-consumption": 0.95,
    "storage": 0.98,
    "pv": 0.99,
    "grid": 0.92,
    "load": 0.95,
    "generator": 0.95,
}
"""Real over apparent power of each flow: constant, somewhere in the usual range."""

LIFETIME_WH = 4_000_000.0
"""What the energy counters stood at when the simulator started; a counter at 0 is a new gateway, a rare case."""

FAHRENHEIT_BASE, FAHRENHEIT_STEP = 32.0, 1.8

INSTALLED = 1_700_000_000
"""When the devices were installed, epoch seconds; any past moment does."""


@dataclass(frozen=True, slots=True)
class View:
    """What a document is made from: the house, the gateway, its clock (epoch seconds) and its serial number."""

    site: Site
    options: GatewayOptions
    now: int
    serial: str

    @property
    def version(self) -> tuple[int, ...]:
        """Return the firmware version as numbers."""
        return self.options.version


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a document: which firmware has it (``since`` <= version < ``until``) and its value."""

    name: str
    value: Callable[[View], Any]
    since: tuple[int, ...] = ALWAYS
    until: tuple[int, ...] = NEVER


def _build(keys: tuple[Key, ...], view: View) -> Document:
    return {key.name: key.value(view) for key in keys if key.since <= view.version < key.until}


def _constant(value: Any) -> Callable[[View], Any]:
    return lambda view: value


class _BlankKey(str):
    """An empty key that may be in one object several times, as the gateway prints it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def _whole(number: float) -> int:
    return int(number + 0.5) if number >= 0 else -int(0.5 - number)


# -- identification ----------------------------------------------------------------------------------------------------


def info(view: View) -> str:
    """Return ``/info``: XML that needs no token (fixture 8.1.41). Firmware before 7 has no ``web-tokens``."""
    tokens = "  <web-tokens>true</web-tokens>\n" if view.version >= (7,) else ""
    number = ".".join(f"{part:02d}" for part in view.version)
    return (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        "<envoy_info>\n"
        f"  <time>{view.now}</time>\n"
        "  <device>\n"
        f"    <sn>{view.serial}</sn>\n"
        f"    <pn>{view.options.part}</pn>\n"
        f"    <software>{view.options.firmware}</software>\n"
        "    <euaid>000000</euaid>\n"
        "    <seqnum>0</seqnum>\n"
        "    <apiver>1</apiver>\n"
        f"    <imeter>{'true' if view.options.meters else 'false'}</imeter>\n"
        "  </device>\n"
        f"{tokens}"
        "  <package name='app'>\n"
        "    <pn>500-00002-r01</pn>\n"
        f"    <version>{number}</version>\n"
        "    <build>simulated</build>\n"
        "  </package>\n"
        "  <build_info>\n"
        "    <build_id>simulator</build_id>\n"
        f"    <build_time_gmt>{INSTALLED}</build_time_gmt>\n"
        "  </build_info>\n"
        "</envoy_info>\n"
    )


def home(view: View) -> str:
    """Return ``/home``: the page of the user interface; needs no token and carries the serial number."""
    return (
        "<!DOCTYPE html>\n<html><head><title>Gateway</title></head>"
        f'<body><div id="app"></div><script>var serial = "{view.serial}";</script></body></html>\n'
    )


# -- ensemble ----------------------------------------------------------------------------------------------------------


def _grid_mode(view: View) -> str:
    site = view.site
    if not site.has_mid:
        # A system without a MID reports grid-tied (fixtures of 7.6), or nothing (fixture 8.3.5433_tot_is_net_cons).
        return "grid-tied" if site.setup.packs else "unknown"
    return site.relay.mode


def _der(view: View) -> int:
    return 1 if view.site.has_mid else 0


_RELAY = (
    Key("mains_admin_state", lambda view: view.site.relay.admin),
    Key("mains_oper_state", lambda view: view.site.relay.oper),
    Key("srt12_state", _constant("open"), since=(8, 2, 4200)),
    Key("srt13_state", _constant("open"), since=(8, 2, 4200)),
    Key("der1_state", _der),
    Key("der2_state", _der),
    Key("der3_state", _der, since=(8, 1)),
    Key("user_commanded_offgrid_vls_offset", _constant(0), since=(8, 3, 6000)),
    Key("Enchg_grid_mode", _grid_mode),
    Key("Solar_grid_mode", _grid_mode),
)


def relay(view: View) -> Document:
    """Return ``/ivp/ensemble/relay``: the grid indicator. Keys: ``relay`` of status in fixtures 7.3.517, 8.1.41 and 8.2.4286."""
    return _build(_RELAY, view)


def _offgrid_control(view: View) -> Document:
    numbers = {name: 0.0 for name in ("F", "V", "Vd_neg", "Vq_neg", "Vd_zero", "Vq_zero")}
    # is_active stays false even while islanded.
    return {**numbers, "is_active": False, "is_system_balanced": True, "seq_reset_needed": True}


_SECCTRL = (
    Key("shutdown", lambda view: view.site.shutdown),
    Key("freq_bias_hz", _constant(0.0)),
    Key("voltage_bias_v", _constant(0.0)),
    Key("freq_bias_hz_q8", _constant(0)),
    Key("voltage_bias_v_q5", _constant(0)),
    Key("offgrid_secctrl", _offgrid_control, since=(8, 3)),
    Key("configured_backup_soc", lambda view: _whole(view.site.reserve)),
    Key("adjusted_backup_soc", lambda view: _whole(view.site.reserve)),
    Key("agg_soc", lambda view: _whole(view.site.agg_soc)),
    Key("Max_energy", lambda view: _whole(view.site.encharge.capacity_wh + view.site.acb.capacity_wh)),
    Key("ENC_agg_soc", lambda view: _whole(view.site.encharge.soc) if view.site.encharge.capacity_wh else 0),
    Key("ENC_agg_soh", lambda view: 100 if view.site.encharge.capacity_wh else 0, since=(8,)),
    Key("ENC_agg_backup_energy", lambda view: _whole(view.site.encharge.capacity_wh * view.site.reserve / 100)),
    Key("ENC_agg_avail_energy", lambda view: _whole(view.site.encharge.energy_wh)),
    Key("Enc_commissioned_capacity", lambda view: _whole(view.site.nameplate_wh)),
    Key("Enc_max_available_capacity", lambda view: _whole(view.site.encharge.capacity_wh)),
    Key("ACB_agg_soc", lambda view: _whole(view.site.acb.soc) if view.site.setup.acb else 0),
    Key("ACB_agg_energy", lambda view: _whole(view.site.acb.energy_wh)),
    Key("VLS_Limit", lambda view: _whole(view.site.setup.vls), since=(8, 1)),
    Key("Recovery_threshold_soc", lambda view: _whole(view.site.setup.recovery_exit) + 3, since=(8, 1), until=(8, 2)),
    Key("soc_rec_enabled", _constant(False), since=(8, 2)),
    Key("soc_recovery_entry", _constant(0), since=(8, 2)),
    Key("soc_recovery_exit", lambda view: _whole(view.site.setup.recovery_exit), since=(8, 2)),
    Key("Commission_in_progress", _constant(False), since=(8, 1)),
    Key("ESS_in_progress", _constant(False), since=(8, 2)),
    Key("ESS_R3_To_R4_in_progress", _constant(False), since=(8, 3)),
)


def secctrl(view: View) -> Document:
    """Return ``/ivp/ensemble/secctrl``: charge in %, energies in Wh (fixtures 7.3.517, 8.1.41, 8.2.4286, 8.3.5433).

    Without batteries everything is 0.
    """
    return _build(_SECCTRL, view)


@dataclass(frozen=True, slots=True)
class _Pack:
    number: int
    serial: str
    communicating: bool
    dc_off: bool


def _packs(view: View) -> list[_Pack]:
    """Return all packs; the last ones are those that do not talk, before them those switched off."""
    site = view.site
    count = site.setup.packs
    return [
        _Pack(
            number,
            f"1220310{number + 1:05d}",
            number < count - site.packs_bad,
            count - site.packs_bad - site.packs_dc_off <= number < count - site.packs_bad,
        )
        for number in range(count)
    ]


def power(view: View) -> Document:
    """Return ``/ivp/ensemble/power``: mW and mVA of each pack, minus = charging; the colon is in the key (fixture 8.2.4286)."""
    site = view.site
    good = [pack for pack in _packs(view) if pack.communicating and not pack.dc_off]
    each = _whole(site.flows.encharge / len(good) * 1000) if good else 0
    charge = _whole(site.encharge.soc)
    return {
        "devices:": [
            {"serial_num": pack.serial, "real_power_mw": each, "apparent_power_mva": each, "soc": charge} for pack in good
        ]
    }


_LED_FULL_IDLE, _LED_IDLE, _LED_CHARGING, _LED_DISCHARGING, _LED_LOW = 14, 15, 12, 13, 17
_BUSY_WATTS = 50.0


def _led(site: Site) -> int:
    each = site.flows.encharge / site.encharge.number if site.encharge.number else 0.0
    if each < -_BUSY_WATTS:
        return _LED_CHARGING
    if each > _BUSY_WATTS:
        return _LED_DISCHARGING
    return _LED_FULL_IDLE if site.encharge.soc >= 99 else _LED_LOW if site.encharge.soc <= site.setup.vls else _LED_IDLE


def _device(serial: str, part: str, state: tuple[int, str], view: View, *, communicating: bool = True) -> Document:
    """Return the keys every device of the inventory starts with (fixture 8.2.4286)."""
    return {
        "part_num": part,
        "serial_num": serial,
        "installed": INSTALLED,
        "device_status": ["envoy.global.ok", "prop.done"] if communicating else ["envoy.global.comm_failure"],
        # The report of a healthy device is up to some minutes old; that of a lost one ages on.
        "last_rpt_date": view.now - 45 if communicating else INSTALLED,
        "admin_state": state[0],
        "admin_state_str": state[1],
        "created_date": INSTALLED,
        "img_load_date": INSTALLED,
        "img_pnum_running": "3.0.0000_rel/31.00",
    }


def _encharge_state(view: View) -> tuple[int, str]:
    return (63, "ENCMN_MDE_ENCHARGE_READY") if view.site.setup.mid == "collar" else (6, "ENCHG_STATE_READY")


def _encharge(pack: _Pack, view: View) -> Document:
    """Return one battery: percent, °C, Wh (fixtures 7.3.517, 8.1.41, 8.2.4286)."""
    site = view.site
    seven = view.version < (8,)
    device = _device(pack.serial, "836-00000-r00", _encharge_state(view), view, communicating=pack.communicating)
    device["bmu_fw_version"] = "3.0.0"
    if seven:
        device |= {"zigbee_dongle_fw_version": "1000", "operating": pack.communicating and not pack.dc_off}
    device |= {
        "communicating": pack.communicating,
        "sleep_enabled": False,
        "percentFull": _whole(site.encharge.soc),
        "temperature": site.temperature if isinstance(site.temperature, str) else _whole(site.temperature),
        "maxCellTemp": site.temperature if isinstance(site.temperature, str) else _whole(site.temperature) + 1,
    }
    if view.version >= (8, 2):
        device["reported_enc_grid_state"] = "grid-tied"  # in every state of the grid
    device |= {
        "comm_level_sub_ghz": 0 if pack.communicating and not seven else 4 if pack.communicating else 0,
        "comm_level_2_4_ghz": 0 if pack.communicating and not seven else 4 if pack.communicating else 0,
        "led_status": _led(site),
        "dc_switch_off": pack.dc_off,
        "encharge_rev": 2,
        "encharge_capacity": _whole(site.setup.pack_capacity_wh),
        "phase": 0 if seven else "ph-all" if site.setup.phases == 3 else "ph-a",
    }
    if not seven:
        device["der_index"] = 2
    return device


def _enpower(view: View) -> Document:
    """Return the System Controller: in °F, unlike everything else (fixture 8.1.41: 113 where a battery has 42)."""
    site = view.site
    words = site.relay
    state = (words.enpower_state, words.enpower_name)
    device = _device("482300000001", "865-00000-r00", state, view, communicating=site.mid_communicating)
    device |= {"communicating": site.mid_communicating}
    if view.version >= (8, 3, 6000):
        device["isMidDevice"] = True
    celsius = 26.0
    return device | {
        "temperature": _whole(celsius * FAHRENHEIT_STEP + FAHRENHEIT_BASE),
        "comm_level_sub_ghz": 0,
        "comm_level_2_4_ghz": 0,
        "mains_admin_state": words.admin,
        "mains_oper_state": words.oper,
        # On a generator this one claims to be on grid (a capture of firmware 8.2.127).
        "Enpwr_grid_mode": "multimode-ongrid" if site.grid == "generator" else words.mode,
        "Enchg_grid_mode": words.mode,
        "Enpwr_relay_state_bm": 15868 if words.main_relay else 496,
        "Enpwr_curr_state_id": words.enpower_id,
    }


def _collar(view: View) -> Document:
    """Return the Meter Collar: words of its own for the grid. The off-grid ones are from a string table, not from a capture."""
    site = view.site
    closed = bool(site.relay.main_relay)
    state = (88, "ENCMN_MDE_ON_GRID") if closed else (89, "ENCMN_MDE_OFF_GRID")
    device = _device("482500000001", "865-10000-r00", state, view, communicating=site.mid_communicating)
    return device | {
        "communicating": site.mid_communicating,
        "isMidDevice": True,
        "temperature": 26,
        "mid_state": "close" if closed else "open",
        "grid_state": "on_grid" if closed else "off_grid",
        "control_error": 0,
        "collar_state": "Installed",
    }


_MIDS: Mapping[str, tuple[str, Callable[[View], Document]]] = {
    "enpower": ("ENPOWER", _enpower),
    "collar": ("COLLAR", _collar),
}


def inventory(view: View) -> list[Document]:
    """Return ``/ivp/ensemble/inventory``: batteries and the MID; an empty list when there is neither."""
    site = view.site
    groups: list[Document] = []
    if site.setup.packs or site.has_mid:
        groups.append({"type": "ENCHARGE", "devices": [_encharge(pack, view) for pack in _packs(view)]})
    if site.setup.mid in _MIDS:
        kind, make = _MIDS[site.setup.mid]
        groups.append({"type": kind, "devices": [make(view)]})
    return groups


_TYPE_ENCHARGE, _TYPE_ENPOWER, _TYPE_COLLAR = 13, 17, 27


def status(view: View) -> Document:
    """Return ``/ivp/ensemble/status``: power (W) and capacity (Wh) by serial, secctrl and relay (fixture 8.2.4286)."""
    site = view.site
    state = _encharge_state(view)
    serials: Document = {}
    for pack in _packs(view):
        serials[pack.serial] = {
            "device_type": _TYPE_ENCHARGE,
            "com_interface_str": "CAN",
            "device_id": pack.serial,
            "admin_state": state[0],
            "admin_state_str": state[1],
            "reported_grid_mode": _grid_mode(view),
            "phase": "ph-a",
            "der_index": 2,
            "encharge_revision": 2,
            "encharge_capacity": _whole(site.setup.pack_capacity_wh),
            "encharge_rated_power": _whole(site.setup.pack_rated_w),
            "reported_enc_grid_state": _grid_mode(view),
        }
    if site.setup.mid in _MIDS:
        device = _MIDS[site.setup.mid][1](view)
        serials[device["serial_num"]] = {
            "device_type": _TYPE_ENPOWER if site.setup.mid == "enpower" else _TYPE_COLLAR,
            "com_interface_str": "CAN",
            "device_id": device["serial_num"],
            "admin_state": device["admin_state"],
            "admin_state_str": device["admin_state_str"],
        }
    result: Document = {"inventory": {"serial_nums": serials}}
    if view.version < (8,):
        result["counters"] = {"rest_Status": 12, "zmq_Sent": 3456}
    return result | {"secctrl": secctrl(view), "relay": relay(view)}


def generator(view: View) -> Document:
    """Return ``/ivp/ensemble/generator``: charge limits in %, -1 = unset (fixture 8.2.4286, without a generator)."""
    site = view.site
    return {
        "admin_state": "unknown" if not site.generator_present else "close" if site.generator_running else "open",
        "oper_state": "closed" if site.grid == "generator" else "open",
        "admin_mode": 0,
        "schedule": 0,
        "start_soc": 30 if site.generator_present else 100,
        "stop_soc": 80 if site.generator_present else -1,
        "exc_on": 0,
        "present": int(site.generator_present),
        "type": 1,
    }


_CONTACTS = ("NC1", "NC2", "NO1", "NO2")


def dry_contacts(view: View) -> Document:
    """Return ``/ivp/ensemble/dry_contacts``: a list of the four contacts (fixtures 8.2.4286 and 8.2.4345)."""
    word = "closed" if view.site.setup.mid == "enpower" else "open"
    return {"dry_contacts": [{"id": name, "status": word} for name in _CONTACTS]}


# -- live data ---------------------------------------------------------------------------------------------------------

LIVE_FLOWS = ("pv", "storage", "grid", "load", "generator")
NO_GENERATOR, GENERATOR_OPEN, GENERATOR_CLOSED = 5, 0, 1


def live_flow(kind: str, watts: float, phases: tuple[float, ...]) -> Document:
    """Return one flow of live data: mW and mVA, in total and by phase; missing phases are 0."""
    factor = POWER_FACTORS.get(kind, 1.0)
    padded = (*phases, 0.0, 0.0, 0.0)[:3]
    names = ("a", "b", "c")
    return {
        "agg_p_mw": _whole(watts * 1000),
        "agg_s_mva": _whole(watts / factor * 1000),
        **{f"agg_p_ph_{name}_mw": _whole(part * 1000) for name, part in zip(names, padded, strict=True)},
        **{f"agg_s_ph_{name}_mva": _whole(part / factor * 1000) for name, part in zip(names, padded, strict=True)},
    }


def _total(site: Site, kind: str) -> float:
    return float(getattr(site.flows, kind))


def live_meters(view: View) -> Document:
    """Return ``meters`` of ``/ivp/livedata/status``: mW, mVA, % and Wh; ``last_update`` in epoch seconds.

    Source: Matthew1471's Enphase-API documents.
    """
    site = view.site
    generator_relay = GENERATOR_CLOSED if site.grid == "generator" else GENERATOR_OPEN
    return {
        "last_update": view.now,
        "soc": _whole(site.agg_soc),
        "main_relay_state": site.relay.main_relay,
        "gen_relay_state": generator_relay if site.generator_present else NO_GENERATOR,
        "backup_bat_mode": 1,
        "backup_soc": _whole(site.reserve),
        "is_split_phase": int(site.setup.phases == 2),
        "phase_count": site.setup.phases,
        "enc_agg_soc": _whole(site.encharge.soc) if site.encharge.capacity_wh else 0,
        # Energy left, not capacity.
        "enc_agg_energy": _whole(site.encharge.energy_wh),
        "acb_agg_soc": _whole(site.acb.soc) if site.setup.acb else 0,
        "acb_agg_energy": _whole(site.acb.energy_wh),
        **{kind: live_flow(kind, _total(site, kind), site.phase_watts(kind)) for kind in LIVE_FLOWS},
    }


def livedata(meters: Document, *, stream: bool, claims_stream: bool, online: bool, now: int) -> Document:
    """Return ``/ivp/livedata/status`` around ``meters``. Without the stream it carries the note that it is old.

    ``claims_stream`` is the value of ``sc_stream``; ``dry_contacts`` has the key "" twice and more, as the real one.
    Source of the freezing and the note: homebridge-enphase-envoy issues 80 and 85, evcc issue 9332.
    """
    result: Document = {
        "connection": {
            "mqtt_state": "connected" if online else "not connected",
            "prov_state": "configured",
            "auth_state": "ok",
            "sc_stream": "enabled" if claims_stream else "disabled",
            "sc_debug": "disabled",
        },
        "meters": meters,
        "tasks": {"task_id": 0, "timestamp": now},
        "counters": {"main_CfgUpdate": 1, "main_taskUpdate": 2},
        "dry_contacts": {
            _BlankKey(""): {"dry_contact_id": name, "dry_contact_load_name": "", "dry_contact_status": 0} for name in _CONTACTS
        },
    }
    if not stream and not claims_stream:
        result["info"] = "Last available status data shown. Live stream not enabled."
    return result


# -- meters ------------------------------------------------------------------------------------------------------------


def installed_meters(view: View) -> tuple[str, ...]:
    """Return the kinds of the meters that are there and enabled."""
    if not view.options.meters:
        return ()
    return ("production", view.options.consumption) + (("storage",) if view.options.storage_ct else ())


def meters(view: View) -> list[Document]:
    """Return ``/ivp/meters``: one entry for each CT, from 8.3 on the disabled ones too (fixtures 8.2.4286, 8.3.5433)."""
    present = installed_meters(view)
    every = tuple(kind for kind in EIDS if not kind.endswith("-consumption") or kind in present)
    listed = every if present and view.version >= (8, 3) else present
    return [
        {
            "eid": EIDS[kind],
            "state": "enabled" if kind in present else "disabled",
            "measurementType": kind,
            "phaseMode": PHASE_MODES[view.site.setup.phases],
            "phaseCount": view.site.setup.phases,
            "meteringStatus": "normal",
            "statusFlags": [],
        }
        for kind in listed
    ]


@dataclass(frozen=True, slots=True)
class Reading:
    """One line of a meter: W, VA, var, V, A, Wh. ``factor`` is signed like the power."""

    watts: float = 0.0
    voltamps: float = 0.0
    vars: float = 0.0
    factor: float = 0.0
    volts: float = 0.0
    amps: float = 0.0
    hertz: float = 0.0
    delivered: float = 0.0
    received: float = 0.0


def _phase_reading(kind: str, watts: float, site: Site, energy: tuple[float, float]) -> Reading:
    factor = POWER_FACTORS[kind]
    apparent = abs(watts) / factor
    return Reading(
        watts=round(watts, 3),
        voltamps=round(apparent, 3),
        # An idle meter prints minus zero (fixture 8.2.4345_with_device_data, in other keys).
        vars=round(apparent * (1 - factor * factor) ** 0.5, 3) if watts else -0.0,
        factor=factor if watts > 0 else -factor if watts < 0 else 0.0,
        volts=round(site.volts, 3),
        amps=round(apparent / site.volts, 3) if site.volts else 0.0,
        hertz=site.hertz,
        delivered=round(energy[0], 3),
        received=round(energy[1], 3),
    )


def _meter_watts(kind: str, view: View) -> tuple[float, ...]:
    """Return the powers a meter shows by phase. Off the grid all but the storage CT show 0 W."""
    site = view.site
    zero = (0.0,) * site.setup.phases
    if kind == "storage":
        return site.phase_watts("storage")
    if site.relay.main_relay == 0 or site.blackout:
        return zero
    if kind == "production":
        return site.phase_watts("pv")
    if kind == "net-consumption" or view.options.total == "net":
        if view.options.consumption == "net-consumption":
            return site.phase_watts("grid")
        # The CT measures the house; its net is what the gateway reckons from that.
        return tuple(here - there for here, there in zip(_total_ct(view), site.phase_watts("pv"), strict=True))
    return _total_ct(view)


def _total_ct(view: View) -> tuple[float, ...]:
    """Return the powers of the house by phase, as a CT on its line measures them."""
    load = view.site.phase_watts("load")
    if view.options.total != "without-battery":
        return load
    return tuple(here - there for here, there in zip(load, view.site.phase_watts("storage"), strict=True))


def _meter_energy(kind: str, site: Site) -> tuple[float, float]:
    """Return the energy delivered and received by a meter since it was installed, Wh."""
    totals = site.energies
    table = {
        "production": (totals.pv, 0.0),
        "net-consumption": (totals.imported, totals.exported),
        "total-consumption": (totals.load, 0.0),
        "storage": (totals.discharged, totals.charged),
    }
    delivered, received = table[kind]
    return LIFETIME_WH + delivered, LIFETIME_WH / 2 + received


def _phase_readings(kind: str, view: View) -> list[Reading]:
    count = view.site.setup.phases
    delivered, received = _meter_energy(kind, view.site)
    energy = (delivered / count, received / count)
    # A total that is wrong repeats the net in every figure.
    like = "net-consumption" if kind == "total-consumption" and view.options.total == "net" else kind
    return [_phase_reading(like, watts, view.site, energy) for watts in _meter_watts(kind, view)]


def _sum(parts: list[Reading], view: View) -> Reading:
    """Return the totals of a meter: sums over the phases, from 8.3 on of the power factor, too (fixture 8.3.5433: 1.553)."""
    factor = sum(part.factor for part in parts)
    apparent = sum(part.voltamps for part in parts)
    watts = sum(part.watts for part in parts)
    true_factor = watts / apparent if apparent else 0.0
    return Reading(
        watts=round(watts, 3),
        voltamps=round(apparent, 3),
        vars=round(sum(part.vars for part in parts), 3) if watts else -0.0,
        factor=round(factor if view.version >= (8, 3) else true_factor, 3),
        volts=round(sum(part.volts for part in parts), 3),
        amps=round(sum(part.amps for part in parts), 3),
        hertz=parts[0].hertz,
        delivered=round(sum(part.delivered for part in parts), 3),
        received=round(sum(part.received for part in parts), 3),
    )


def reading_document(reading: Reading, eid: int, now: int) -> Document:
    """Return one reading of ``/ivp/meters/readings``."""
    return {
        "eid": eid,
        "timestamp": now,
        "actEnergyDlvd": reading.delivered,
        "actEnergyRcvd": reading.received,
        "apparentEnergy": round(reading.delivered + reading.received, 3),
        "reactEnergyLagg": round(reading.delivered / 10, 3),
        "reactEnergyLead": round(reading.received / 10, 3),
        "instantaneousDemand": reading.watts,
        "activePower": reading.watts,
        "apparentPower": reading.voltamps,
        "reactivePower": reading.vars,
        "pwrFactor": reading.factor,
        "voltage": reading.volts,
        "current": reading.amps,
        "freq": reading.hertz,
    }


CHANNELS = 3
"""A reading always has three channels (fixture 8.2.4345); the unused ones are zeros."""


def _reading_group(eid: int, total: Reading, parts: list[Reading], first_channel: int, now: int) -> Document:
    padded = [*parts, *[Reading()] * CHANNELS][:CHANNELS]
    channels = [reading_document(part, first_channel + number, now) for number, part in enumerate(padded)]
    return {**reading_document(total, eid, now), "channels": channels}


def readings(view: View) -> list[Document]:
    """Return ``/ivp/meters/readings``: W, VA, var, V, A, Hz and Wh by element id (fixture 8.2.4286)."""
    groups = []
    for kind in installed_meters(view):
        # The total CT's own reading is right also where the report of it is not.
        options = replace(view.options, total="load") if kind == "total-consumption" else view.options
        parts = _phase_readings(kind, replace(view, options=options))
        groups.append(_reading_group(EIDS[kind], _sum(parts, view), parts, CHANNEL_EIDS[kind], view.now))
    if groups and view.version >= (8, 3, 5025):
        groups.append(_reading_group(EXTRA_EID, Reading(), [], EXTRA_EID + 1, view.now))
    return groups


def report_line(reading: Reading) -> Document:
    """Return one line of ``/ivp/meters/reports``."""
    return {
        "currW": reading.watts,
        "actPower": reading.watts,
        "apprntPwr": reading.voltamps,
        "reactPwr": reading.vars,
        "whDlvdCum": reading.delivered,
        "whRcvdCum": reading.received,
        "varhLagCum": round(reading.delivered / 10, 3),
        "varhLeadCum": round(reading.received / 10, 3),
        "vahCum": round(reading.delivered + reading.received, 3),
        "rmsVoltage": reading.volts,
        "rmsCurrent": reading.amps,
        "pwrFactor": reading.factor,
        "freqHz": reading.hertz,
    }


def report(kind: str, total: Reading, parts: list[Reading], now: int) -> Document:
    """Return one report: totals and lines. A system of two phases shows an unused third line of zeros."""
    lines = [*parts, *[Reading()] * CHANNELS][:CHANNELS] if len(parts) > 1 else parts
    return {
        "createdAt": now,
        "reportType": kind,
        "cumulative": report_line(total),
        "lines": [report_line(line) for line in lines],
    }


def reports(view: View) -> list[Document]:
    """Return ``/ivp/meters/reports``: W, VA, V, A, Hz for each kind of meter; storage + = discharging, net + = import.

    Keys: Matthew1471's Enphase-API documents, and NUT's scripts/external_apis/enphase, which reads them.
    """
    if not view.options.meters:
        return []
    kinds = [kind for kind in REPORT_KINDS if kind != "storage" or view.options.storage_ct]
    result = []
    for kind in kinds:
        parts = _phase_readings(kind, view)
        result.append(report(kind, _sum(parts, view), parts, view.now))
    return result


# -- user interface and tariff -----------------------------------------------------------------------------------------


def _production_entry(kind: str, view: View) -> Document:
    total = _sum(_phase_readings(kind, view), view)
    return {
        "type": "eim",
        "activeCount": 1,
        "measurementType": kind,
        "readingTime": view.now,
        "wNow": total.watts,
        "whLifetime": total.delivered,
        "rmsCurrent": total.amps,
        "rmsVoltage": total.volts,
        "reactPwr": total.vars,
        "apprntPwr": total.voltamps,
        "pwrFactor": total.factor,
    }


def production(view: View) -> Document:
    """Return ``/production.json``: the slow summary. ``storage`` is the AC Batteries; ``wNow`` + = discharging."""
    site = view.site
    inverters = {
        "type": "inverters",
        "activeCount": 12,
        "readingTime": view.now,
        "wNow": _whole(site.flows.pv),
        "whLifetime": _whole(LIFETIME_WH + site.energies.pv),
    }
    storage: Document = {"type": "acb", "activeCount": 0, "readingTime": 0, "wNow": 0, "whNow": 0, "state": "idle"}
    if site.setup.acb:
        watts = _whole(site.flows.acb)
        storage = {
            "type": "acb",
            "activeCount": site.setup.acb,
            "readingTime": view.now,
            "wNow": watts,
            "whNow": _whole(site.acb.energy_wh),
            "state": "discharging" if watts > 0 else "charging" if watts < 0 else "idle",
            "percentFull": _whole(site.acb.soc),
        }
    metered = view.options.meters
    kinds = ("total-consumption", "net-consumption")
    return {
        "production": [inverters, *([_production_entry("production", view)] if metered else [])],
        "consumption": [_production_entry(kind, view) for kind in kinds] if metered else [],
        "storage": [storage],
    }


def _mode(view: View) -> str:
    return "self-consumption" if view.site.policy == "self-consumption" else "backup"


def tariff(view: View) -> Document:
    """Return ``/admin/lib/tariff``: storage settings, in % (fixture 8.2.4345_with_device_data)."""
    site = view.site
    return {
        "tariff": {
            "currency": {"code": "EUR"},
            "logger": "simulator",
            "date": str(INSTALLED),
            "storage_settings": {
                "mode": _mode(view),
                "operation_mode_sub_type": "",
                "reserved_soc": float(site.reserve),
                "very_low_soc": _whole(site.setup.vls),
                "charge_from_grid": False,
                "date": str(INSTALLED),
            },
            "single_rate": {"rate": 0.3, "sell": 0.08},
            "seasons": [],
            "seasons_sell": [],
        },
        "schedule": {
            "source": "Tariff",
            "reserved_soc": float(site.reserve),
            "very_low_soc": _whole(site.setup.vls),
            "charge_from_grid": False,
            "battery_mode": _mode(view),
        },
    }


def schedule(view: View) -> Document:
    """Return ``/ivp/sc/sched``: energies in Wh, a cross-check of secctrl."""
    site = view.site
    return {
        "ENC_agg_energy": _whole(site.encharge.energy_wh),
        "Agg Backup Energy": _whole(site.encharge.capacity_wh * site.reserve / 100),
        "Agg VLS Energy": _whole(site.encharge.capacity_wh * site.setup.vls / 100),
        "max_energy": _whole(site.encharge.capacity_wh),
        "mode": _mode(view),
    }


DOCUMENTS: Mapping[str, Callable[[View], Any]] = {
    "/ivp/ensemble/relay": relay,
    "/ivp/ensemble/status": status,
    "/ivp/ensemble/secctrl": secctrl,
    "/ivp/ensemble/power": power,
    "/ivp/ensemble/inventory": inventory,
    "/ivp/ensemble/generator": generator,
    "/ivp/ensemble/dry_contacts": dry_contacts,
    "/ivp/meters": meters,
    "/ivp/meters/readings": readings,
    "/ivp/meters/reports": reports,
    "/production.json": production,
    "/admin/lib/tariff": tariff,
    "/ivp/sc/sched": schedule,
}
"""The documents of the house by path. Live data have a state of their own: the stream."""
