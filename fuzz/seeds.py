# SPDX-License-Identifier: GPL-2.0-or-later
"""Inputs to begin with: made of what the simulators answer and of what is written here, so that they follow the targets."""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Callable, Iterator, Mapping

from fuzz import enphase, rct, repeater
from fuzz.taking import NUMBERS, WORDS
from nutdrv_py.protocols.rct.frame import EXTENSION, Command, build
from nutdrv_py.protocols.rct.objects import BY_NAME, OBJECTS

__all__ = ["seeds"]

# The steps of a conversation with a gateway, as fuzz.enphase reads them.
ASK = b"\0"
RESTART = b"\x0a"


def _set(*path: object, value: object) -> bytes:
    at = enphase.PATHS.index(path)
    return b"\3" + at.to_bytes(2, "big") + _value(value)


def _value(value: object) -> bytes:
    if isinstance(value, float) and 0 <= value < 256 and value == int(value):
        return bytes([128, int(value)])
    for options, first in ((NUMBERS, 0), (WORDS, 96)):
        if value in options:
            index = options.index(value)
            start = next(kind for kind in range(first, 128) if kind % len(options) == index)
            return bytes([start])
    assert isinstance(value, int | float)
    return b"\xf0" + struct.pack(">d", float(value))


def _relay(index: int) -> bytes:
    return bytes([2, index])


def _pause(seconds: float) -> bytes:
    return bytes([5, enphase.PAUSES.index(seconds)])


def _fails(endpoint: str, kind: int) -> bytes:
    return bytes([7, tuple(enphase._PATH).index(endpoint), kind])


def _enphase() -> Iterator[tuple[str, bytes]]:
    live = ("livedata", "meters")
    yield "grid", b"\0" + ASK * 4
    yield "outage", b"\0" + ASK * 2 + _relay(1) + ASK * 3 + _relay(0) + ASK * 2
    yield "three-phases-outage", b"\1" + ASK + _relay(1) + ASK * 2 + _pause(121.0) + ASK
    yield "starts-in-an-outage", b"\2" + ASK * 3
    yield "no-battery", b"\3" + ASK + _relay(1) + ASK * 2
    yield "ac-batteries", b"\4" + ASK + _relay(1) + ASK * 2
    yield "generator", b"\0" + ASK + _relay(6) + ASK + _relay(5) + ASK
    yield "island-on-command", b"\0" + ASK + _relay(2) + ASK * 2
    yield "relay-says-nothing", b"\0" + ASK + b"".join(_relay(index) + ASK for index in range(7, len(enphase.RELAYS)))
    yield "silence-on-the-grid", b"\0" + ASK * 2 + _fails("relay", 1) + ASK * 3 + _pause(61.0) + ASK
    yield "relay-says-nothing-in-an-outage", b"\2" + ASK + b"".join(_relay(index) + ASK for index in range(7, len(enphase.RELAYS)))
    yield "silence-in-an-outage", b"\2" + ASK + _fails("relay", 1) + ASK * 2 + _pause(200.0) + ASK + _fails("relay", 0) + ASK
    yield "relay-absent-status-tells", b"\0" + _fails("relay", 2) + ASK * 2 + _set("status", "relay", "mains_oper_state", value="open") + ASK * 2
    yield "token-refused", b"\0" + ASK + _fails("relay", 3) + ASK * 2 + _pause(61.0) + ASK
    yield "no-livedata-in-an-outage", b"\2" + _fails("livedata", 1) + ASK * 3
    yield "charge-of-nought", b"\0" + ASK + _relay(1) + _set(*live, "soc", value=0) + _set(*live, "enc_agg_soc", value=0) + ASK * 3
    yield "charge-of-nought-from-secctrl", b"\0" + ASK + _relay(1) + _set("secctrl", "agg_soc", value=0) + _set("secctrl", "ENC_agg_soc", value=0) + ASK * 3
    yield (
        "gateway-has-just-started",
        b"\0" + ASK + _set("secctrl", "Enc_max_available_capacity", value=0) + _set("secctrl", "Max_energy", value=0) + _relay(1) + ASK * 3,
    )
    for name, value in (("huge", 2147483647), ("infinite", float("inf")), ("null", None), ("text", ""), ("long", 10**400), ("negative", -2147483648)):
        yield f"power-{name}", b"\2" + _set(*live, "load", "agg_p_mw", value=value) + ASK + _set(*live, "storage", "agg_p_mw", value=value) + ASK
        yield f"meter-{name}", b"\1" + _set("reports", 0, "cumulative", "currW", value=value) + ASK
        yield f"pack-{name}", b"\2" + _set("power", "devices:", 0, "real_power_mw", value=value) + _fails("livedata", 1) + ASK * 2
    yield "energy-beyond-numbers", b"\2" + _set(*live, "enc_agg_energy", value=1.7e308) + ASK
    yield "power-of-a-pack-beyond-a-house", b"\2" + _set("power", "devices:", 0, "real_power_mw", value=2147483647) + ASK
    jump = _pause(61.0) + ASK + _pause(20.0) + ASK
    yield "limit-that-jumps", b"\2" + ASK + _set("secctrl", "VLS_Limit", value=80.0) + jump
    yield "limit-of-all", b"\2" + ASK + _set("secctrl", "VLS_Limit", value=95.0) + jump + jump + jump
    yield "size-of-nothing", b"\2" + _fails("livedata", 1) + ASK + _set("secctrl", "Enc_max_available_capacity", value=1) + jump + jump + jump
    yield "power-beyond-the-battery", b"\2" + ASK + _set(*live, "storage", "agg_p_mw", value=1e8) + ASK * 3
    yield (
        "charge-that-drops",
        b"\2"
        + ASK
        + _set(*live, "soc", value=5.0)
        + _set(*live, "enc_agg_soc", value=5.0)
        + _set("secctrl", "agg_soc", value=5.0)
        + _set("secctrl", "ENC_agg_soc", value=5.0)
        + jump,
    )
    yield "driver-restarts-in-an-outage", b"\2" + ASK * 2 + _fails("livedata", 1) + _fails("secctrl", 1) + RESTART + ASK * 2 + _pause(700.0) + ASK * 2
    yield "driver-restarts-on-the-grid", b"\0" + ASK * 2 + RESTART + _fails("relay", 1) + ASK * 3 + RESTART + _fails("relay", 0) + ASK * 2
    yield "hostile-words", b"\0" + b"".join(_set("inventory", 0, "devices", 0, "serial_num", value=word) + ASK for word in WORDS[9:13])
    yield "documents-are-lists", b"\2" + b"".join(bytes([8, index, 2]) + b"[]" for index in range(9)) + ASK * 2
    yield "documents-are-not-json", b"\2" + ASK + b"".join(bytes([8, index, 6]) + b"<html>" for index in range(9)) + ASK * 2
    yield "slow", b"\2" + bytes([9, 7, 1]) + ASK * 3
    yield "livedata-stand-still", b"\2" + bytes([9, 0, 0]) + ASK * 4
    yield (
        "another-gateway",
        b"\0" + ASK + bytes([8, tuple(enphase._PATH).index("info"), 200]) + b"<device><sn>999999999999</sn></device>".ljust(200) + _pause(50000.0) + ASK * 3,
    )


