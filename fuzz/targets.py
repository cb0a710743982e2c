# SPDX-License-Identifier: GPL-2.0-or-later
"""Targets: functions of bytes that raise when something does not hold.

Of every input: only the documented errors come, what is kept is bounded, no password that was planted is in a text, and no OB
or LB follows from what does not say so.
"""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nutdrv_py.backends.enphase import site
from nutdrv_py.backends.enphase.client import decode as decode_json
from nutdrv_py.backends.enphase.config import EnphaseConfig
from nutdrv_py.backends.enphase.house import House as Gateway
from nutdrv_py.backends.enphase.jwt import Token
from nutdrv_py.backends.rct.client import Datum
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.rct.house import House as Inverter
from nutdrv_py.backends.rct.inventory import discover
from nutdrv_py.clock import Clock
from nutdrv_py.core import lowbattery
from nutdrv_py.core.guard import guarded
from nutdrv_py.core.lowbattery import Low, Wishes
from nutdrv_py.core.recall import parsed
from nutdrv_py.core.variables import Marks, shape
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import ConfigError, DeviceError, NutdrvError, ProtocolError
from nutdrv_py.exporters.config import read_exports
from nutdrv_py.machine.assignments import read_assignments
from nutdrv_py.nut import parseconf, portfile
from nutdrv_py.nut.connection import Connection, answer, encode
from nutdrv_py.nut.snapshot import Snapshot, Variable
from nutdrv_py.process.upsconf import load, read_ups_conf
from nutdrv_py.protocols.rct import payload
from nutdrv_py.protocols.rct.frame import LIMIT, FrameReader
from nutdrv_py.protocols.rct.objects import OBJECTS
from nutdrv_py.recording.file import read as read_recording

__all__ = ["SECRET", "TARGETS"]

SECRET = "hunter2-planted"
STEP, STEPS = 5.0, 18
"""Seconds between two polls of a conversation, and polls at most: less time than any doubt lasts."""

CHARGE = 60
"""Percent that every conversation tells unless the bytes say otherwise; far above any mark."""


class Bytes:
    """Choices made of the fuzzer's bytes; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        self._at += count
        return found.ljust(count, b"\0")

    def below(self, limit: int) -> int:
        return int.from_bytes(self.take(2), "big") % limit

    def value(self) -> object:
        """Something that JSON can hold, often a number that no house has."""
        kind = self.below(8)
        if kind == 0:
            return (None, True, False, "", [], {}, "unknown", -1)[self.below(8)]
        if kind == 1:
            return struct.unpack(">i", self.take(4))[0]
        if kind == 2:
            return struct.unpack(">d", self.take(8))[0]
        if kind == 3:
            return str(struct.unpack(">f", self.take(4))[0])
        return (0, 1, 100, 95, -5, 2147483647, 1e306, 10**400)[self.below(8)]


class Hand(Clock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1.8e9 + self.now


class Watched:
    """What the core makes of readings; raises when LB or OB is not what was told."""

    def __init__(self, clock: Hand) -> None:
        self._clock, self._low = clock, Low()

    def look(self, reading: Reading, *, off_grid: bool, charged: bool) -> None:
        kept, _ = guarded(reading, (SECRET,))
        assert (Status.OB in kept.status) is off_grid, "the state of the grid is what was told"
        self._low = lowbattery.after(self._low, kept, Wishes(), self._clock.now, fresh=True)
        assert not (charged and self._low.reasons), f"LB at {CHARGE} %: {self._low}"
        shape(lowbattery.coasted(kept, 1e6), Marks.of(kept, Wishes(), self._low.known, ()), {}, {}, {})


# Houses, through whole conversations

SECCTRL: Mapping[str, object] = {
    "agg_soc": CHARGE, "Max_energy": 10000, "ENC_agg_soc": CHARGE, "ENC_agg_avail_energy": 6000,
    "Enc_max_available_capacity": 10000, "ACB_agg_soc": 0, "ACB_agg_energy": 0, "VLS_Limit": 10, "soc_recovery_exit": 15,
}  # fmt: skip
ROW: Mapping[str, object] = {
    "currW": 900.0, "apprntPwr": 950.0, "rmsCurrent": 4.0, "rmsVoltage": 230.0, "pwrFactor": 0.9, "freqHz": 50.0,
}  # fmt: skip
METERS: Mapping[str, object] = {"soc": CHARGE, "enc_agg_soc": CHARGE, "enc_agg_energy": 6000, "last_update": 1, "phase_count": 1}
BLOCKS = ("storage", "load", "pv", "grid", "generator")
MEASURED = ("production", "net-consumption", "storage")
CHARGES = frozenset({"agg_soc", "ENC_agg_soc", "soc", "enc_agg_soc"})
RELAYS = ("closed", "open", "open pending", "closed pending", "", "unknown", 7, None)


def enphase(data: bytes) -> None:
    """A gateway's answers, one value after the other replaced."""
    said, clock = Bytes(data), Hand()
    house, watched, config = Gateway(clock), Watched(clock), EnphaseConfig(ups="home", port="x")
    documents: dict[str, Any] = {
        "secctrl": dict(SECCTRL),
        "power": {"devices:": [{"real_power_mw": 400_000}]},
        "reports": [{"reportType": kind, "cumulative": dict(ROW), "lines": [dict(ROW)]} for kind in MEASURED],
        "livedata": {
            "connection": {"sc_stream": "enabled"},
            "meters": {**METERS, **{block: {"agg_p_mw": 400_000} for block in BLOCKS}},
        },
        "meters": [{"measurementType": kind, "state": "enabled", "phaseCount": 1} for kind in MEASURED],
        "inventory": [
            {"type": "ENCHARGE", "devices": [{"communicating": True, "maxCellTemp": 20}]},
            {"type": "ENPOWER", "devices": [{}]},
        ],
        "status": {"inventory": {"serial_nums": {"x": {"encharge_rated_power": 3840}}}},
    }
    times = dict.fromkeys(documents, clock.now)
    charged = True
    for _ in range(STEPS):
        if not said.left:
            break
        clock.now += STEP
        word = RELAYS[said.below(len(RELAYS))]
        with suppress(DeviceError):
            state = site.grid({"mains_oper_state": word, "mains_admin_state": "closed"})
            if house.grid is not state:
                house.transfer(state)
                house.settle()
        name = tuple(documents)[said.below(len(documents))]
        charged = not _replace(documents[name], said) and charged
        times[name] = clock.now
        raw = {key: value for key, value in documents.items() if said.below(8)}
        if house.grid is None:
            continue
        reading = house.reading(raw, times, config, token_days=None, live_age=None, early=not said.below(8))
        watched.look(reading, off_grid=not house.grid.on_grid, charged=charged)


