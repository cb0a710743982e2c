# SPDX-License-Identifier: GPL-2.0-or-later
"""What of a gateway's JSON may be recorded as it is: states, versions and measurements. Every other text is replaced.

The keys are those of the IQ Gateway's local API, firmware 7 to 8.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from nutdrv_py.recording.standins import StandIns

__all__ = ["scrub", "version"]

DEEPEST = 30
"""Levels of nesting that are kept; the gateway's documents have six."""

LARGE = 10**7
"""Whole numbers from here on are kept only for what counts that far: serial numbers are as large."""

LARGEST = 10**13
"""Numbers from here on are no measurement whatever they are called."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STATES = _words("""
    admin_state admin_state_str oper_state mains_admin_state mains_oper_state state status srt12_state srt13_state grid_state
    mid_state collar_state Enchg_grid_mode Solar_grid_mode Enpwr_grid_mode reported_grid_mode reported_enc_grid_state
    device_status type reportType measurementType meteringStatus statusFlags phaseMode phase com_interface_str
    Export_Limit_Type mqtt_state prov_state auth_state sc_stream sc_debug temperature maxCellTemp
""")
"""Keys whose texts are words of the vendor's: states and kinds."""

VERSIONS = _words("""
    software pn part_num part_number app_fw_version bmu_fw_version ibl_fw_version img_pnum_running zb_bootloader_vers
    swift_asic_fw_version assembly_number
""")
"""Keys whose texts are versions or part numbers."""

WORDS = _words("""
    ok error true false yes no on off enabled disabled unknown none normal open closed close connected configured
    pv3p NC1 NC2 NO1 NO2 Aggregate Installed
""") | {""}
"""Texts that are harmless under any key."""

NAMED = frozenset({"serial_nums"})
"""Objects whose keys are names of devices, however they look."""

UNSUSPICIOUS = frozenset({"user_commanded_offgrid_vls_offset"})
"""Keys of measurements that look like names of a person."""

_STATE = re.compile(r"(?:[a-z]+|[A-Z]+)(?:[_.-](?:[a-z]+|[A-Z]+))*")
_MOST_STATE = 48
_VERSION = re.compile(r"[A-Z]?\d{1,5}(?:[._/-](?:rel|[A-Za-z]?\d{1,5}))+")
_MOST_VERSION = 32
_ADDRESS = re.compile(r"(?<!\d)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?!\d)")
_QUANTITY = re.compile(r"-?\d{1,5}(?:\.\d{1,3})?")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_:]{0,60}")
_NAME = re.compile(r"[A-Z][a-z]{2,}")
_DIGITS = re.compile(
    r"(?:der|srt)\d{1,2}_state|l\dNAcVoltageInmV|(?:freq|voltage)_bias_(?:hz|v)_q\d(?:_phase[abc])?|comm_level_(?:2_4|5)_ghz"
    r"|ESS_R\d_To_R\d_in_progress|N[OC]\d|pv3p"
)
"""The keys of firmware that hold a digit; any other key with one may be an owner's name for a device."""

_SPELT = re.compile(r"eyJ|(?:[0-9A-Fa-f]{2}:){2}|.*[A-Z]{9}")
"""How a token, an address of the network or a serial number in letters alone begins, which may be keys too."""

_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_COUNTS_FAR = re.compile(r"eid|time|date|created|installed|update|_mw$|_mva$|cum$|energy|wh", re.IGNORECASE)
_PERSONAL = _words("""
    serial serialnum sn mac ip lat latitude lon lng longitude altitude geo position coordinates zip postal postcode phone tel
    email mail user username name site installation owner account address addr street city pass password passwd token secret
    session cookie ssid key imei iccid uuid guid pin host hostname plz gps location passcode passphrase pwd psk coord coords
""")
"""Words in a key whose number identifies a person or place."""

_RUN_TOGETHER = re.compile(
    r"serial|zipcode|postal|passw|passc|passphrase|coord|(?:site|system|account|customer|owner|user)_?id$|latitud|latl|longitud"
    r"|customer|owner",
    re.IGNORECASE,
)
"""The same in keys that are written without a break between their words."""

_PLACES = _words("""
    geo gps location coordinates position address site system owner account customer installation installer user contact
""")
"""Words in the key of an object whose values identify a person or place."""


def version(text: str) -> bool:
    """Return whether the text is a version or a part number, and holds no address of the network."""
    if len(text) > _MOST_VERSION or not _VERSION.fullmatch(text):
        return False
    return not any(all(int(part) < 256 for part in found) for found in _ADDRESS.findall(text))


def scrub(content: object, stand_ins: StandIns, key: str = "", depth: int = 0, *, place: bool = False) -> object:
    """Return JSON content with everything replaced that is not known to be harmless.

    ``key`` is its name; with ``place`` one of the objects around it identifies a person or place.
    """
    match content:
        case bool() | None:
            return content
        case int() | float():
            return content if not place and _measurement(content, key) else stand_ins.number(content, key)
        case str():
            return content if _harmless(content, key, place=place) else stand_ins.text(content, key)
        case _ if depth >= DEEPEST:
            return None
        case list():
            return [scrub(item, stand_ins, key, depth + 1, place=place) for item in content]
        case Mapping():
            inside = place or not _PLACES.isdisjoint(_parts(key))
            return {
                _name(name, key, stand_ins): scrub(value, stand_ins, name, depth + 1, place=inside)
                for name, value in content.items()
            }
    return None


def _name(name: str, parent: str, stand_ins: StandIns) -> str:
    plain = not any(map(str.isdigit, name)) or _DIGITS.fullmatch(name)
    program = name == "" or (_KEY.fullmatch(name) and plain and not (_NAME.fullmatch(name) or _SPELT.match(name)))
    return name if program and parent not in NAMED else stand_ins.text(name, f"keys of {parent}" if parent else "keys")


def _parts(key: str) -> set[str]:
    return {part.lower() for part in _PARTS.findall(key)}


def _personal(key: str) -> bool:
    return key not in UNSUSPICIOUS and (not _PERSONAL.isdisjoint(_parts(key)) or _RUN_TOGETHER.search(key) is not None)


def _measurement(number: int | float, key: str) -> bool:
    if not abs(number) < LARGEST or _personal(key):
        return False
    return isinstance(number, float) or abs(number) < LARGE or bool(_COUNTS_FAR.search(key))


def _harmless(text: str, key: str, *, place: bool) -> bool:
    if text in WORDS:
        return True
    if key in STATES and len(text) <= _MOST_STATE and _STATE.fullmatch(text):
        return True
    if key in VERSIONS:
        return version(text)
    return not place and bool(_QUANTITY.fullmatch(text)) and not _personal(key)