def _place(name: str) -> bytes:
    return rct.NAMES.index(name).to_bytes(2, "big")


def _rct_set(name: str, value: object) -> bytes:
    return b"\3" + _place(name) + _value(value)


def _flag(index: int) -> bytes:
    return bytes([2, index])


def _rct_pause(seconds: float) -> bytes:
    return bytes([5, rct.PAUSES.index(seconds)])


def _rct() -> Iterator[tuple[str, bytes]]:
    dark = b"".join(_rct_set(f"rb485.u_l_grid[{phase}]", 0) for phase in range(3))
    yield "grid", b"\0" + ASK * 3
    yield "outage", b"\0" + ASK * 2 + _flag(3) + dark + ASK * 3 + b"\7\0" + ASK * 2 + _rct_pause(11.0) + ASK
    yield "starts-in-an-outage", b"\1" + ASK * 2
    yield "flag-alone", b"\0" + ASK + _flag(3) + ASK * 2
    yield "switch-alone", b"\0" + ASK + dark + ASK * 3
    yield "all-bits", b"\0" + ASK + _flag(6) + ASK * 3
    yield "one-look", b"\0" + ASK + _flag(3) + ASK + _flag(2) + ASK * 2
    yield "flag-falls-silent-in-an-outage", b"\1" + ASK + b"\6" + _place("prim_sm.island_flag") + ASK * 2 + _rct_pause(61.0) + ASK
    yield "flag-falls-silent-on-the-grid", b"\0" + ASK * 2 + b"\6" + _place("prim_sm.island_flag") + ASK * 3
    yield "deaf-on-the-grid", b"\0" + ASK * 2 + b"\x08\1" + ASK * 3 + _rct_pause(31.0) + ASK
    yield "deaf-in-an-outage", b"\1" + ASK + b"\x08\1" + ASK * 2 + _rct_pause(31.0) + ASK + b"\x08\0" + ASK
    yield "connection-breaks", b"\1" + ASK + b"\x0b" + ASK + b"\x0a\1" + ASK + b"\x0a\0" + _rct_pause(4.0) + ASK
    yield "driver-restarts-in-an-outage", b"\1" + ASK + b"\6" + _place("battery.soc") + b"\x0c" + ASK * 2 + _rct_pause(61.0) + ASK
    yield "noise", b"\1\x0a\x0f" + b"+\x05\x08-+--\0\0+++---" + ASK * 2
    yield "charge-of-nought", b"\0" + ASK + _flag(3) + dark + ASK + _rct_set("battery.soc", 0) + ASK * 2
    yield "charge-beyond", b"\1" + _rct_set("battery.soc", 1.7e308) + ASK + _rct_set("battery.soc", -1) + ASK
    yield "no-discharge-permitted", b"\1" + ASK + _rct_set("battery.maximum_discharge_current", 0) + ASK * 2
    jump = _rct_pause(61.0) + ASK + _rct_pause(31.0) + ASK
    yield "limit-is-all", b"\1" + ASK + _rct_set("power_mng.soc_min_island", 1) + jump * 5
    yield "limit-jumps", b"\1" + ASK + _rct_set("power_mng.soc_min_island", 0.8) + _rct_pause(301.0) + ASK + _rct_pause(61.0) + ASK
    yield "no-discharge-permitted-for-long", b"\1" + ASK + _rct_set("battery.maximum_discharge_current", 0) + ASK * 12
    yield "power-beyond-the-battery", b"\1" + ASK + _rct_set("g_sync.p_acc_lp", 1e6) + ASK * 3
    yield "tower-of-nothing", b"\1" + _rct_set("battery_placeholder[0].bms_sn", 0) + _rct_set("battery.maximum_discharge_current", 0) + ASK * 3
    yield "charge-that-drops", b"\1" + ASK + _rct_set("battery.soc", 0.05) + ASK * 3
    yield "empty-bit", b"\1" + ASK + _rct_set("battery.status2", 512.0) + ASK * 2
    yield "faults", b"\1" + b"".join(_rct_set(f"fault[{index}].flt", 4294967295) for index in range(4)) + ASK * 2
    yield "asleep", b"\0" + b"".join(_rct_set(name, 0) for name in rct.NAMES if name.startswith("battery."))[:900] + ASK * 2
    yield (
        "a-stranger-asks",
        b"\1" + ASK + b"\x09" + (lambda data: bytes([len(data)]) + data)(build(Command.RESPONSE, BY_NAME["battery.soc"].oid, struct.pack(">f", 0.5))) + ASK,
    )
    yield "texts", b"\0" + b"".join(_rct_set(name, "x" * 300) for name in ("inverter_sn", "android_description", "svnversion")) + ASK