def _replace(content: Any, said: Bytes) -> bool:
    """Replace a value somewhere in the content; return whether it was a charge."""
    for _ in range(6):
        keys = list(content) if isinstance(content, dict) else list(range(len(content))) if isinstance(content, list) else []
        if not keys:
            return False
        key = keys[said.below(len(keys))]
        if not isinstance(content[key], dict | list) or not said.below(4):
            content[key] = said.value()
            return key in CHARGES
        content = content[key]
    return False


GRID_OBJECTS = ("prim_sm.island_flag", "rb485.available", *(f"rb485.u_l_grid[{index}]" for index in range(3)))
SIGNS = ("battery.status2", "battery.maximum_discharge_current", "fault[3].flt")
USUAL: Mapping[str, object] = {
    "prim_sm.island_flag": 2, "rb485.available": True, **{f"rb485.u_l_grid[{index}]": 230.0 for index in range(3)},
    "battery.soc": CHARGE / 100, "power_mng.soc_min_island": 0.1, "battery.ah_capacity": 25.0, "battery.voltage": 150.0,
    **{f"battery.module_sn[{index}]": f"module-{index}" for index in range(2)}, "battery.maximum_discharge_current": 25.0,
    "g_sync.p_acc_lp": 600.0, "g_sync.p_ac_load_sum_lp": 600.0, "g_sync.p_ac_sum_lp": 600.0, "p_rec_lim[2]": 6000.0,
    **{f"g_sync.u_l_rms[{index}]": 230.0 for index in range(3)},
}  # fmt: skip


def rct(data: bytes) -> None:
    """An inverter's answers, as raw payloads of objects."""
    said, clock = Bytes(data), Hand()
    house, watched, config = Inverter(clock), Watched(clock), RctConfig(ups="home", port="x")
    values = {name: Datum(value, clock.now) for name, value in USUAL.items()}
    charged, sign, shown = True, SIGNS[said.below(len(SIGNS))], False
    for _ in range(STEPS):
        if not said.left:
            break
        clock.now += STEP
        for _ in range(said.below(6)):
            row = OBJECTS[said.below(len(OBJECTS))]
            if row.name in SIGNS and row.name != sign:
                continue  # two signs of an empty battery are believed, and may be true
            with suppress(ProtocolError):
                value = payload.decode(row.kind, said.take(said.below(12)))
                if row.plausible(value):
                    values[row.name] = Datum(value, clock.now)
                    charged = charged and not row.name.endswith(".soc")
        fresh = {name: values[name].value for name in GRID_OBJECTS if said.below(8)}
        flag = fresh.get("prim_sm.island_flag")
        volts = [fresh.get(f"rb485.u_l_grid[{index}]") for index in range(3)]
        dead = fresh.get("rb485.available") is True and all(isinstance(one, float) and one < 0.8 * 230 for one in volts)
        shown = shown or dead or (isinstance(flag, int) and flag <= 3 and bool(flag & 1))
        house.judge(fresh, config, frozenset())
        assert shown or not house.off_grid, "no outage without an object that shows one"
        if house.off_grid is None:
            continue
        # The charge and the powers are told at each poll, unless the bytes have replaced them.
        current = {name: Datum(datum.value, clock.now) if name in USUAL else datum for name, datum in values.items()}
        reading = house.reading(current, config, discover({name: datum.value for name, datum in current.items()}))
        watched.look(reading, off_grid=house.off_grid, charged=charged)


# Formats


