# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated RCT house, a real driver, and real servers: VictoriaMetrics by both calls, and InfluxDB 1.x."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nutdrv_py.backends.rct import Rct, client
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.clock import Clock
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.telemetry import Source
from nutdrv_py.exporters import delivery
from nutdrv_py.exporters.config import InfluxDB
from nutdrv_py.exporters.influxdb import InfluxExporter
from nutdrv_py.machine.paths import Paths
from nutdrv_py.protocols.rct.objects import OBJECTS
from nutdrv_py.simulators.rct import RunningInverter, load_scenario

OIDS = {row.name: row.oid for row in OBJECTS}
LOGIN = ("writer", "word of the house")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server(abc.ABC):
    """A program that is started and ended, on one port and one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @abc.abstractmethod
    def command(self) -> list[str]:
        """How it is started."""

    def get(self, path: str, *, method: str = "GET", **query: str) -> str:
        request = urllib.request.Request(f"{self.url}{path}?{urllib.parse.urlencode(query)}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.get("/ping")
                return
            except OSError:
                assert time.monotonic() < deadline and self._process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None


class Victoria(Server):
    def command(self) -> list[str]:
        return ["victoria-metrics", f"-httpListenAddr=127.0.0.1:{self.port}", f"-storageDataPath={self.folder}/data"]

    def series(self, match: str) -> list[dict[str, Any]]:
        self.get("/internal/force_flush")
        return [json.loads(line) for line in self.get("/api/v1/export", **{"match[]": match}).splitlines()]


class Influx(Server):
    """InfluxDB 1.x with an administrator, who is also the writer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.internal = _free_port()

    def command(self) -> list[str]:
        (self.folder / "influxdb.conf").write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{self.internal}"\n'
            f'[meta]\ndir = "{self.folder}/meta"\n'
            f'[data]\ndir = "{self.folder}/data"\nwal-dir = "{self.folder}/wal"\n'
            f'[http]\nbind-address = "127.0.0.1:{self.port}"\nauth-enabled = true\n[monitor]\nstore-enabled = false\n'
        )
        return ["influxd", "-config", f"{self.folder}/influxdb.conf"]

    def query(self, text: str, **more: str) -> list[dict[str, Any]]:
        found = json.loads(self.get("/query", method="POST", q=text, u=LOGIN[0], p=LOGIN[1], **more))["results"][0]
        assert "error" not in found, found
        return [{**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))} for series in found.get("series", ()) for row in series["values"]]


def _server(kind: type[Server], program: str, folder: Path) -> Iterator[Any]:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    server = kind(folder)
    server.start()
    try:
        yield server
    finally:
        server.end()


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Victoria]:
    yield from _server(Victoria, "victoria-metrics", tmp_path)


@pytest.fixture
def influx(tmp_path: Path) -> Iterator[Influx]:
    for server in _server(Influx, "influxd", tmp_path):
        server.query(f"CREATE USER {LOGIN[0]} WITH PASSWORD '{LOGIN[1]}' WITH ALL PRIVILEGES")
        server.query("CREATE DATABASE house")
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(delivery, "MOST_PAUSE", 0.5)
    monkeypatch.setattr(client, "GAP", 0.0)