def _repeater() -> Iterator[tuple[str, bytes]]:
    begin, end = repeater.BEGIN, b"END LIST VAR rack\n"
    low = b'VAR rack ups.status "OB LB"\nVAR rack battery.charge "5"\n'
    writable = b'BEGIN LIST RW rack\nRW rack ups.id "x"\nEND LIST RW rack\nBEGIN LIST CMD rack\nCMD rack beeper.off\nEND LIST CMD rack\n'
    yield "grid", begin + b'VAR rack ups.status "OL CHRG"\nVAR rack battery.charge "99.5"\nVAR rack battery.charge.low "20"\n' + end
    yield "outage", begin + low + end + writable + b"TYPE rack ups.id RW STRING:32\n"
    yield "ranges", begin + low + end + writable + b'TYPE rack ups.id RW RANGE\nBEGIN LIST RANGE rack ups.id\nRANGE rack ups.id "1" "1e9"\n'
    yield "end-that-does-not-come", begin + low
    yield "stale", b"ERR DATA-STALE\n"
    yield "stale-in-the-list", begin + low + b"ERR DATA-STALE\n"
    yield "forced", begin + b'VAR rack ups.status "FSD OB LB WAIT"\nVAR rack ups.alarm "[x] [y]"\n' + end
    yield "both", begin + b'VAR rack ups.status "OL OB"\nVAR rack ups.status OFF\n' + end
    yield "hostile-names", begin + b'VAR rack ups.status OL\nVAR rack "a b" c\nVAR rack driver.name x\nVAR rack UPS.STATUS OB\nVAR rack x "a\\"b\n' + end
    yield "numbers", begin + b"VAR rack ups.status OB\nVAR rack battery.charge nan\nVAR rack battery.runtime 1e999\nVAR rack ups.load -0x1\n" + end
    yield "loop", begin + b'VAR rack ups.status OL\nVAR rack experimental.repeater.path "a b c d e"\n' + end
    yield "no-text", bytes(range(256)) * 2