def frames(data: bytes) -> None:
    """A line of RCT's: the cut makes no difference, and the buffer is bounded."""
    whole, pieces = FrameReader(), FrameReader()
    found = whole.feed(data) + whole.flush()
    step = data[0] % 40 + 1 if data else 1
    cut = []
    for start in range(0, len(data), step):
        cut += pieces.feed(data[start : start + step])
        assert len(pieces._buffer) <= 2 * LIMIT + step + 8
    assert cut + pieces.flush() == found
    for frame in found:
        for kind in payload.Kind:
            with suppress(ProtocolError):
                payload.decode(kind, frame.payload)


def payloads(data: bytes) -> None:
    """A payload of each kind."""
    for kind in payload.Kind:
        with suppress(ProtocolError):
            payload.decode(kind, data)


def requests(data: bytes) -> None:
    """A client of the driver's socket; nothing is answered that ends its connection or holds a line of its own."""
    connection = Connection()
    snapshot = Snapshot({"ups.status": Variable("OL")})
    for start in range(0, len(data), 7):
        for request in connection.receive(data[start : start + 7]):
            encode(answer(request, snapshot, 1))


def words(data: bytes) -> None:
    """A file in NUT's syntax."""
    for line in parseconf.parse(data):
        if isinstance(line, parseconf.Line):
            assert all(len(word) <= parseconf.MAX_WORD for word in line.words)


def _in_file(data: bytes, read: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.touch(mode=0o600)
        path.write_bytes(data)
        try:
            read(path)
        except NutdrvError as error:
            assert SECRET not in str(error)


def ups_conf(data: bytes) -> None:
    """A section of ups.conf."""
    head = b"[home]\ndriver = nutdrv_py\nbackend = repeater\nport = a@b\nusername = u\n"
    for line in (f"password = {SECRET}\n".encode() + data, b"password = " + data.replace(b"\n", b"") + SECRET.encode() + b"\n"):
        _in_file(head + line, lambda path: load("home", "nutdrv_py", conf=read_ups_conf(path, "home"), environ={}))


def exports(data: bytes) -> None:
    """The exporters' file."""
    _in_file(data, lambda path: read_exports(path, {}))
    _in_file(b"mqtt: {enable: true, auth_pass: " + data + SECRET.encode() + b"}\n", lambda path: read_exports(path, {}))


def assignments(data: bytes) -> None:
    """A file of KEY=VALUE lines."""
    try:
        read_assignments(f"PASSWORD={SECRET}".join(data.decode("latin-1").split("\0")), "file", {"HOME": "/"})
    except ConfigError as error:
        assert SECRET not in str(error)


def dev_file(data: bytes) -> None:
    """A port file: what is written again is read as it was."""
    text = data.decode("utf-8", "surrogateescape")
    before = portfile.parse(text)
    after = portfile.parse(portfile.update(text, {"ups.status": "OL"}))
    assert len(after) <= len(before) + 1
    assert any(isinstance(item, portfile.Entry) and (item.name, item.value) == ("ups.status", "OL") for item in after)


def documents(data: bytes) -> None:
    """JSON, /info, a token and what is kept of the battery."""
    with suppress(DeviceError):
        site.identity(data)
    with suppress(ProtocolError, DeviceError):
        Token.parse(data.decode("latin-1"))
    with suppress(DeviceError):
        content = decode_json(data)
        parsed(content)
        with suppress(DeviceError):
            assert site.grid(content).on_grid is (b"closed" in data.lower() or b"\\u" in data), "no grid from nothing"


def recordings(data: bytes) -> None:
    """A recording, compressed or not."""
    _in_file(data, read_recording)
    import gzip

    _in_file(gzip.compress(b'{"nutdrv_py recording": 1}\n' + data), read_recording)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        enphase, rct, frames, payloads, requests, words, ups_conf, exports, assignments, dev_file, documents, recordings,
    )
}  # fmt: skip


def seeds() -> Iterator[tuple[str, bytes]]:
    """Inputs to begin with that are made rather than kept, by target."""
    yield "documents", json.dumps({"mains_oper_state": "closed", "mains_admin_state": "closed"}).encode()
    yield "documents", b"<envoy_info><device><sn>122333444455</sn><pn>800-1</pn><software>D8.2.1</software></device></envoy_info>"
    yield "ups_conf", b"pollinterval = 5\noverride.battery.charge.low = 30\n"
    yield "exports", b"prometheus: {enable: true, bind_port: 9100}\nlogging: {version: 1}\n"
    yield "assignments", b"A=\"b $HOME\" # c\nB='d'\0\n"
    yield "dev_file", b"ups.status: OB\nTIMER 5\n#@ rw battery.charge.low range 1 99\nbattery.charge: 50\n"
    yield "words", b'[home]\n a = "b \\" c" # d\n'
    yield "requests", b"DUMPALL\nPING\nSET a b TRACKING 0\nINSTCMD c\nLOGOUT\n"
    yield "frames", bytes.fromhex("2b05083623d82a0002d02d2b2b0444ebc62737")
    for target in ("enphase", "rct"):
        yield target, bytes(range(256)) * 2
