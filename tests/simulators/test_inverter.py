# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated inverter as its clients see it: values, several clients, and a bad line."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from rctclient.frame import ReceiveFrame, make_frame
from rctclient.registry import REGISTRY
from rctclient.types import Command as ForeignCommand
from rctclient.utils import decode_value

from nutdrv_py.errors import ProtocolError
from nutdrv_py.protocols.rct.frame import EXTENSION, Command, Frame, build, read_request
from nutdrv_py.protocols.rct.objects import BY_NAME, BY_OID, OBJECTS
from nutdrv_py.protocols.rct.payload import decode
from nutdrv_py.protocols.rct.reader import FrameReader
from nutdrv_py.simulators.rct import InverterSimulator, RunningInverter, Scenario

SOC = BY_NAME["battery.soc"].oid
NAME = BY_NAME["android_description"].oid
BATTERY_TYPE = BY_NAME["power_mng.battery_type"].oid  # the CRC of its READ needs an escape
MARK = Frame(Command.RESPONSE, 0xFEEDC0DE, b"end")


class Clock:
    """A clock for simulator time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Peer:
    """A client on a socket; the fixture closes all of them."""

    opened: ClassVar[list[Peer]] = []

    def __init__(self, running: RunningInverter) -> None:
        self.running = running
        self.sim = running.sim
        self.reader = FrameReader()
        self.raw = b""
        self.frames: list[Frame] = []
        before = self.sim.clients
        self.socket = socket.create_connection(("127.0.0.1", self.sim.port), timeout=5.0)
        self.opened.append(self)
        # What is broadcast before the simulator has taken the connection up does not come here.
        with contextlib.suppress(AssertionError):
            wait(lambda: self.sim.clients > before, 0.5)

    def send(self, *oids: int) -> None:
        self.socket.sendall(b"".join(read_request(oid) for oid in oids))

    def receive(self) -> bool:
        """One portion; False at the end of the connection."""
        data = self.socket.recv(65536)
        self.raw += data
        self.frames += self.reader.feed(data)
        return bool(data)

    def ask(self, name: str) -> Any:
        """The decoded answer to a READ."""
        row = BY_NAME[name]
        seen = len(self.frames)
        self.send(row.oid)
        while True:
            for frame in self.frames[seen:]:
                if frame.oid == row.oid and frame.command is Command.RESPONSE:
                    return decode(row.kind, frame.payload)
            assert self.receive(), "the connection has ended"

    def everything(self, *oids: int) -> list[Frame]:
        """All frames that come in for these requests."""
        before = len(self.sim.requests)
        self.send(*oids)
        wait(lambda: len(self.sim.requests) >= before + len(oids))
        return self.rest()

    def rest(self) -> list[Frame]:
        """All frames that come until nothing is on its way any more."""
        wait(lambda: self.running.call(lambda: not self.sim._waiting))
        self.running.call(lambda: self.sim.broadcast(build(MARK.command, MARK.oid, MARK.payload)))
        while MARK not in self.frames:
            assert self.receive(), "the connection has ended"
        found, self.frames = self.frames[: self.frames.index(MARK)], []
        return found


def wait(condition: Callable[[], object], seconds: float = 5.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it has not come true"
        time.sleep(0.002)


Make = Callable[..., Peer]


@pytest.fixture
def make() -> Iterator[Make]:
    started: list[RunningInverter] = []

    def start(scenario: Scenario | str = "online", **line_and_house: Any) -> Peer:
        running = RunningInverter(scenario, clock=Clock())
        running.__enter__()
        running.set(**line_and_house)
        started.append(running)
        return Peer(running)

    yield start
    while Peer.opened:
        Peer.opened.pop().socket.close()
    for running in started:
        running.__exit__(None, None, None)


# -- values ----------------------------------------------------------------------------------------------------------

HOUSES: tuple[dict[str, Any], ...] = (
    {},
    {"pv": 9000, "load": 100},
    {"grid": "outage", "load": 4000},
    {"grid": "outage", "soc": 9},
    {"grid": "reclosing"},
    {"switch": False, "grid": "outage"},
    {"battery": False, "pv": 2000},
    {"towers": 2, "modules": 7, "soc": 100},
    {"modules": 0},
    {"emergency_off": True, "grid": "outage"},
    {"temperature": -20.0, "soc": 0, "soh": 0},
    {"load": 4e4, "nominal": 5e4, "grid": "outage", "modules": 7},
    {"faults": tuple(range(0, 128, 2)), "calibration": "high"},
)


@pytest.mark.parametrize("changes", HOUSES)
def test_every_object_has_a_plausible_value_of_its_kind(changes: dict[str, Any]) -> None:
    sim = InverterSimulator(clock=Clock())
    sim.set(**changes)
    sim.skip(20)
    for row in OBJECTS:
        value = sim.value(row.name)
        assert row.plausible(value), (row.name, value)
        assert type(decode(row.kind, sim._payload(row.name))) in (type(value), float), row.name


def test_what_the_grid_objects_say_in_an_outage() -> None:
    sim = InverterSimulator(clock=Clock())
    names = ("prim_sm.island_flag", "prim_sm.state", "power_mng.is_grid", "rb485.available", "fault[2].flt")
    assert [sim.value(name) for name in names] == [2, 13, True, True, 0]
    assert sim.value("rb485.u_l_grid[0]") == pytest.approx(230, abs=3)
    sim.set(grid="outage")
    assert [sim.value(name) for name in names] == [3, 13, False, True, 1 << 26]
    assert [sim.value(f"fault[{number}].flt") for number in (0, 1, 3)] == [7 << 13, 0x3F << 16, 0]
    for phase in range(3):
        assert 0 <= sim.value(f"rb485.u_l_grid[{phase}]") < 5
        assert sim.value(f"rb485.f_grid[{phase}]") == 0
        assert sim.value(f"g_sync.u_l_rms[{phase}]") == pytest.approx(230, abs=3)
        assert sim.value(f"rb485.f_wr[{phase}]") == pytest.approx(50, abs=0.1)
        assert sim.value(f"g_sync.p_ac_sc[{phase}]") == 0
    assert sim.value("g_sync.p_ac_sum_lp") == sim.value("g_sync.p_ac_load_sum_lp") == 900


def test_without_a_power_switch_there_is_no_voltage_to_read() -> None:
    sim = InverterSimulator(clock=Clock())
    sim.set(switch=False)
    assert [sim.value(name) for name in ("rb485.available", "rb485.u_l_grid[0]", "prim_sm.island_flag")] == [False, 0, 2]


def test_signs_of_the_battery() -> None:
    sim = InverterSimulator(clock=Clock())
    for pv, sign in ((0, 1), (3000, -1)):
        sim.set(pv=pv)
        watts, amps, volts = (sim.value(name) for name in ("g_sync.p_acc_lp", "battery.current", "battery.voltage"))
        assert watts * sign > 0
        assert amps == pytest.approx(-watts / volts)
    sim.skip(3600)
    assert sim.value("energy.e_grid_feed_total") < -3.1e6
    assert sim.value("battery.stored_energy") > 2.4e6


def test_an_empty_battery_says_so() -> None:
    sim = InverterSimulator("empty", clock=Clock())
    sim.set(load=4000)
    assert sim.value("battery.maximum_discharge_current") > 0
    sim.skip(600)
    assert sim.value("battery.soc") == pytest.approx(0.10)
    assert sim.value("battery.maximum_discharge_current") == 0
    assert sim.value("battery.status2") == 1 << 9
    assert sim.value("fault[3].flt") >> 10 & 1
    assert [sim.value(f"g_sync.u_l_rms[{phase}]") for phase in range(3)] == [0, 0, 0]
    assert sim.value("g_sync.p_acc_lp") == 0


def test_calibration_shows_in_both_status_words() -> None:
    sim = InverterSimulator(clock=Clock())
    for calibration, status2, status in (("low", 1 << 10, 1024), ("high", 1 << 3, 8), (None, 0, 0)):
        sim.set(calibration=calibration)
        assert (sim.value("battery.status2"), sim.value("battery.bat_status")) == (status2, status)


def test_towers_and_modules_that_are_there() -> None:
    sim = InverterSimulator(clock=Clock())
    present = [bool(sim.value(f"battery.module_sn[{module}]")) for module in range(7)]
    assert present == [True, True, *[False] * 5]
    assert sim.value("battery_placeholder[0].bms_sn") == ""
    sim.set(towers=2, modules=3, soc2=33)
    assert sim.value("battery_placeholder[0].soc") == pytest.approx(0.33)
    assert sim.value("battery_placeholder[0].module_sn[2]")
    serials = {sim.value(name) for name in BY_NAME if "module_sn" in name} - {""}
    assert len(serials) == 6
    sim.set(battery=False)
    assert (sim.value("power_mng.battery_type"), sim.value("battery.bms_sn"), sim.value("battery.voltage")) == (5, "", 0)


def test_battery_voltage_is_that_of_its_cells() -> None:
    sim = InverterSimulator(clock=Clock())
    cells = [cell for module in range(2) for cell in sim.value(f"battery.cells[{module}]")]
    assert sim.value("battery.voltage") == pytest.approx(sum(cell.voltage for cell in cells))
    assert sim.value("battery.min_cell_voltage") == min(cell.voltage for cell in cells)
    assert sim.value("battery.max_cell_temperature") == max(cell.temperature for cell in cells)


def test_overrides_win_until_they_are_taken_away(make: Make) -> None:
    peer = make(override={"prim_sm.island_flag": 3, "battery.soc": b"\x3f"})
    assert peer.ask("prim_sm.island_flag") == 3
    assert peer.running.value("battery.soc") == b"\x3f"
    assert [frame.payload for frame in peer.everything(SOC)][-1:] == [b"\x3f"]
    peer.running.set(override={"battery.soc": None})
    assert peer.ask("battery.soc") == pytest.approx(0.6)
    assert peer.running.value("prim_sm.island_flag") == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gird": "outage"}, 'did you mean "grid"'),
        ({"dorp": 0.5}, 'did you mean "drop"'),
        ({"drop": 1.5}, "0 to 1"),
        ({"drop": True}, "it is a number"),
        ({"mute": ("batery.soc",)}, 'did you mean "battery.soc"'),
        ({"mute": ("nonsense entirely",)}, "no object"),
        ({"override": {"batery.soc": 1}}, 'did you mean "battery.soc"'),
        ({"override": {"battery.soc": "full"}}, "it is a FLOAT"),
        ({"override": {"prim_sm.island_flag": -1}}, "it is a UINT16"),
        ({"override": {"battery.soc": bytes(5000)}}, "4000 bytes"),
        ({"delay": -1}, "0 to 3600"),
        ({"max_clients": -1}, "max_clients"),
        ({"load": {}}, "it is a number"),
    ],
)
def test_wrong_changes_are_sentences_and_change_nothing(changes: dict[str, Any], message: str) -> None:
    sim = InverterSimulator(clock=Clock())
    with pytest.raises(ValueError, match=message):
        sim.set(**{"soc": 11, "echo": True, **changes})
    assert sim.value("battery.soc") == pytest.approx(0.6)
    assert not sim.line.echo
    with pytest.raises(ValueError, match="did you mean"):
        sim.value("batery.soc")


# -- the protocol ----------------------------------------------------------------------------------------------------


def test_a_foreign_library_reads_it(make: Make) -> None:
    peer = make(soc=84.78931, grid="outage")
    for name, expected in (
        ("battery.soc", pytest.approx(0.8478931)),
        ("android_description", "PS 6.0 BA3L"),
        ("inverter_sn", "0065A4631487"),
        ("prim_sm.island_flag", 3),
        ("power_mng.battery_type", 3),
        ("rb485.available", True),
        ("fault[2].flt", 1 << 26),
        ("g_sync.u_l_rms[2]", pytest.approx(231, abs=2)),
    ):
        info = REGISTRY.get_by_name(name)
        peer.socket.sendall(make_frame(ForeignCommand.READ, info.object_id))
        frame = ReceiveFrame()
        while not frame.complete():
            data = peer.socket.recv(256)
            while data and not frame.complete():
                data = data[frame.consume(data) :]
        assert (frame.id, frame.command) == (info.object_id, ForeignCommand.RESPONSE)
        assert decode_value(info.response_data_type, frame.data) == expected, name  # type: ignore[call-overload]


def test_answers_on_the_wire_are_those_of_the_published_captures(make: Make) -> None:
    peer = make(override={"battery.soc": struct.unpack(">f", bytes.fromhex("3e97b191"))[0], "power_mng.battery_type": 3})
    peer.everything(SOC, BATTERY_TYPE, NAME, BY_NAME["inverter_sn"].oid)
    assert bytes.fromhex("002b0508959930bf3e97b1919c86") in peer.raw
    assert bytes.fromhex("002b0505682cdda1039f98") in peer.raw
    assert bytes.fromhex("2b0544ebc62737505320362e30204241334c") + bytes(53) + bytes.fromhex("476c") in peer.raw
    assert bytes.fromhex("2b05147924abd930303635413436333134383700000000c464") in peer.raw


def test_a_burst_is_answered_whole(make: Make) -> None:
    peer = make()
    frames = peer.everything(*(row.oid for row in OBJECTS))
    assert {frame.oid for frame in frames} == set(BY_OID)
    assert all(frame.command is Command.RESPONSE for frame in frames)
    assert peer.reader.damage.frames == 0


def test_answers_go_to_all_clients(make: Make) -> None:
    first = make()
    second = Peer(first.running)
    assert first.sim.clients == 2
    assert first.ask("inverter_sn") == "0065A4631487"
    assert [frame.oid for frame in second.rest()] == [BY_NAME["inverter_sn"].oid]
    second.socket.close()
    wait(lambda: first.sim.clients == 1)
    assert first.ask("battery.soc") == pytest.approx(0.6)


def test_what_it_does_not_understand_it_passes_over(make: Make) -> None:
    peer = make()
    wrong_crc = bytearray(read_request(SOC))
    wrong_crc[-1] ^= 1
    peer.socket.sendall(
        bytes(wrong_crc)
        + read_request(0x0BADC0DE)
        + build(Command.WRITE, BY_NAME["power_mng.soc_min"].oid, b"\0\0\0\0")
        + build(Command.PLANT_READ, SOC, address=1)
        + EXTENSION
        + b"AT+\r"
        + bytes.fromhex("2b2b2b0d2b2b2bf8")
        + b"+\x99\x04----"
    )
    assert peer.ask("power_mng.soc_min") == pytest.approx(0.07)
    assert [frame.oid for frame in peer.frames] == [BY_NAME["power_mng.soc_min"].oid]
    seen = [(request.name, request.command) for request in peer.sim.requests]
    assert seen == [
        ("", Command.READ),
        ("power_mng.soc_min", Command.WRITE),
        ("", Command.PLANT_READ),
        ("power_mng.soc_min", Command.READ),
    ]


def test_no_bytes_whatever_silence_it(make: Make) -> None:
    peer = make()
    chance = random.Random(7)
    pieces = [read_request(SOC), read_request(BATTERY_TYPE), EXTENSION, b"+", b"-", b"AT+\r", b"\0", b"+\x03\xff\xff", b"+\x06"]
    for _ in range(60):
        data = b"".join(chance.choice([*pieces, chance.randbytes(9)]) for _ in range(20))
        for cut in range(0, len(data), 37):
            peer.socket.sendall(data[cut : cut + 37])
    other = Peer(peer.running)
    assert other.ask("battery.soc") == pytest.approx(0.6)
    peer.socket.sendall(bytes(300) + b"+")
    assert peer.ask("inverter_sn") == "0065A4631487"


def test_a_client_that_never_reads_stops_nobody(make: Make) -> None:
    peer = make(override={"battery.soc": bytes(3900)})
    idle = Peer(peer.running)
    idle.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(5):
        peer.everything(*[SOC] * 400)
    wait(lambda: peer.sim.clients == 1)
    assert peer.ask("inverter_sn") == "0065A4631487"


def test_long_values_come_in_long_frames(make: Make) -> None:
    peer = make(override={"android_description": bytes(range(256))})
    assert peer.everything(NAME) == [Frame(Command.LONG_RESPONSE, NAME, bytes(range(256)))]
    peer.running.set(long_lies=True)
    peer.raw = b""
    peer.everything(NAME)
    start = peer.raw.index(b"+\x06")
    assert int.from_bytes(peer.raw[start + 2 : start + 4], "big") in (260 - 16, 260 + 472)


def test_periodic_answers(make: Make) -> None:
    peer = make()
    peer.socket.sendall(build(Command.READ_PERIODICALLY, SOC))
    wait(lambda: peer.sim.requests)
    assert [frame.oid for frame in peer.rest()] == [SOC]
    peer.running.skip(31)
    while SOC not in [frame.oid for frame in peer.frames]:
        assert peer.receive()


# -- a bad line ------------------------------------------------------------------------------------------------------


def test_everything_wrong_at_once_and_still_an_answer_in_the_end(make: Make) -> None:
    peer = make("noisy")
    second = Peer(peer.running)
    wanted = set(BY_OID)
    for _ in range(8):
        peer.send(*wanted)
        second.send(*list(wanted)[:20])
        wait(lambda: peer.running.call(lambda: not peer.sim._waiting))
        peer.socket.settimeout(0.05)
        try:
            while peer.receive():
                pass
        except TimeoutError:
            pass
        for frame in peer.frames:
            row = BY_OID.get(frame.oid)
            if row is not None and frame.address is None and frame.command is Command.RESPONSE:
                try:
                    decode(row.kind, frame.payload)
                except ProtocolError:
                    continue
                wanted.discard(frame.oid)
        peer.frames = []
        if not wanted:
            break
    assert not wanted
    assert peer.reader.damage.crc > 0


def test_some_requests_are_lost(make: Make) -> None:
    peer = make(drop=0.5)
    assert 20 < len(peer.everything(*[SOC] * 100)) < 80


def test_wrong_crcs(make: Make) -> None:
    peer = make(corrupt=1.0)
    assert peer.everything(*[SOC] * 50) == []
    assert peer.reader.damage.frames >= 50


def test_truncated_payloads_have_a_valid_crc(make: Make) -> None:
    peer = make(truncate=1.0)
    frames = peer.everything(*[SOC] * 50)
    assert len(frames) == 50
    assert {len(frame.payload) for frame in frames} == {0, 1, 2, 3}


def test_answers_that_end_in_the_middle(make: Make) -> None:
    peer = make(cut=1.0)
    assert peer.everything(*[SOC] * 30) == []
    peer.running.set(cut=0)
    assert peer.ask("battery.soc") == pytest.approx(0.6)


def test_requests_that_collide_cut_the_answer_before_them(make: Make) -> None:
    peer = make(collide=1.0)
    frames = peer.everything(*[SOC] * 10)
    assert len(frames) == 10
    assert [len(frame.payload) == 4 for frame in frames] == [False, *[True] * 9]
    assert peer.ask("battery.soc") == pytest.approx(0.6)


def test_echo(make: Make) -> None:
    peer = make(echo=True)
    frames = peer.everything(SOC)
    assert [(frame.command, frame.oid) for frame in frames] == [(Command.READ, SOC), (Command.RESPONSE, SOC)]


def test_foreign_answers_are_valid_and_of_all_sorts(make: Make) -> None:
    peer = make(foreign=True)
    frames = peer.everything(*[SOC] * 80)
    assert len(frames) == 160
    foreign = [frame for frame in frames if frame.oid != SOC or frame.address is not None]
    assert {frame.command for frame in foreign} == {Command.RESPONSE, Command.LONG_RESPONSE, Command.PLANT_RESPONSE}
    assert any(frame.oid not in BY_OID for frame in foreign)
    followers = {struct.unpack(">f", frame.payload)[0] for frame in foreign if frame.address == 1}
    assert followers and all(abs(charge - 0.6) > 0.2 for charge in followers)
    for frame in foreign:
        if frame.oid in BY_OID and frame.address is None:
            decode(BY_OID[frame.oid].kind, frame.payload)


def test_the_modem_talks_in_between(make: Make) -> None:
    peer = make(modem=True)
    assert len(peer.everything(*[SOC] * 100)) == 100
    assert b"AT+\r" in peer.raw
    assert bytes.fromhex("2b2b2b0d2b2b2bf8") in peer.raw


def test_a_crc_without_escapes(make: Make) -> None:
    flag = BY_NAME["prim_sm.island_flag"].oid  # the CRC of the value 2 is D02B
    peer = make()
    peer.everything(flag)
    assert peer.raw.startswith(bytes.fromhex("002b05063623d82a0002d02d2b"))
    peer.running.set(raw_crc=True)
    peer.raw = b""
    peer.everything(flag)
    assert peer.raw.startswith(bytes.fromhex("002b05063623d82a0002d02b"))


@pytest.mark.parametrize("name", ["power_mng.battery_type", "g_sync.i_dr_eff[0]"])
def test_requests_with_escapes_in_their_crc_are_not_understood(make: Make, name: str) -> None:
    peer = make(escape_crc_only=True)
    oid = BY_NAME[name].oid
    assert [frame.oid for frame in peer.everything(oid, SOC)] == [SOC]
    peer.socket.sendall(read_request(oid, raw_crc=True) + read_request(SOC))
    while oid not in [frame.oid for frame in peer.frames]:
        assert peer.receive()


def test_garbage_behind_a_text(make: Make) -> None:
    peer = make(garbage_after_nul=True)
    (frame,) = peer.everything(NAME)
    assert len(frame.payload) == 64
    assert frame.payload.startswith(b"PS 6.0 BA3L\0+\x01\x04")
    assert peer.ask("android_description") == "PS 6.0 BA3L"


def test_pieces(make: Make) -> None:
    peer = make(pieces=True)
    assert peer.ask("android_description") == "PS 6.0 BA3L"
    assert peer.ask("battery.soc") == pytest.approx(0.6)


def test_no_zero_in_front(make: Make) -> None:
    peer = make(lead_zero=False)
    peer.everything(SOC)
    assert peer.raw.startswith(b"+\x05")


def test_mute_objects(make: Make) -> None:
    peer = make(mute=("battery.soc",))
    assert [frame.oid for frame in peer.everything(SOC, NAME)] == [NAME]


def test_silence_still_takes_requests(make: Make) -> None:
    peer = make(silent=True)
    assert peer.everything(SOC) == []
    assert [request.name for request in peer.sim.requests] == ["battery.soc"]


def test_silence_ends_what_was_promised(make: Make) -> None:
    peer = make()
    peer.socket.sendall(build(Command.READ_PERIODICALLY, SOC))
    wait(lambda: peer.sim.requests)
    peer.rest()
    peer.running.set(silent=True)
    peer.running.skip(31)
    time.sleep(0.12)
    assert peer.rest() == []


def test_the_bootloader_calls_and_answers_nothing(make: Make) -> None:
    peer = make(bootloader=True)
    assert peer.everything(SOC) == []
    while peer.reader.damage.bootloader == 0:
        assert peer.receive()


def test_asleep_until_greeted(make: Make) -> None:
    peer = make("asleep")
    other = Peer(peer.running)
    peer.send(SOC)
    wait(lambda: peer.sim.requests)
    peer.socket.sendall(EXTENSION[:2])
    peer.socket.sendall(EXTENSION[2:])
    assert peer.ask("inverter_sn") == "0065A4631487"
    assert SOC not in [frame.oid for frame in peer.rest()]
    other.send(SOC)
    assert [frame.oid for frame in peer.everything(NAME)] == [NAME]


def test_delay_is_real_time(make: Make) -> None:
    peer = make(delay=0.1)
    began = time.monotonic()
    assert peer.ask("battery.soc") == pytest.approx(0.6)
    assert 0.1 <= time.monotonic() - began < 1


# -- the network -----------------------------------------------------------------------------------------------------


def refused(peer: Peer) -> bool:
    try:
        Peer(peer.running)
    except ConnectionRefusedError:
        return True
    return False


def ended(peer: Peer) -> bool:
    try:
        return not peer.receive()
    except ConnectionResetError:
        return True


def test_offline_and_back_on_the_same_port(make: Make) -> None:
    peer = make()
    peer.ask("battery.soc")
    peer.running.offline()
    assert ended(peer)
    assert refused(peer)
    assert peer.sim.clients == 0
    peer.running.offline(False)
    assert Peer(peer.running).ask("battery.soc") == pytest.approx(0.6)


def test_the_network_dies_with_the_house_and_comes_back(make: Make) -> None:
    peer = make(switch=False)
    peer.running.set(grid="outage")
    assert ended(peer)
    assert refused(peer)
    peer.running.set(grid="on")
    assert not refused(peer)


def test_too_many_clients_are_turned_away(make: Make) -> None:
    peer = make(max_clients=2)
    second, third = Peer(peer.running), Peer(peer.running)
    assert ended(third)
    assert second.ask("battery.soc") == pytest.approx(0.6)


def test_callers_that_hang_up_at_once_take_no_place(make: Make) -> None:
    peer = make()
    reset = struct.pack("ii", 1, 0)
    for _ in range(40):
        with socket.create_connection(("127.0.0.1", peer.sim.port)) as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    wait(lambda: peer.sim.clients == 1)
    assert peer.ask("battery.soc") == pytest.approx(0.6)


def test_only_this_machine_is_served() -> None:
    with pytest.raises(ValueError, match="loopback"), RunningInverter(host="0.0.0.0"):
        pass


def test_it_says_what_changes() -> None:
    clock = Clock()
    sim = InverterSimulator("outage", clock=clock)
    told: list[str] = []
    sim.listeners.append(told.append)
    clock.now += 29
    sim.catch_up()
    assert told == []
    clock.now += 2
    sim.catch_up()
    assert told == ["grid outage", "inverter carries the house alone"]
    clock.now += 400
    sim.catch_up()
    assert sim.value("prim_sm.island_flag") == 2
    assert told[-2:] == ["grid on", "inverter works beside the grid"]
