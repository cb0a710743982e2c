# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory and CPU of the daemon on an RCT inverter, with Prometheus alone and with all exporters, beside a Python that has imported what RctMon does.

RctMon itself is not in the package index. Its imports are those of its requirements.txt (github.com/svalouch/rctmon).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from figures import Figure, show
from nutdrv_py.simulators.nut import free_port
from servers import Influx, Mosquitto
from stage import DEVICES, LIMIT, cpu_seconds, imported_kib, proportional_kib, resident_kib

LIBRARIES = "rctclient.frame, rctclient.registry, yaml"
ALONE, ALL = f"{LIBRARIES}, prometheus_client", f"{LIBRARIES}, prometheus_client, influxdb_client, paho.mqtt.client"

SETTLED = 15.0
"""Seconds after the start of which nothing is measured."""


def daemon(folder: Path, name: str, device: str, *sections: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the daemon; return its process and the port of its metrics."""
    port, conf = free_port(), folder / f"{name}.yml"
    host, _, at = device.partition(":")
    rows = [f"device: {{host: {host}, port: {at}}}", f"prometheus: {{enable: true, bind_port: {port}, exposition: true}}", *sections]
    conf.write_text("\n".join(rows) + "\n")
    with open(folder / f"{name}.log", "wb") as log:
        words = [sys.executable, "-m", "nutdrv_py", "daemon", "-c", str(conf)]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder), port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as name, DEVICES["rct"].make() as running:
        folder, device = Path(name), running.sim.host_port
        broker = Mosquitto(folder / "mosquitto", shutil.which("mosquitto") or "/usr/sbin/mosquitto")
        database = Influx(folder / "influxd", shutil.which("influxd") or "/usr/bin/influxd")
        try:
            broker.start()
            database.start()
            more = (
                f"influxdb: {{enable: true, url: 'http://127.0.0.1:{database.port}', database: house}}",
                f"mqtt: {{enable: true, mqtt_host: 127.0.0.1, mqtt_port: {broker.port}}}",
            )
            started = [daemon(folder, "alone", device), daemon(folder, "all", device, *more)]
            processes = [process for process, _ in started]
            time.sleep(SETTLED)
            for (process, port), log in zip(started, ("alone", "all"), strict=True):
                if process.poll() is not None:
                    raise SystemExit(f"the daemon did not start:\n{(folder / f'{log}.log').read_text()[-2000:]}")
                urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT).read()
            before = [cpu_seconds(process.pid) for process in processes]
            time.sleep(args.seconds)
            for process, used, what, libraries in zip(processes, before, ("Prometheus", "Prometheus, InfluxDB and MQTT"), (ALONE, ALL), strict=True):
                resident, floor = resident_kib(process.pid) / 1024, imported_kib(libraries) / 1024
                hourly = (cpu_seconds(process.pid) - used) / args.seconds * 3600
                show(
                    Figure(
                        f"daemon with {what}", f"{resident:.1f} MiB (proportional {proportional_kib(process.pid) / 1024:.1f}), CPU {hourly:.1f} s in an hour",
                        f"import {libraries} {floor:.1f} MiB", resident / floor,
                    )
                )  # fmt: skip
        finally:
            for process in processes:
                process.kill()
                process.wait()
            broker.kill()
            database.kill()


if __name__ == "__main__":
    os.environ.setdefault("NUT_CONFPATH", "/nonexistent")
    main()
