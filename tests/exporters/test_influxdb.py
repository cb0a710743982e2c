# SPDX-License-Identifier: GPL-2.0-or-later
"""InfluxDB: RctMon's measurements, nothing old written as new, and a server that may do what it likes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
import re
import ssl
import subprocess
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from influxdb_client import Point  # type: ignore[attr-defined]

from nutdrv_py.core.telemetry import Source, View
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import ConfigError, DeviceError
from nutdrv_py.exporters import delivery
from nutdrv_py.exporters.config import InfluxDB
from nutdrv_py.exporters.config_checks import check
from nutdrv_py.exporters.delivery import Backlog, Delivery
from nutdrv_py.exporters.influxdb import InfluxExporter
from nutdrv_py.exporters.points import FieldValue, Measured, device_points, driver_point, line
from tests.conftest import REPO, FakeClock, kinded
from tests.core.test_driver import World

SECRET = "s3cret-of-the-house"
CALLS: Mapping[str, dict[str, Any]] = {
    "2.x": {"token": SECRET, "org": "home", "bucket": "house"},
    "1.x": {"database": "house", "username": "writer", "password": SECRET},
}
both_calls = pytest.mark.parametrize("call", list(CALLS))


# Line protocol, read strictly: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/


class Strict:
    """One line; anything that the grammar does not have is an error. In names and tags only , = and blank are escaped."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        assert "\n" not in text
        measurement = self.name(stop=", ")
        assert measurement and not measurement.startswith(("#", "_"))
        tags: dict[str, str] = {}
        while self.next(",") is not None:
            key = self.name(stop="=")
            self.expect("=")
            tags[key] = self.name(stop=", ")
            assert key and tags[key]
        self.expect(" ")
        fields: dict[str, FieldValue] = {}
        while True:
            key = self.name(stop="=")
            assert key
            self.expect("=")
            fields[key] = self.value()
            if self.next(",") is None:
                break
        self.expect(" ")
        time = self.text[self.at :]
        assert time.isdecimal()
        self.point = Measured(measurement, tags, fields, int(time))

    def next(self, letter: str) -> str | None:
        if self.text[self.at : self.at + 1] != letter:
            return None
        self.at += 1
        return letter

    def expect(self, letter: str) -> None:
        assert self.next(letter) is not None, (self.text, self.at)

    def name(self, stop: str) -> str:
        found = ""
        while (letter := self.text[self.at]) not in stop:
            assert letter not in ",= ", (self.text, self.at)
            if letter == "\\" and self.text[self.at + 1] in ",= ":
                self.at += 1
                letter = self.text[self.at]
            found += letter
            self.at += 1
        return found

    def value(self) -> FieldValue:
        if self.next('"') is not None:
            found = ""
            while (letter := self.text[self.at]) != '"':
                if letter == "\\" and self.text[self.at + 1] in '\\"':
                    self.at += 1
                    letter = self.text[self.at]
                found += letter
                self.at += 1
            self.at += 1
            return found
        end = min(place for mark in ", " if (place := self.text.find(mark, self.at)) >= 0)
        word, self.at = self.text[self.at : end], end
        if word in ("true", "false"):
            return word == "true"
        if word.endswith("i"):
            return int(word[:-1])
        return float(word)


