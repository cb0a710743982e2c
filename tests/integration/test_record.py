# SPDX-License-Identifier: GPL-2.0-or-later
"""An outage, recorded beside the running driver and played by another one: upsc shows the same story twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby

import pytest

from nutdrv_py.simulators import enphase
from tests.commands.test_record import PROGRAM
from tests.conftest import REPO
from tests.integration.conftest import Watched, wait

SPEED = 25.0
"""The house's clock against ours, so that a charge falls in seconds."""

STORY = ["OL", "OB", "OB LB", "OL"]
NAMES = ("battery.charge", "battery.charge.low", "ups.load", "ups.realpower", "output.realpower", "input.transfer.reason")
"""What is compared while the house is off the grid, with the numbers as they were then."""


class Seen:
    """What upsc has shown, looked at all the time."""

    def __init__(self, stage: Watched) -> None:
        self._stage = stage
        self._ended = threading.Event()
        self.views: list[dict[str, str]] = []
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            view = self._stage.variables()
            if "ups.status" in view:
                self.views.append(view)

    def statuses(self) -> list[str]:
        words = [" ".join(word for word in view["ups.status"].split() if word in ("OL", "OB", "LB")) for view in self.views]
        return [text for text, _ in groupby(words) if text]

    def end(self) -> None:
        self._ended.set()
        self._thread.join(10)

    def shown(self, name: str) -> set[str]:
        return {view[name] for view in self.views if view["ups.status"].startswith("OB") and name in view}


def _gateway(running: enphase.RunningSimulator) -> tuple[dict[str, str], str]:
    sim = running.sim
    section = {
        "driver": "nutdrv_py", "port": sim.host_port, "backend": "enphase", "credentials": "credentials", "tokenfile": "home.token",
        "login_url": sim.login_url, "token_url": sim.token_url, "pollinterval": "2", "pollfreq": "5",
    }  # fmt: skip
    return section, f"USERNAME={sim.username}\nPASSWORD={sim.password}\n"


NEARLY_LOW = 23
"""Percent of charge a few seconds of the story above the low mark."""


@pytest.fixture
def stages() -> Iterator[Callable[[dict[str, str]], Watched]]:
    made: list[Watched] = []

    def make(section: dict[str, str]) -> Watched:
        made.append(Watched(section, ups="home"))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


def test_what_upsc_has_shown_in_an_outage_it_shows_again(stages: Callable[[dict[str, str]], Watched]) -> None:
    with enphase.RunningSimulator(replace(enphase.load_scenario("demo"), timeline=()), speed=SPEED) as running:
        running.set(soc=NEARLY_LOW)
        section, secret = _gateway(running)
        live = stages(section)
        credentials = live.folder / "etc" / "credentials"
        credentials.touch(mode=0o600)
        credentials.write_text(secret)
        path = live.folder / "home.recording"
        live.start()
        live.upsd()
        wait(lambda: live.status().startswith("OL"), 30)
        tape = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(write_every=1.0), "home", os.fspath(path), "--minutes", "10"],
            env={**live.environment(), "PYTHONPATH": str(REPO)}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            wait(lambda: path.exists() and path.stat().st_size > 1000, 30)
            seen = Seen(live)
            wait(lambda: seen.statuses() == STORY[:1], 30)
            running.set(soc=NEARLY_LOW, grid="outage")
            wait(lambda: seen.statuses() == STORY[:3], 60, what="the outage")
            time.sleep(3)
            running.set(grid="on")
            wait(lambda: seen.statuses() == STORY, 60, what="its end")
            time.sleep(3)
            seen.end()
        finally:
            tape.terminate()
            _, said = tape.communicate(timeout=30)
        assert tape.returncode == 0, said
    again = stages({"driver": "nutdrv_py", "port": os.fspath(path), "backend": "replay", "speed": "4"})
    again.start()
    again.upsd()
    played = Seen(again)
    wait(lambda: played.statuses() == STORY, 60, what="the story")
    wait(again.stale, 60, what="the end of the recording")
    played.end()
    assert played.statuses() == STORY
    for name in NAMES:
        assert bool(played.shown(name)) is bool(seen.shown(name)), name
    for name in ("battery.charge.low", "input.transfer.reason"):
        assert played.shown(name) == seen.shown(name)
    charges = [sorted(map(float, look.shown("battery.charge"))) for look in (played, seen)]
    assert all(abs(charges[0][end] - charges[1][end]) <= 2 for end in (0, -1)), charges