class House:
    """A driver on real time with its exporter."""

    def __init__(self, address: str, options: InfluxDB) -> None:
        config = RctConfig(ups="home", port=address, pollinterval=1, maxage=5)
        settings = Settings("home", "nutdrv_py", "rct", Rct, config, Paths(*[None] * 4))  # type: ignore[arg-type]
        self.driver = Driver(settings, Rct(config, Clock()), Clock())
        self.source = Source(self.driver)
        self.exporter = InfluxExporter([self.source], options, oids=OIDS)

    async def until(self, test: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(urllib.error.HTTPError):
                if await asyncio.to_thread(test):
                    return
            assert time.monotonic() < deadline, f"it did not come true within {seconds} s"
            await asyncio.sleep(0.1)

    async def polls(self, count: int) -> None:
        """Wait for so many more polls, and have all of them be good."""
        before = self.source.health()
        await self.until(lambda: self.source.health().polls >= before.polls + count)
        assert self.source.health().failures == before.failures
        assert not self.driver.snapshot.stale


@contextlib.asynccontextmanager
async def house(running: RunningInverter, **options: Any) -> AsyncIterator[House]:
    made = House(running.sim.host_port, InfluxDB(interval=1.0, **options))
    task = asyncio.ensure_future(made.driver.run())
    await made.exporter.start()
    try:
        await made.until(lambda: not made.driver.snapshot.stale)
        yield made
        began = time.monotonic()
        await made.exporter.stop()
        assert time.monotonic() - began < 1
    finally:
        await made.exporter.stop()
        made.driver.stop()
        await task


@pytest.fixture
def running() -> Iterator[RunningInverter]:
    with RunningInverter(replace(load_scenario("online"), timeline=())) as inverter:
        yield inverter


@pytest.mark.parametrize("call", [{"token": "any", "org": "home", "bucket": "house"}, {"database": "house"}], ids=["2.x call", "1.x call"])
async def test_a_house_is_in_victoria_metrics_with_the_time_in_which_it_was_away(victoria: Victoria, running: RunningInverter, call: dict[str, str]) -> None:
    def told(since: float, until: float) -> list[float]:
        found = victoria.series("battery_overview_soc")
        return [at for series in found for at in series["timestamps"] if since <= at / 1000 <= until]

    async with house(running, url=victoria.url, **call) as home:
        await home.until(lambda: told(0, time.time()))
        await asyncio.to_thread(victoria.end)
        ended = time.time()
        await home.polls(4)
        started = time.time()
        await asyncio.to_thread(victoria.start)
        await home.until(lambda: len(told(ended, started)) >= 3)
        await home.until(lambda: told(started, time.time()))
        assert home.exporter.written > 150
        assert home.exporter.dropped == 0
    (soc,) = victoria.series("battery_overview_soc")
    assert soc["metric"]["inverter"] == "PS 6.0 BA3L"
    assert all(0.55 < value < 0.65 for value in soc["values"])
    assert len(set(soc["timestamps"])) == len(soc["timestamps"])
    (raw,) = victoria.series('raw_data_value_float{name="battery.soc"}')
    assert raw["metric"]["oid"] == "0x959930BF"
    (flag,) = victoria.series("{__name__='ups_status.DISCHRG'}")
    assert set(flag["values"]) == {1}
    assert {entry["metric"]["module"] for entry in victoria.series("battery_module_cycles")} == {"0", "1"}


async def test_a_house_is_in_influxdb_1_with_types_that_stay_and_what_it_refuses_is_counted(
    influx: Influx, running: RunningInverter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    # Somebody's earlier data have another type for one field: InfluxDB takes a set but for that point.
    await asyncio.to_thread(_write, influx, 'battery_module,module=0 cycles="many"')
    options = {"url": influx.url, "database": "house", "username": LOGIN[0], "password": LOGIN[1]}
    async with house(running, **options) as home:
        await home.until(lambda: influx.query("SELECT soc FROM battery_overview", db="house"))
        await asyncio.to_thread(influx.end)
        await home.polls(3)
        await asyncio.to_thread(influx.start)
        count = len(influx.query("SELECT soc FROM battery_overview", db="house"))
        await home.until(lambda: len(influx.query("SELECT soc FROM battery_overview", db="house")) >= count + 3)
        running.set(silent=True)
        await home.until(lambda: home.driver.snapshot.stale)
        await home.until(lambda: len(influx.query("SELECT * FROM driver WHERE stale = true", db="house")) >= 3)
        age, stale = (
            influx.query(query, db="house", epoch="ms")[0]["time"]
            for query in ("SELECT last(soc) FROM battery_overview", "SELECT last(age) FROM driver WHERE stale = true")
        )
        assert age < stale - 5000, "nothing old as new"
        assert 0 < home.exporter.dropped < home.exporter.written
    types = {row["fieldKey"]: row["fieldType"] for row in influx.query("SHOW FIELD KEYS FROM ups", db="house")}
    assert types["battery.charge"] == "float"
    assert types["battery.runtime"] == "float"
    assert types["ups.serial"] == types["ups.status"] == types["experimental.battery.module.1.firmware"] == "string"
    assert types["status.OB"] == "boolean"
    types = {row["fieldKey"]: row["fieldType"] for row in influx.query("SHOW FIELD KEYS FROM raw_data", db="house")}
    assert types == {"value_float": "float", "value_bool": "boolean", "value_string": "string", "value_int": "integer"}
    (name,) = influx.query("SELECT last(value_string) FROM raw_data WHERE \"name\" = 'inverter_sn'", db="house")
    assert name["last"] == running.value("inverter_sn")
    (row,) = influx.query("SELECT * FROM ups ORDER BY time DESC LIMIT 1", db="house", epoch="ms")
    assert (row["ups"], row["backend"], row["ups.status"], row["battery.charge"]) == ("home", "rct", "OL DISCHRG", 60)
    told = [record.getMessage() for record in caplog.records if "InfluxDB" in record.getMessage()]
    assert sum("refuses points" in text and "cycles" in text and text.endswith("they are dropped") for text in told) == 1, told
    assert sum("takes points again" in text for text in told) == 1, told


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"database": "house", "username": LOGIN[0], "password": "wrong"}, "refuses the username or password: correct it"),
        ({"database": "other", "username": LOGIN[0], "password": LOGIN[1]}, "has no database other: create it"),
        ({"bucket": "house"}, "has no bucket house in rct: create it"),
    ],
)
async def test_influxdbs_own_refusals_are_explained_and_the_points_kept(
    influx: Influx, running: RunningInverter, caplog: pytest.LogCaptureFixture, options: dict[str, str], sentence: str
) -> None:
    async with house(running, url=influx.url, **options) as home:
        await home.until(lambda: caplog.records)
        await home.polls(2)
        assert (home.exporter.written, home.exporter.dropped) == (0, 0)
        if options.get("database") == "other":
            influx.query("CREATE DATABASE other")
            await home.until(lambda: influx.query("SELECT soc FROM battery_overview", db="other"))
    assert sum(sentence in record.getMessage() for record in caplog.records) == 1


def _write(influx: Influx, text: str) -> None:
    query = urllib.parse.urlencode({"db": "house", "u": LOGIN[0], "p": LOGIN[1]})
    urllib.request.urlopen(urllib.request.Request(f"{influx.url}/write?{query}", data=text.encode(), method="POST"), timeout=10).close()


async def test_a_socket_that_never_answers_costs_no_poll(running: RunningInverter, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with house(running, url=f"http://127.0.0.1:{deaf.getsockname()[1]}", token="any") as home:
            began, before = time.monotonic(), home.source.health().polls
            await home.polls(3)
            done = home.source.health().polls - before
            assert done >= (time.monotonic() - began) / 2 - 1
        assert home.exporter.written == 0
    assert any("lost" in record.getMessage() for record in caplog.records)