def seen(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def name_seen(text: str) -> str:
    return seen(text).replace("\\", "/").strip()


_names = st.text(max_size=12) | st.text(alphabet='a,= \\"\n#\t\x00é', max_size=8)
_values = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | _names


@given(tags=st.dictionaries(_names, _names, max_size=4), fields=st.dictionaries(_names, _values, min_size=1, max_size=5), at=st.integers(0, 2**52))
def test_any_text_gives_one_line_that_a_strict_reader_reads_back_equal(tags: dict[str, str], fields: dict[str, FieldValue], at: int) -> None:
    text = line(Measured("ups", tags, fields, at))
    text.encode()
    wanted = {
        name_seen(key): seen(value) if isinstance(value, str) else value
        for key, value in fields.items()
        if name_seen(key) and not (isinstance(value, float) and value - value != 0)
    }
    if not wanted:
        assert text == ""
        return
    found = Strict(text).point
    assert found.tags == {name_seen(key): name_seen(value) for key, value in tags.items() if name_seen(key) and name_seen(value)}
    assert found.fields == wanted
    assert {key: type(value) for key, value in found.fields.items()} == {key: type(value) for key, value in wanted.items()}
    assert found.at == at


@given(tags=st.dictionaries(_names, _names, max_size=4), fields=st.dictionaries(_names, _values, max_size=5), at=st.integers(0, 2**52))
def test_a_line_is_that_of_influxdbs_own_client(tags: dict[str, str], fields: dict[str, FieldValue], at: int) -> None:
    point = Point("ups")
    for key, tag in tags.items():
        point.tag(name_seen(key), name_seen(tag))
    for key, value in fields.items():
        if name_seen(key):
            point.field(name_seen(key), seen(value) if isinstance(value, str) else value)
    assert line(Measured("ups", tags, fields, at)) == point.time(at, "ms").to_line_protocol()


# What is written

AT = 1_800_000_000.1234
TIME = 1_800_000_000_123


def view(*, backend: str = "rct", raw: Mapping[str, object] | None = None, stale: bool = False, **variables: str) -> View:
    status = Status.parse(variables.get("ups.status", ""))[0]
    return View("home", backend, stale, AT + 2, AT, {} if stale else kinded(variables), status, (), raw or {})


def lines(view: View, oids: Mapping[str, int] | None = None) -> list[str]:
    return [line(point) for point in device_points(view, oids or {})]


HOUSE: Mapping[str, object] = {
    "android_description": "PS 6.0 Keller", "power_mng.u_acc_mix_lp": 158.5, "g_sync.p_acc_lp": -1000.0, "power_mng.state": 3,
    "power_mng.soc_min": 0.07, "battery.soc_target": 0.97, "battery.soc": 0.6, "battery.soh": 0.98, "battery.temperature": 24.0,
    "battery.bat_status": 0, "battery.bat_impedance.impedance_fine": 0.16, "battery.discharged_amp_hours": 14322.5,
    "battery.stored_energy": 2400000.0, "battery.stack_cycles[0]": 1195, "battery.stack_cycles[1]": 1190, "db.temp1": 34.5,
    "db.temp2": 33.5, "db.core_temp": 40.0, "rb485.available": True, "battery.cells[0]": (1.5, 1.5),
}  # fmt: skip

RCTMON = r"""
battery_overview,inverter=PS\ 6.0\ Keller discharged_amp_hours=14322.5,impedance_fine=0.16,power=-1000,soc=0.6,soc_min=0.07,soc_target=0.97,soh=0.98,state=3i,status=0i,stored_energy=2400000,temperature=24,voltage=158.5 1800000000123
temperature,inverter=PS\ 6.0\ Keller battery=24,core=40,heatsink=34.5,heatsink_battery_actuator=33.5 1800000000123
battery_module,inverter=PS\ 6.0\ Keller,module=0 cycles=1195i 1800000000123
battery_module,inverter=PS\ 6.0\ Keller,module=1 cycles=1190i 1800000000123
raw_data,inverter=PS\ 6.0\ Keller,name=battery.soc,oid=0x959930BF value_float=0.6 1800000000123
raw_data,inverter=PS\ 6.0\ Keller,name=power_mng.state,oid=0xDC667958 value_int=3i 1800000000123
raw_data,inverter=PS\ 6.0\ Keller,name=rb485.available,oid=0x437B8122 value_bool=true 1800000000123
raw_data,inverter=PS\ 6.0\ Keller,name=android_description,oid=0xEBC62737 value_string="PS 6.0 Keller" 1800000000123
""".strip().splitlines()
OIDS = {"battery.soc": 0x959930BF, "power_mng.state": 0xDC667958, "rb485.available": 0x437B8122, "android_description": 0xEBC62737}


@pytest.mark.parametrize("wanted", RCTMON)
def test_rctmons_measurements_have_its_names_tags_and_types(wanted: str) -> None:
    assert wanted in lines(view(raw=HOUSE), OIDS)


def test_each_object_but_the_structured_ones_is_in_raw_data_once() -> None:
    names = [Strict(text).point.tags["name"] for text in lines(view(raw=HOUSE), OIDS) if text.startswith("raw_data")]
    assert sorted(names) == sorted(set(HOUSE) - {"battery.cells[0]"})


def test_what_the_inverter_has_not_answered_is_left_out_and_its_name_is_the_sections() -> None:
    found = [Strict(text).point for text in lines(view(raw={"db.temp1": 30.0, "android_description": ""}))]
    assert [point.measurement for point in found] == ["ups", "temperature", "raw_data", "raw_data"]
    assert found[1].fields == {"heatsink": 30.0}
    assert found[1].tags == {"inverter": "home"}


def test_another_backends_raw_data_are_no_rct_objects() -> None:
    assert [text.partition(",")[0] for text in lines(view(backend="enphase", raw={"db.temp1": 30.0}))] == ["ups"]


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("battery.charge", "60", 60.0),
        ("input.voltage", "230.1", 230.1),
        ("battery.current", "-6.31", -6.31),
        ("battery.cycles", "1e3", 1000.0),
        ("ups.serial", "0065", "0065"),
        ("device.serial", "12", "12"),
        ("ups.firmware", "2.3", "2.3"),
        ("ups.firmware.aux", "5615", "5615"),
        ("battery.module.1.firmware", "5615", "5615"),
        ("battery.date.maintenance", "2026", "2026"),
        ("ups.id", "7", "7"),
        ("ups.model", "9130", "9130"),
        ("ups.status", "ALARM OL", "ALARM OL"),
        ("input.transfer.reason", "none", "none"),
        ("outlet.1.switchable", "yes", "yes"),
        ("experimental.unknown", "closed", None),
        ("experimental.unknown", "5", None),
        ("experimental.battery.module.1.cells.voltage", "3.301 3.302", None),
        ("battery.voltage", "nan", None),
        ("battery.voltage", "inf", None),
        ("battery.voltage", "1e999", None),
        ("battery.voltage", "1_000", None),
        ("battery.voltage", "0x10", None),
        ("driver.debug", "2", None),
        ("driver.version", "2.8.5", None),
    ],
)
def test_a_variables_name_decides_whether_it_is_a_number(name: str, value: str, field: float | str | None) -> None:
    found = Strict(lines(view(backend="enphase", **{name: value}))[0]).point  # type: ignore[arg-type]
    assert found.tags == {"ups": "home", "backend": "enphase"}
    assert found.at == TIME
    assert found.fields.get(name) == field
    assert type(found.fields.get(name)) is type(field)