def _frames() -> Iterator[tuple[str, bytes]]:
    soc = BY_NAME["battery.soc"].oid
    one = build(Command.RESPONSE, soc, struct.pack(">f", 0.5))
    cuts = bytes([1, 2, 3, 5, 8, 1, 1, 1])
    yield "one", cuts + one
    yield "three", cuts + one * 3
    yield "escapes", cuts + build(Command.RESPONSE, soc, b"+-+-")
    yield "raw-crc", cuts + build(Command.RESPONSE, soc, b"\x12\x34\x56\x78", raw_crc=True) + one
    yield "long", cuts + build(Command.LONG_RESPONSE, soc, bytes(300)) + one
    yield "plant", cuts + build(Command.PLANT_RESPONSE, soc, b"1234", 7)
    yield "extension", cuts + EXTENSION + one
    yield "bootloader", cuts + bytes.fromhex("50f705ab") * 3 + one
    yield "cut-short", cuts + one[:-3] + one
    yield "crc-wrong", cuts + one[:-1] + b"\0" + one
    yield "start-bytes", cuts + b"+" * 60 + one
    yield "escape-bytes", cuts + b"+\5" + b"-" * 61 + one
    yield "length-beyond", cuts + b"+\5\xff" + one * 2
    yield "long-length-beyond", cuts + b"+\6\xff\xff" + one * 2


def _payloads() -> Iterator[tuple[str, bytes]]:
    house = rct.HOUSES[0]
    sizes: dict[int, str] = {}
    for row in OBJECTS:
        if row.name in house:
            sizes.setdefault(len(house[row.name]), row.name)
    yield from ((f"{len(house[name])}-bytes", house[name]) for name in sizes.values())
    yield from (("nan", b"\x7f\xc0\0\0"), ("infinity", b"\xff\x80\0\0"), ("series", bytes(20)), ("events", bytes(24)), ("text", "Wärme\0+\x05".encode()))


def _json() -> Iterator[tuple[str, bytes]]:
    for name in ("relay", "livedata", "secctrl", "power", "reports", "meters"):
        yield name, json.dumps(enphase.HOUSES[1][name], separators=(",", ":")).encode()[:4000]
    yield "deep", b"[" * 500 + b"]" * 500
    yield "infinite", b'{"meters":{"soc":1e999,"load":{"agg_p_mw":-1e999}},"agg_soc":NaN}'
    yield "long-number", b'{"currW":' + b"9" * 400 + b"}"
    yield "twice", b'{"mains_oper_state":"open","mains_oper_state":"closed"}'
    yield "cut-short", b'{"mains_oper_state":"op'
    yield "page", b"<!DOCTYPE html><html>"
    yield "bom", b"\xef\xbb\xbf{}"
    yield "surrogate", b'{"mains_oper_state":"\\ud800open"}'


def _info() -> Iterator[tuple[str, bytes]]:
    yield "gateway", enphase.HOUSES[0]["info"].encode()
    yield "nothing", b""
    yield "stranger", b"<html><device><sn>../../x</sn></device>"
    yield "blanks", b"<device>" + b"<sn>" + b" " * 4000
    yield "serial-alone", b"<device><sn> 123456789012 </sn></device>"
    yield "twice", b"<device><sn>1</sn></device><device><sn>2</sn></device>"


def _token() -> Iterator[tuple[str, bytes]]:
    yield "owner", b'{"aud":"123456789012","exp":1900000000,"iat":1800000000,"enphaseUser":"owner"}'
    yield "never-ends", b'{"exp":1e300}'
    yield "truth", b'{"exp":true}'
    yield "list", b"[1]"
    yield "deep", b"[" * 600
    yield "whole", enphase.TOKEN.replace("hunter2-planted-0123456789", "signature").encode()


