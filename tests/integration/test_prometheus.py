# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Prometheus that scrapes a driver with a simulated inverter."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from nutdrv_py.backends.rct import Rct
from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.clock import Clock
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.settings import Settings
from nutdrv_py.core.telemetry import Source
from nutdrv_py.exporters import config
from nutdrv_py.exporters.prometheus import PrometheusExporter
from nutdrv_py.exporters.web import Web
from nutdrv_py.machine.paths import Paths
from nutdrv_py.simulators.rct import RunningInverter, load_scenario
from tests.integration.conftest import wait
from tests.test_dashboards import ALERTS, rules, targets

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")

PATIENCE = 30.0


class Server:
    """A Prometheus that scrapes ``port`` each second and has our alert rules."""

    def __init__(self, folder: Path, port: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self._client = httpx.Client(base_url=f"http://{address}/api/v1/", timeout=PATIENCE, trust_env=False)
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
            f'rule_files: ["{ALERTS}"]\n'
            f'scrape_configs: [{{job_name: nutdrv_py, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]\n'
        )
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"],
                stdout=log, stderr=log,
            )  # fmt: skip

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        self._client.close()

    def ask(self, path: str, **query: str) -> Any:
        """What the API answers; a refused question is an error."""
        found = self._client.get(path, params=query).raise_for_status().json()
        assert found["status"] == "success", found
        return found["data"]

    def values(self, expression: str) -> dict[str, float]:
        """The values by the series' labels, now."""
        return {str(sorted(row["metric"].items())): float(row["value"][1]) for row in self.ask("query", query=expression)["result"]}

    def wait(self, test: Callable[[], object], what: str) -> None:
        def tried() -> object:
            try:
                return test()
            except httpx.HTTPError:
                return False

        try:
            wait(tried, timeout=PATIENCE, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text(errors='replace')[-3000:]}") from None


@dataclass
class Home:
    inverter: RunningInverter
    server: Server


@contextlib.asynccontextmanager
async def _home(folder: Path) -> AsyncIterator[Home]:
    with RunningInverter(replace(load_scenario("online"), timeline=())) as inverter:
        options = RctConfig(ups="home", port=inverter.sim.host_port, pollinterval=1, maxage=6)
        clock = Clock()
        paths = Paths(*[None] * 4)  # type: ignore[arg-type]
        driver = Driver(Settings("home", "nutdrv_py", "rct", Rct, options, paths), Rct(options, clock), clock)
        web = Web()
        exporter = PrometheusExporter([Source(driver)], config.Prometheus(exposition=True, bind_port=0), web)
        await exporter.start()
        await web.start()
        task = asyncio.ensure_future(driver.run())
        try:
            with contextlib.closing(Server(folder, web.port("127.0.0.1", 0))) as server:
                yield Home(inverter, server)
        finally:
            driver.stop(0)
            await task
            await exporter.stop()
            await web.stop()


async def test_prometheus_takes_all_of_it_and_ends_the_series_of_a_device_that_goes_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nutdrv_py.backends.rct.client.GAP", 0.0)

    def look(home: Home) -> None:
        server = home.server
        charge, soc = "network_ups_tools_battery_charge", "rctmon_battery_state_of_charge_percent"
        server.wait(lambda: server.values(charge) and server.values("rctmon_battery_module_cell_voltage_volt"), "the first values")
        [target] = server.ask("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        assert len(server.values("rctmon_battery_module_cell_voltage_volt")) == 48
        assert 55 < next(iter(server.values(charge).values())) <= 60
        assert 0.55 < next(iter(server.values(soc).values())) <= 0.6
        assert server.values('network_ups_tools_ups_status{flag="OL"} == 1')

        def drawn(query: str) -> bool:
            return bool(server.values(query.replace("$ups", "home").replace("$__rate_interval", "10s")))

        for where, query in targets("prometheus", "expr"):
            if "exporter_dropped" not in query:
                server.wait(lambda query=query: drawn(query), f"{where}: {query}")
        groups = server.ask("rules")["groups"]
        server.wait(lambda: all(rule["health"] == "ok" for group in server.ask("rules")["groups"] for rule in group["rules"]), "rules")
        assert sum(len(group["rules"]) for group in groups) == len(rules())

        home.inverter.set(grid="outage")
        firing = 'ALERTS{alertname="HouseOnBattery", alertstate="firing"}'
        server.wait(lambda: server.values(firing), "the alert about the outage")
        home.inverter.set(silent=True)
        device = '{__name__=~"network_ups_tools_.+|rctmon_(battery|grid|inverter|household|temperature|inventory).*"}'
        server.wait(lambda: server.values("nutdrv_py_stale == 1"), "stale data")
        server.wait(lambda: not server.values(device), "the end of the device's series")
        [up] = server.ask("query", query="rctmon_device_up")["result"]
        assert (up["metric"]["inverter"], up["value"][1]) == ("PS 6.0 BA3L", "0")
        assert server.values("nutdrv_py_up == 0") and server.values("nutdrv_py_data_age_seconds > 5")
        home.inverter.set(silent=False)
        server.wait(lambda: server.values(charge), "the values again")

    async with _home(tmp_path) as home:
        await asyncio.to_thread(look, home)