def test_each_flag_of_the_status_is_always_there() -> None:
    found = Strict(lines(view(backend="enphase", **{"ups.status": "OB LB"}))[0]).point.fields  # type: ignore[arg-type]
    assert {name: value for name, value in found.items() if name.startswith("status.")} == {
        f"status.{flag.name}": flag in (Status.OB, Status.LB) for flag in Status
    }


def test_stale_data_leave_one_point_that_says_so() -> None:
    stale = view(stale=True, raw=HOUSE)
    assert lines(stale) == []
    assert line(driver_point(stale)) == "driver,ups=home age=2,stale=true 1800000002123"


class Home:
    """An exporter of a driver on a clock that is moved by hand; what is queued can be looked at."""

    def __init__(self, clock: FakeClock, **options: Any) -> None:
        self.world = World(clock, maxage=15, pollinterval=5)
        self.exporter = InfluxExporter([Source(self.world.driver)], InfluxDB(**{"interval": 3600.0, **options}))

    def queued(self) -> list[Measured]:
        """What a look at the driver gives now."""
        self.exporter.collect()
        text = self.exporter._backlog.take(wait=False)
        assert text is not None
        self.exporter._backlog.done()
        return [Strict(line).point for line in text.decode().split("\n")]


async def test_the_same_data_are_not_written_twice_and_stale_ones_not_at_all(clock: FakeClock) -> None:
    home = Home(clock)
    assert home.queued()[0].fields == {"stale": True}, "never any data: no age"
    async with home.world:
        await clock.advance(1)
        first, device = home.queued()
        assert first.fields == {"stale": False, "age": 1.0}
        assert device.measurement == "ups"
        assert device.at == round((clock.wall() - 1) * 1000), "the time of the data, not of writing"
        clock.now += 0.00001
        assert [point.measurement for point in home.queued()] == ["driver"]
        home.world.device.answer = DeviceError("no answer")
        await clock.advance(9)
        assert [point.measurement for point in home.queued()] == ["driver"]
        await clock.advance(10)
        (only,) = home.queued()
        assert only.fields == {"stale": True, "age": pytest.approx(20, abs=0.1)}
        home.world.device.answer = Reading({"battery.charge": 79}, Status.OB)
        await clock.advance(5)
        _, back = home.queued()
        assert back.fields["battery.charge"] == 79.0
        assert back.fields["status.OB"] is True