def _socket() -> Iterator[tuple[str, bytes]]:
    yield "upsd", b"DUMPALL\nPING\nPING\n"
    yield "set", b'SET battery.charge.low "30" TRACKING 1\nSET ups.id "\\"a\\\\#"\nSET driver.debug 3\n'
    yield "set-wrong", b'SET battery.charge.low 1000\nSET ups.status "OB LB"\nSET nothing x TRACKING\nSET\nSET a b c d\n'
    yield "commands", b"INSTCMD test.battery.start TRACKING 2\nINSTCMD shutdown.default\nINSTCMD driver.reload x\nINSTCMD nothing\nINSTCMD\n"
    yield "asks", b"DUMPSTATUS\nDUMPVALUE ups.status\nDUMPVALUE x\nGETPID\nNOBROADCAST\nBROADCAST 1\nBROADCAST x\nLOGOUT\n"
    yield "quotes", b'"' * 9 + b'\n"#\n\\\n\\"\n'
    yield "long-word", b"SET ups.id " + b"x" * 3000 + b"\n"
    yield "many-words", b"a " * 900 + b"\n"
    yield "many-commands", b"INSTCMD test.battery.start\n" * 100
    yield "no-text", bytes(range(256)) + b"\n"


def _conf() -> Iterator[tuple[str, bytes]]:
    for index, text in enumerate((
        b"pollinterval = 5\nmaxage = 60\nserial = 123456789012\ndisable_meters\n", b"charge_low_margin = 5.5\nnominal_power = 6000\nwakeup = yes\n",
        b"mode = dummy-loop\n", b"port = ups@localhost\npollinterval = 2\n",
    )):  # fmt: skip
        yield f"backend-{index}", bytes([index]) + text
    yield "numbers", b"\1pollinterval = 1e9\nmaxage = -1\npollfreq = 99999999999999999999\nlowbatt = nan\nlooks = 0\n"
    yield "numbers-of-other-scripts", "\1pollinterval = \u0663\nmaxage = 1_0\n".encode()
    yield "unknown", b"\0pollintervall = 5\n"
    yield "overrides", b'\1override.battery.charge.low = 30\ndefault.battery.runtime.low = 600\noverride.ups.model = "a \\" b"\n'
    yield "status-overridden", b"\1override.ups.status = OL\n"
    yield "quotes-are-open", b'\1desc = "a\npollinterval = 5\n'
    yield "another-section", b"\1[other]\nport = x\nnonsense\n[home]\npollinterval = 3\n"
    yield "refused", b"\1chroot = /\n"
    yield "many-words", b"\1desc = a b c d\nsdcommands = x,y , z\nignorelb\nallow_killpower = maybe\n"


def _account() -> Iterator[tuple[str, bytes]]:
    yield "account", b"USERNAME=me@example.invalid\nPASSWORD='a b#c'\n"
    yield "token", b"TOKEN=a.b.c\n# a comment\n\n"
    yield "wrong", b"password: x\n"
    yield "no-text", b"USERNAME=\xff\n"


def _exporters() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield (
        "all",
        (
            b"prometheus:\n  exposition: true\ninfluxdb:\n  enable: true\n  url: http://localhost:8086\n  token_env: HOME\nmqtt:\n"
            b"  enable: true\n  mqtt_host: localhost\npage:\n  title: House\nportfile:\n  path: home.dev\nlogging:\n  root:\n    level: INFO\n"
        ),
    )
    yield "rctmon", b"device:\n  host: localhost\n  port: 8899\n  name: rct\nprometheus:\n  enable: yes\n"
    yield "devices", b"devices:\n- {name: a, backend: rct, port: localhost}\n- name: b\n  backend: enphase\n  port: x\n  pollinterval: 5\n"
    yield "alias", b"page: &a\n  title: x\nprometheus: *a\n"
    yield "merge", b"x: &a {enable: true}\npage:\n  <<: *a\n"
    yield "bomb", b"a: &a [x,x]\nb: &b [*a,*a,*a]\nlogging: &c {x: [*b,*b,*b], y: *b}\n"
    yield "itself", b"logging: &a\n  x: *a\n"
    yield "tags", b"logging: !!python/object/apply:os.getcwd []\npage: !!binary |\n  eA==\n"
    yield "numbers", b"influxdb:\n  interval: .inf\npage:\n  bind_port: 0x10\nmqtt:\n  mqtt_port: 1e3\n"
    yield "deep", b"logging: " + b"[" * 300
    yield "keys", b"? [a]\n: b\n? {a: b}\n: c\n"
    yield "twice", b"page:\npage:\n"
    yield "dates", b"page:\n  title: 2001-99-99\n  history: 2001-01-01 00:00:00 +99:99\n"
    yield "logging", b"logging:\n  version: 2\n  handlers: {a: {class: ext://sys.stdout, level: cfg://x}}\n"
    yield "no-yaml", b"\t- :\n %\n"


