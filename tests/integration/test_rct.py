# SPDX-License-Identifier: GPL-2.0-or-later
"""An RCT inverter end to end: simulated inverter, this driver, the real upsd, upsc and upsmon."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from rctclient.frame import ReceiveFrame, make_frame
from rctclient.registry import REGISTRY
from rctclient.types import Command as TheirCommand
from rctclient.utils import decode_value

from nutdrv_py.nut.messages import SetInfo
from nutdrv_py.protocols.rct.frame import Command, build
from nutdrv_py.protocols.rct.objects import BY_NAME
from nutdrv_py.protocols.rct.payload import encode
from nutdrv_py.simulators.rct import RunningInverter, load_scenario
from tests.integration.conftest import DEADTIME, LOOKS, Watched, wait

POLL = 2


class Home(Watched):
    """A stage with an RCT section for a running simulator."""

    def __init__(self, running: RunningInverter, **options: str) -> None:
        section = {"driver": "nutdrv_py", "port": running.sim.host_port, "backend": "rct", "pollinterval": str(POLL), **LOOKS, **options}
        super().__init__(section, ups="home", deadtime=DEADTIME)
        self.running = running


@contextlib.contextmanager
def _home(scenario: str = "online", changes: dict[str, Any] | None = None, **options: str) -> Iterator[Home]:
    with RunningInverter(replace(load_scenario(scenario), timeline=())) as running:
        running.set(**(changes or {}))
        stage = Home(running, **options)
        try:
            yield stage
        finally:
            stage.close()


def _on_the_grid(home: Home) -> None:
    home.start()
    home.upsd()
    wait(lambda: home.status().startswith("OL"))


def test_upsc_shows_the_house_and_an_outage_within_two_polls_and_a_second() -> None:
    with _home(changes={"soc": 60, "reclose_seconds": 0}) as home:
        began = time.monotonic()
        _on_the_grid(home)
        assert time.monotonic() - began < 20
        shown = home.variables()
        expected = {"battery.charge": "60", "ups.mfr": "RCT Power", "battery.charge.low": "15", "input.phases": "3", "ups.load": "15.0"}
        assert {name: shown.get(name) for name in expected} == expected
        assert shown["driver.parameter.port"] == home.running.sim.host_port
        for delay in (0.4, 1.4):
            time.sleep(delay)
            home.running.set(grid="outage")
            assert wait(lambda: home.status().startswith("OB")) <= 2 * POLL + 1
            home.running.set(grid="on")
            assert 10 <= wait(lambda: home.status().startswith("OL"), timeout=20) <= 10 + 2 * POLL + 1


def test_an_outage_at_the_start_is_ob_from_the_first_answer() -> None:
    with _home(changes={"grid": "outage"}) as home:
        home.start()
        home.upsd()
        wait(lambda: home.status() not in ("", "WAIT"))
        assert home.status().startswith("OB")


def test_all_variables_are_there_when_the_first_client_sees_any() -> None:
    with _home() as home:
        home.start()
        home.upsd()
        wait(lambda: home.status().startswith("OL"))
        first = home.variables().keys()
        time.sleep(3 * POLL)
        assert home.variables().keys() == first


def test_silence_goes_stale_and_comes_back_and_is_never_an_outage() -> None:
    with _home(maxage="6") as home:
        _on_the_grid(home)
        client = home.client()
        client.silence()
        for fault in ({"silent": True}, {"offline": True}):
            home.running.set(**fault)
            worst, seen = 0.0, set()
            deadline = time.monotonic() + 30
            while not home.stale():
                assert time.monotonic() < deadline
                began = time.monotonic()
                assert client.ask(b"PING\n", b"\n") == b"PONG\n"
                worst = max(worst, time.monotonic() - began)
                seen.add(home.status()[:2])
            assert worst < 1
            assert seen <= {"OL", ""}
            home.running.set(**dict.fromkeys(fault, False))
            wait(lambda: home.status().startswith("OL"), timeout=45)


NOISE = 10_000


def _noise(count: int) -> list[bytes]:
    """Damaged and foreign frames, all with values that would be seen if one of them were believed."""
    chance = random.Random(11)
    wrong = [("prim_sm.island_flag", 3), ("battery.soc", 0.01), ("rb485.u_l_grid[0]", 0.0), ("rb485.u_l_grid[1]", 0.0),
             ("rb485.u_l_grid[2]", 0.0), ("g_sync.p_acc_lp", -59000.0), ("battery.status2", 1 << 9), ("inverter_sn", "WRONG"),
             ("fault[3].flt", 1 << 10), ("battery.voltage", 999.0)]  # fmt: skip

    def damaged(name: str, value: object) -> bytes:
        row = BY_NAME[name]
        good = build(Command.RESPONSE, row.oid, encode(row.kind, value), lead=b"\0")
        kind = chance.randrange(7)
        place = chance.randrange(1, len(good))
        if kind == 0:
            return good[:place] + bytes([good[place] ^ 1 << chance.randrange(8)]) + good[place + 1 :]
        if kind == 1:
            return good[:place]
        if kind == 2:
            return good[:place] + good[place + 1 :]
        if kind == 3:
            payload = encode(row.kind, value)
            return build(Command.RESPONSE, row.oid, payload[:-1]) if name != "inverter_sn" else b"AT+\r"
        if kind == 4:
            return build(Command.PLANT_RESPONSE, row.oid, encode(row.kind, value), 1)
        if kind == 5:
            return build(Command.WRITE, row.oid, encode(row.kind, value))
        return bytes.fromhex("2b2b2b0d2b2b2bf8") + chance.randbytes(19)

    return [damaged(*chance.choice(wrong)) for _ in range(count)]


@pytest.mark.timeout(180)
def test_ten_thousand_frames_of_noise_bring_no_wrong_value_to_upsd() -> None:
    with _home(changes={"soc": 60, "drop": 0.02, "corrupt": 0.02, "truncate": 0.02, "foreign": True, "echo": True, "pieces": True}) as home:
        _on_the_grid(home)
        client = home.client()
        client.ask(b"DUMPALL\n", b"DATAOK\n")
        heard = b""
        noise = _noise(NOISE)
        for start in range(0, NOISE, 250):
            piece = noise[start : start + 250]
            # One at a time, so that answers come in between.
            for frame in piece:
                home.running.call(lambda frame=frame: home.running.sim.broadcast(frame))
            with contextlib.suppress(TimeoutError):
                client.sock.settimeout(0.3)
                heard += client.sock.recv(1 << 20)
        time.sleep(2 * POLL)
        heard += client.quiet()
        told = [message for message in client.messages(heard) if isinstance(message, SetInfo)]
        assert len(told) > 30, "the driver goes on telling what changes"
        assert b"DATASTALE" not in heard
        for message in told:
            number = float(message.value) if message.value.replace(".", "", 1).lstrip("-").isdigit() else None
            if message.name == "ups.status":
                assert message.value in ("OL DISCHRG", "OL"), message
            elif message.name == "battery.charge":
                assert 59 <= (number or 0) <= 61, message
            elif message.name.startswith("input.L") and message.name.endswith("-N.voltage"):
                assert 200 < (number or 0) < 260, message
            elif message.name == "battery.voltage":
                assert 100 < (number or 0) < 300, message
            elif message.name == "ups.serial":
                assert message.value == "0065A4631487", message
            assert message.name != "ups.alarm", message
        assert home.status() == "OL DISCHRG"


class Foreign:
    """Another client on the bus: the rctclient package."""

    def __init__(self, home: Home) -> None:
        self.sock = socket.create_connection(("127.0.0.1", home.running.sim.port), timeout=5)
        self.frame = ReceiveFrame()

    def read(self, name: str) -> Any:
        wanted = REGISTRY.get_by_name(name)
        self.sock.sendall(make_frame(TheirCommand.READ, wanted.object_id))
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            data = self.sock.recv(4096)
            while data:
                data = data[self.frame.consume(data) :]
                if self.frame.complete():
                    done, self.frame = self.frame, ReceiveFrame()
                    if done.id == wanted.object_id:
                        return decode_value(wanted.response_data_type, done.data)  # type: ignore[call-overload]
        raise AssertionError(f"{name} was not answered")


def test_rctclient_reads_the_same_bus_while_the_driver_runs() -> None:
    with _home(changes={"soc": 60}) as home:
        _on_the_grid(home)
        foreign = Foreign(home)
        client = home.client()
        client.ask(b"DUMPALL\n", b"DATAOK\n")
        for _ in range(40):
            assert foreign.read("battery.soc") == pytest.approx(0.6, abs=0.01)
            assert foreign.read("prim_sm.island_flag") == 2
            assert foreign.read("inverter_sn") == "0065A4631487"
            assert 200 < foreign.read("rb485.u_l_grid[0]") < 260
            time.sleep(0.1)
        heard = client.quiet(1)
        told = {message.value for message in client.messages(heard) if isinstance(message, SetInfo) and message.name == "ups.status"}
        assert not told
        assert home.status() == "OL DISCHRG"


def test_upsmon_shuts_down_in_time_when_the_battery_runs_low_and_not_before() -> None:
    with _home(changes={"soc": 17, "soc_min_island": 10, "load": 300}) as home:
        _on_the_grid(home)
        home.upsmon()
        home.running.set(grid="outage")
        wait(lambda: home.status().startswith("OB"))
        time.sleep(4)
        assert not home.shutdown_file.exists()
        home.running.set(soc=14.5)
        wait(home.shutdown_file.exists, timeout=20)
        assert home.running.value("battery.soc") > 0.1


@pytest.mark.timeout(180)
def test_no_fault_of_the_line_on_the_grid_makes_upsmon_act() -> None:
    """With alarms on, and the data going stale in between for longer than DEADTIME."""
    with _home(changes={"soc": 9, "faults": (25,), "calibration": "low"}, maxage="6") as home:
        _on_the_grid(home)
        wait(lambda: home.status().startswith("ALARM"), timeout=20)
        monitor = home.upsmon()
        time.sleep(2)
        for fault in ({"offline": True}, {"corrupt": 1.0}):
            home.running.set(**fault)
            wait(home.stale, timeout=30, what=f"stale by {fault}")
            time.sleep(DEADTIME + 3 if "offline" in fault else 1)
            home.running.set(**{name: type(value)() for name, value in fault.items()})
            wait(lambda: "OL" in home.status(), timeout=75, what=f"recovery from {fault}")
        assert monitor.poll() is None
        assert not home.shutdown_file.exists()


def test_a_system_without_a_power_switch_that_goes_dark_is_stale_and_nothing_is_shut_down() -> None:
    with _home(changes={"switch": False}, maxage="6") as home:
        _on_the_grid(home)
        home.upsmon()
        home.running.set(grid="outage")
        wait(home.stale, timeout=20)
        time.sleep(DEADTIME + 3)
        assert not home.shutdown_file.exists()


def test_the_wrong_port_and_an_unknown_option_stop_the_start_with_a_sentence() -> None:
    for options, sentence in (({"port": "http://inverter"}, "host:port"), ({"windows": "3"}, "Did you mean 'window'?")):
        with _home(**options) as home:  # type: ignore[arg-type]
            done = home.upsdrvctl("start")
            assert done.returncode == 1
            assert sentence in done.stderr