# The queue


def test_an_hour_of_a_full_house_is_kept_and_takes_little_memory() -> None:
    backlog, chance = Backlog(), random.Random(3)
    for step in range(720):
        raw = {f"g_sync.some_object[{index}]": chance.uniform(-6000, 6000) if step % 2 or index < 60 else float(index) for index in range(180)}
        variables = {f"output.L{index}.realpower": f"{chance.uniform(0, 6000):.1f}" for index in range(120)}
        backlog.add(lines(view(raw=raw, **variables), {name: 0xFE000000 + index for index, name in enumerate(raw)}))  # type: ignore[arg-type]
    assert backlog.dropped == 0
    kept = sum(len(batch.data) for batch in backlog._batches)
    assert kept < delivery.MOST_BYTES
    assert kept > 720 * 2000, "the house of this test is a full one"


@pytest.mark.parametrize(("limit", "most"), [("MOST_BATCHES", 3), ("MOST_BYTES", 3 * len(zlib.compress(b"line 0\nline 0", 1)))])
def test_what_does_not_fit_is_dropped_oldest_first_counted_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: str, most: int
) -> None:
    monkeypatch.setattr(delivery, limit, most)
    caplog.set_level("INFO")
    backlog = Backlog()
    for step in range(8):
        backlog.add([f"line {step}"] * 2)
    assert backlog.dropped == 10
    assert backlog.take(wait=False) == b"line 5\nline 5"
    backlog.add(["line 8"] * 2)
    backlog.put_back()
    assert backlog.dropped == 12, "no room for the oldest any more"
    for step in (6, 7, 8):
        assert backlog.take(wait=False) == f"line {step}\nline {step}".encode()
        backlog.done()
    assert (backlog.written, backlog.dropped) == (6, 12)
    assert backlog.take(wait=False) is None
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "The points for InfluxDB are more than can be kept",
        "InfluxDB has the points that were kept; dropped since the start",
    ]


# The server


class Server:
    """An HTTP server that answers as told, and remembers what it took."""

    def __init__(self, port: int = 0) -> None:
        self.status, self.body = 204, ""
        self.requests = 0
        self.lines: list[str] = []
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.hang: threading.Event | None = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                server.requests += 1
                url = urllib.parse.urlsplit(self.path)
                server.asked.append((url.path, dict(urllib.parse.parse_qsl(url.query)), self.headers.get("Authorization", "")))
                if server.hang is not None:
                    server.hang.wait(60)
                    return
                status, body = server.status, server.body.encode()
                if status == 204:
                    server.lines += text.split("\n")
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.httpd.daemon_threads = True
        self.httpd.block_on_close = False
        self.port = self.httpd.server_address[1]
        threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        if self.hang is not None:
            self.hang.set()
        self.httpd.shutdown()
        self.httpd.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(delivery, "MOST_PAUSE", 0.1)