def _port_file() -> Iterator[tuple[str, bytes]]:
    yield "dev", b'ups.status: OL CHRG\nbattery.charge: 80\nups.model: "A \\"x\\" \\#1 = b"\nups.alarm: "[a] [b]"\n'
    yield "seq", b"ups.status: OL\nTIMER 5\nups.status: OB\nTIMER 0.01\nALARM Replace\nups.status: OB LB\nTIMER 10\nALARM\n"
    yield "no-pause", b"ups.status: OL\nTIMER 0\n"
    yield "declared", b"#@ rw ups.id string 32\n#@ rw battery.charge.low range 1 99\n#@ command test.battery.start battery.charge 50\n"
    yield "wrong", b'a\n: b\nups.status OL\n"a\nTIMER x\nTIMER -1\nTIMER nan\nALARM: x\nups.load: 1\nups.load : 2\n'
    yield "continued", b"ups.status: OL\\\nOB\nups.load: \\\n5\n\\"
    yield "both", b"ups.status: OL OB\n"
    yield "no-text", "\ufeffups.status: OL\nups.model: W\u00e4rme \0\n".encode()


def _recording() -> Iterator[tuple[str, bytes]]:
    poll = b'{"t":1,"poll":"begins"}\n{"t":2,"poll":"ends","says":"OL"}\n'
    answer = build(Command.RESPONSE, BY_NAME["battery.soc"].oid, struct.pack(">f", 0.5)).hex().encode()
    yield "rct", b'{"t":0,"line":"open"}\n' + poll + b'{"t":3,"in":"' + answer + b'"}\n{"t":4,"in":{"same":5}}\n'
    yield "gateway", poll + b'{"t":3,"took":0.1,"ask":"GET /info","status":200,"date":"x","type":"text/xml","body":"<device>"}\n'
    yield "failed", poll + b'{"t":3,"took":0.1,"ask":"GET /info","error":"timeout"}\n'
    yield "repeats-what-is-not-there", poll + b'{"t":3,"in":{"same":99}}\n{"t":3,"in":{"same":true}}\n'
    yield "back-in-time", poll + b'{"t":1,"poll":"begins"}\n'
    yield "numbers", poll + b'{"t":1e999}\n{"t":NaN}\n{"t":true}\n'
    yield "deep", poll + b"[" * 2000
    yield "no-object", b"[]\n"


def _web() -> Iterator[tuple[str, bytes]]:
    yield "metrics", b"GET /metrics HTTP/1.1\r\nHost: localhost:9831\r\n\r\n"
    yield "another-name", b"GET /metrics HTTP/1.1\r\nHost: example.org\r\n\r\n"
    yield "no-name", b"GET /metrics HTTP/1.0\r\n\r\n"
    yield "two-names", b"GET /metrics HTTP/1.1\r\nHost: example.org\r\nHost: 127.0.0.1\r\n\r\n"
    yield "head", b"HEAD /metrics?x=1#y HTTP/1.1\r\nHost: [::1]:1\r\n\r\n"
    yield "no-path", b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    yield "oldest", b"GET /metrics\r\n"
    yield "many-headers", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n"
    yield "expects", b"GET / HTTP/1.1\r\nExpect: 100-continue\r\nHost: localhost\r\n\r\n"
    yield "folded-own", b"GET /metrics HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n"
    yield "folded", b"GET /metrics HTTP/1.1\r\nHost: x\r\n localhost\r\n\r\n"
    yield "noise", bytes(range(256))


def _words() -> Iterator[tuple[str, bytes]]:
    yield "words", b'a = "b \\" c" # d\ne\\ f\n\n[g]\n'
    yield "quotes", b'"a\nb"c"d # e\nf\n'
    yield "many", b"a " * 40 + b"\n" + b"b" * 600 + b"\n"
    yield "no-text", bytes(range(256))


_MADE: Mapping[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
    "enphase": _enphase, "rct": _rct, "repeater": _repeater, "frames": _frames, "payloads": _payloads, "json": _json, "info": _info,
    "token": _token, "socket": _socket, "words": _words, "conf": _conf, "account": _account,
    "exporters": _exporters, "portfile": _port_file, "recording": _recording, "web": _web,
}  # fmt: skip


@functools.cache
def seeds(target: str) -> Mapping[str, bytes]:
    """Return the inputs of a target by name."""
    return dict(_MADE[target]())
