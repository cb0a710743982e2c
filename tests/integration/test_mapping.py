# SPDX-License-Identifier: GPL-2.0-or-later
"""Shipped descriptions through the real upsd: each plays an outage, spoken by a stand-in in the device's own protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.backends.mapping.speakers import WebServer
from tests.integration.conftest import Watched, wait
from tests.integration.test_mqtt import MOSQUITTO, Mosquitto

Served = Callable[..., Watched]


@pytest.fixture
def served() -> Iterator[Served]:
    """A NUT whose driver serves a described device. ``files`` are laid into NUT's configuration folder, for its owner alone."""
    made: list[Watched] = []

    def serve(port: str, files: Mapping[str, str] | None = None, **options: object) -> Watched:
        section = {"driver": "nutdrv_py", "backend": "mapping", "port": port, "pollinterval": "1", "looks": "1"}
        stage = Watched({**section, **{name: str(value) for name, value in options.items()}}, ups="home")
        made.append(stage)
        for name, text in (files or {}).items():
            path = stage.folder / "etc" / name
            path.touch(mode=0o600)
            path.write_text(text)
        stage.start()
        stage.upsd()
        return stage

    yield serve
    for stage in reversed(made):
        stage.close()


def _becomes(stage: Watched, *tokens: str) -> None:
    wait(lambda: set(tokens) <= set(stage.status().split()), timeout=20, what=f"{tokens} in {stage.status()!r}")


def test_tesla_powerwall_plays_an_outage(served: Served, tmp_path: Path) -> None:
    with WebServer(tmp_path, password="t0p-secret") as web:

        def say(grid: str, soe: float, battery: float) -> None:
            web.answers = {
                "/api/system_status/grid_status": {"grid_status": grid, "grid_services_active": False},
                "/api/system_status/soe": {"percentage": soe},
                "/api/system_status": {"nominal_full_pack_energy": 13500, "system_island_state": grid},
                "/api/meters/aggregates": {
                    "site": {"instant_power": -20.5, "frequency": 49.98},
                    "battery": {"instant_power": battery},
                    "load": {"instant_power": 1500.0},
                    "solar": {"instant_power": 0},
                },
            }

        say("SystemGridConnected", 76.4, 1500)
        stage = served(
            "tesla-powerwall", {"powerwall": "USERNAME=me@example.org\nPASSWORD=t0p-secret\n"},
            address=web.address, credentials="powerwall", certificate=web.fingerprint,
        )  # fmt: skip
        _becomes(stage, "OL", "DISCHRG")
        shown = stage.variables()
        assert {name: shown.get(name) for name in ("battery.charge", "ups.realpower", "ups.mfr", "input.frequency")} == {
            "battery.charge": "76", "ups.realpower": "1500.0", "ups.mfr": "Tesla", "input.frequency": "49.98",
        }  # fmt: skip
        assert 20000 < int(shown["battery.runtime"]) < 26000
        say("SystemIslandedActive", 75, 1500)
        _becomes(stage, "OB", "DISCHRG")
        web.forget()  # a session that ends in the outage
        say("SystemTransitionToGrid", 74, 1500)
        wait(lambda: stage.variables().get("battery.charge") == "74")
        assert "OB" in stage.status().split()
        say("SystemGridConnected", 74, -3000)
        _becomes(stage, "OL", "CHRG")
        assert "t0p-secret" not in str(shown) + stage.log() + stage.log("upsd")


@pytest.mark.skipif(not Path(MOSQUITTO).exists(), reason="there is no mosquitto here")
def test_generic_mqtt_plays_an_outage(served: Served, tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:

        def say(**values: object) -> None:
            for name, value in values.items():
                broker.publish(f"house/{name}", str(value), "-r")

        # What stands there from an outage of long ago makes no OB.
        say(grid="off", charge=3)
        stage = served("generic-mqtt", address=f"127.0.0.1:{broker.port}", topic="house")
        wait(stage.stale, timeout=20)
        say(status="online", grid="on", charge=80, load=900, power=0, capacity=10000)
        _becomes(stage, "OL")
        assert (stage.variables()["battery.charge"], stage.variables()["ups.realpower"]) == ("80", "900.0")
        say(grid="off", power=900)
        _becomes(stage, "OB", "DISCHRG")
        say(charge=21)
        wait(lambda: stage.variables().get("battery.charge") == "80")  # such a fall is doubted first
        say(status="offline")
        assert set(stage.status().split()) == {"OB", "DISCHRG"}
        say(status="online", charge=75, grid="on")
        _becomes(stage, "OL")