async def until(test: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not test():
        assert time.monotonic() < deadline, "it did not come true within 30 s"
        await asyncio.sleep(0.01)


async def stopped(home: Home) -> float:
    began = time.monotonic()
    await home.exporter.stop()
    return time.monotonic() - began


@both_calls
async def test_points_arrive_by_the_call_that_was_configured(clock: FakeClock, server: Server, call: str) -> None:
    home = Home(clock, url=f"{server.url}/", **CALLS[call])
    await home.exporter.start()
    async with home.world:
        await clock.advance(1)
        home.exporter.collect()
        await until(lambda: home.exporter.written >= 3)
    assert home.exporter.written == len(server.lines)
    assert home.exporter.dropped == 0
    assert await stopped(home) < 1
    path, query, credentials = server.asked[0]
    if call == "2.x":
        assert (path, query) == ("/api/v2/write", {"org": "home", "bucket": "house", "precision": "ms"})
        assert credentials == f"Token {SECRET}"
    else:
        assert (path, query) == ("/write", {"db": "house", "precision": "ms"})
        assert credentials.startswith("Basic ")
    assert {Strict(text).point.measurement for text in server.lines} == {"driver", "ups"}


@both_calls
@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "refuses the"),
        (403, "does not let the"),
        (404, "has no"),
        (429, "wants fewer requests"),
        (500, "takes no points now, status 500"),
        (503, "takes no points now, status 503"),
    ],
)
async def test_a_refusal_that_can_be_mended_keeps_the_points_and_is_told_once(
    clock: FakeClock, server: Server, caplog: pytest.LogCaptureFixture, call: str, status: int, sentence: str
) -> None:
    caplog.set_level("INFO")
    server.status, server.body = status, json.dumps({"message": f"unauthorized {SECRET}", "error": f"no {SECRET}"})
    home = Home(clock, url=server.url, **CALLS[call])
    await home.exporter.start()
    await asyncio.sleep(0)
    for _ in range(4):
        clock.now += 5
        home.exporter.collect()
    await until(lambda: server.requests >= 4)
    assert (home.exporter.written, home.exporter.dropped) == (0, 0)
    server.status = 204
    await until(lambda: home.exporter.written == 5)
    await stopped(home)
    times = [Strict(text).point.at for text in server.lines]
    assert times == sorted(times)
    assert len(set(times)) == 5
    told = [record.getMessage() for record in caplog.records if record.name == "nutdrv_py"]
    assert len(told) == 2
    assert sentence in told[0]
    assert f"127.0.0.1:{server.port}" in told[0]
    assert told[1].endswith("takes points again")


async def test_each_refusal_says_what_to_do(clock: FakeClock, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    home = Home(clock, url=server.url, **CALLS["2.x"])
    server.status, server.body = 401, '{"code":"unauthorized","message":"unauthorized access"}'
    await home.exporter.start()
    await until(lambda: server.requests)
    server.status, server.body = 404, "<html>\nnot here\x1b[0m</html>"
    await until(lambda: len(caplog.records) > 1)
    await stopped(home)
    start = f"InfluxDB at 127.0.0.1:{server.port}"
    assert [record.getMessage() for record in caplog.records][:2] == [
        f"{start} refuses the token: correct it in the section influxdb (it says: unauthorized access); the points are kept for it",
        f"{start} has no bucket house in home: create it, or correct the section influxdb (it says: <html> not here [0m</html>); the points are kept for it",
    ]


@both_calls
@pytest.mark.parametrize(
    ("status", "body", "written", "dropped"),
    [
        (400, {"code": "invalid", "message": "unable to parse 'x'"}, 1, 2),
        (413, {"error": "Request Entity Too Large"}, 1, 2),
        (422, {"message": "failure writing points: partial write: field type conflict: is float dropped=1"}, 2, 1),
        (400, {"error": "partial write: unable to parse 'x': missing fields dropped=0"}, 2, 1),
        (400, {"error": "partial write: points beyond retention policy dropped=77"}, 1, 2),
    ],
)
async def test_points_that_stay_wrong_are_dropped_and_do_not_hold_up_the_others(
    clock: FakeClock, server: Server, caplog: pytest.LogCaptureFixture, call: str, status: int, body: dict[str, str], written: int, dropped: int
) -> None:
    body = {("message" if call == "2.x" else "error"): text for text in body.values()}
    home = Home(clock, url=server.url, **CALLS[call])
    home.exporter._backlog.add(["driver stale=true 1", "driver stale=true 2"])
    server.status, server.body = status, json.dumps(body)
    sending = home.exporter._backlog.done

    def once(*, lost: int | None = 0) -> None:
        server.status = 204
        sending(lost=lost)

    home.exporter._backlog.done = once  # type: ignore[method-assign]
    await home.exporter.start()
    await until(lambda: home.exporter.written + home.exporter.dropped >= 3)
    assert (home.exporter.written, home.exporter.dropped) == (written, dropped)
    await stopped(home)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "refuses points" in told
    assert told.endswith("they are dropped")


@both_calls
@pytest.mark.parametrize("trouble", ["away", "hangs", "refuses"])
async def test_a_server_in_trouble_delays_neither_polls_nor_the_end(
    clock: FakeClock, server: Server, caplog: pytest.LogCaptureFixture, call: str, trouble: str
) -> None:
    if trouble == "away":
        server.close()
    elif trouble == "hangs":
        server.hang = threading.Event()
    else:
        server.status = 500
    home = Home(clock, url=server.url, interval=0.01, **CALLS[call])
    await home.exporter.start()
    async with home.world:
        for _ in range(40):
            await clock.advance(5)
            await asyncio.sleep(0.005)
        assert home.world.device.polls >= 40
        assert not home.world.driver.snapshot.stale
    assert home.exporter.written == 0
    assert await stopped(home) < 1
    assert home.exporter.dropped > 40
    await asyncio.sleep(0.05)
    assert not home.exporter._backlog._batches, "nothing is collected after the end"
    assert any("lost" in record.getMessage() for record in caplog.records)


@both_calls
async def test_what_is_queued_is_delivered_at_the_end_when_the_server_is_there(
    clock: FakeClock, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 60.0)
    home = Home(clock, url=server.url, **CALLS[call])
    server.status = 503
    await home.exporter.start()
    for _ in range(9):
        home.exporter.collect()
    await until(lambda: caplog.records)
    server.status = 204
    assert await stopped(home) < 1
    assert home.exporter.written >= 9
    assert home.exporter.dropped == 0
    assert len(server.lines) >= 9


@both_calls
async def test_what_a_hung_server_may_not_have_taken_counts_as_lost_at_the_end(clock: FakeClock, server: Server, call: str) -> None:
    server.hang = threading.Event()
    home = Home(clock, url=server.url, **CALLS[call])
    await home.exporter.start()
    await until(lambda: server.requests)
    assert home.exporter.dropped == 0
    assert await stopped(home) < 1
    assert (home.exporter.written, home.exporter.dropped) == (0, 1)


@both_calls
async def test_a_server_that_hung_and_came_back_has_the_newest_in_order(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    monkeypatch.setattr(delivery, "MOST_BATCHES", 30)
    monkeypatch.setattr(delivery, "TIMEOUT", 0.2)

    async def story() -> None:
        first = Server()
        first.hang = threading.Event()
        home = Home(clock, url=first.url, **CALLS[call])
        await home.exporter.start()
        await until(lambda: first.requests)
        for _ in range(50):
            clock.now += 5
            home.exporter.collect()
        await until(lambda: first.requests > 1)
        first.close()
        await until(lambda: any("refused" in record.getMessage() for record in caplog.records))
        assert len(home.exporter._backlog._batches) in (29, 30)
        second = Server(first.port)
        try:
            await until(lambda: home.exporter.written >= 30)
            assert home.exporter.dropped == 21
            times = [Strict(text).point.at for text in second.lines]
            assert times == [round((clock.wall() - 5 * step) * 1000) for step in reversed(range(30))]
            assert await stopped(home) < 1
        finally:
            second.close()

    caplog.set_level("INFO")
    await story()
    told = [record.getMessage() for record in caplog.records]
    for sentence in ("no answer in time", "Connection refused", "oldest are dropped", "takes points again"):
        assert sum(sentence in text for text in told) == 1, told


def test_tries_become_rarer_up_to_a_minute_and_an_answer_resets_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    backlog = Backlog()
    pauses: list[float] = []
    calls = 0

    def send(data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls != 9:
            raise ConnectionRefusedError(111, "Connection refused")

    thread = Delivery(
        backlog, lambda timeout: contextlib.nullcontext(send),
        server="InfluxDB", credentials="token", target="bucket", secrets=(), ended=lambda: None,
    )  # fmt: skip

    def wait(seconds: float | None = None) -> bool:
        pauses.append(seconds or 0)
        if len(pauses) == 10:
            thread.stop()
        return False

    monkeypatch.setattr(thread._stopping, "wait", wait)
    backlog.add(["a b=1 1"])
    backlog.add(["a b=2 2"])
    thread.run()
    assert thread.daemon, "it may hang when the process ends"
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 1, 2]


async def test_no_secret_is_in_a_repr_or_a_log_line(clock: FakeClock, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async def story(options: dict[str, Any]) -> None:
        home = Home(clock, **options)
        await home.exporter.start()
        for status in (401, 500, 400):
            server.status, server.body = status, f"you said {SECRET}"
            requests = server.requests
            home.exporter.collect()
            await until(lambda before=requests: server.requests > before)
        await stopped(home)
        assert SECRET not in f"{home.exporter!r} {home.exporter._delivery!r} {home.exporter._options!r}"

    caplog.set_level(1)
    for call in CALLS.values():
        await story({"url": server.url, **call})
    assert server.requests > 5
    assert caplog.records
    assert SECRET not in "\n".join(f"{record.getMessage()} {record.exc_info}" for record in caplog.records if record.name.startswith("nutdrv"))


# The configuration


def _certificate(folder: Path) -> tuple[Path, Path]:
    path, key = folder / "server.pem", folder / "server.key"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=influx"]
    subprocess.run([*words, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", path], check=True, capture_output=True)
    return path, key


@both_calls
async def test_a_certificate_is_checked_and_ca_cert_is_honoured(
    clock: FakeClock, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    path, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    server.httpd.socket = context.wrap_socket(server.httpd.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    distrusting = Home(clock, url=url, **CALLS[call])
    await distrusting.exporter.start()
    await until(lambda: caplog.records)
    await stopped(distrusting)
    assert distrusting.exporter.written == 0
    trusting = Home(clock, url=url, ca_cert=str(path), **CALLS[call])
    await trusting.exporter.start()
    await until(lambda: trusting.exporter.written)
    await stopped(trusting)
    assert "its certificate is not trusted" in caplog.records[0].getMessage()
    assert "influxdb.ca_cert" in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ca_cert": "/does/not/exist.pem"}, "influxdb.ca_cert: /does/not/exist.pem cannot be used: No such file or directory"),
        ({"ca_cert": __file__}, "it holds no certificate"),
    ],
)
async def test_what_only_an_administrator_can_mend_stops_the_start(clock: FakeClock, options: dict[str, str], sentence: str) -> None:
    home = Home(clock, **options)
    with pytest.raises(ConfigError) as error:
        await home.exporter.start()
    assert sentence in str(error.value)
    assert await stopped(home) < 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"token": "a\nb"}, "influxdb.token holds characters"),
        ({"token": "schlüssel"}, "influxdb.token holds characters"),
        ({"url": "ftp://host"}, "influxdb.url must begin with http"),
        ({"url": "http://"}, "influxdb.url has no host"),
        ({"url": "http://[::1"}, "influxdb.url has no host"),
        ({"url": "http://host:99999"}, "a port that is none"),
        ({"url": "http://writer:word@host"}, "influxdb.url must not hold a user or password"),
    ],
)
def test_what_no_server_would_take_is_refused_when_the_file_is_read(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as error:
        check(InfluxDB(enable=True, **options), "influxdb")  # type: ignore[arg-type]
    assert "word@" not in str(error.value)


def test_the_documentation_has_each_key_with_its_default() -> None:
    text = (REPO / "docs" / "influxdb.md").read_text()
    rows = dict(re.findall(r"^\| (`[^|]*`) \| ([^|]*?) ?\|", text.partition("## Measurements")[0], re.MULTILINE))
    shown = {name: default for names, default in rows.items() for name in re.findall(r"`(\w+)`", names)}
    defaults = {item.name: item.default for item in dataclasses.fields(InfluxDB)}
    assert shown.keys() == defaults.keys()
    for name, default in defaults.items():
        assert shown[name].strip("`") == (f"{default:g}" if isinstance(default, float) else str(default).lower() if isinstance(default, bool) else default)
    for number in (f"{delivery.MOST_BATCHES} sets", f"{delivery.MOST_BYTES >> 20} MiB"):
        assert number in text
