# SPDX-License-Identifier: GPL-2.0-or-later
"""What docs/upsmon.md says that upsmon does, done by the real upsmon: each row of its first table whose word is yes or no.

All situations run at the same time, each with a NUT of its own: what takes long is upsmon's waiting.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from nutdrv_py.commands.check.programs import version
from tests.conftest import REPO
from tests.integration.conftest import Watched, alone, wait

DEADTIME = 5
"""Seconds in these experiments; upsmon's default is 15."""

PATIENCE = 40.0
"""Seconds in which upsmon must have acted where it should: DEADTIME, and a busy machine."""

LONG = 8
"""A maxage in seconds of which half is long enough for upsmon to see that alarms are withdrawn before the data are stale."""

QUIET = DEADTIME + 5.0
"""Seconds for which upsmon must not act where it should not."""


PAGE = REPO / "docs" / "upsmon.md"
RELEASE = ".".join(map(str, version("upsmon") or ()))


def _forgets_cal() -> bool:
    """Whether this is Debian's 2.8.1 from 2.8.1-5+deb13u1 on, which clears CAL as later releases do (Debian bug 1056190)."""
    asked = ["dpkg-query", "-W", "-f", "${Version}", "nut-client"]
    return shutil.which("dpkg-query") is not None and "+deb13u" in subprocess.run(asked, capture_output=True, text=True, check=False).stdout


KEEP_CAL = () if _forgets_cal() else ("2.8.0", "2.8.1")

_ports, _taken = threading.Lock(), set[int]()  # a free port is free until the upsd of another scene listens on it


class Scene(Watched):
    """upsd and upsmon around a driver whose device is a file: it can say whatever a device can."""

    def __init__(self, maxage: int = 2, **options: str) -> None:
        section = {"driver": "nutdrv_py", "backend": "dummy", "port": "device.dev", "pollinterval": "1", "maxage": str(maxage), **options}
        with _ports:
            super().__init__(section, ups="home")
            while self.port in _taken:
                self.close()
                super().__init__(section, ups="home")
            _taken.add(self.port)
        conf = self.folder / "etc" / "upsmon.conf"
        conf.write_text(re.sub(r"DEADTIME \d+", f"DEADTIME {DEADTIME}", conf.read_text()))
        self.device = self.folder / "etc" / "device.dev"

    def say(self, status: str, **values: object) -> None:
        lines = "".join(f"{name.replace('_', '.')}: {value}\n" for name, value in values.items())
        new = self.device.with_suffix(".new")
        new.write_text(f"ups.status: {status}\nbattery.charge: 80\nbattery.charge.low: 20\n{lines}")
        new.replace(self.device)

    def hide(self) -> None:
        """The device is away."""
        self.device.rename(self.device.with_suffix(".away"))

    def show(self) -> None:
        self.device.with_suffix(".away").rename(self.device)

    def seen(self, status: str) -> None:
        """Wait until upsd says so, and upsmon has had two turns to see it."""
        wait(lambda: set(self.status().split()) == set(status.split()), 30, status)
        time.sleep(2.5)

    def begin(self, status: str = "OL", **values: object) -> None:
        self.say(status, **values)
        self.start()
        self.daemon = self.upsd()
        wait(lambda: self.status().split() != [], 30)
        self.upsmon()
        time.sleep(2.5)

    def kill_driver(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def kill_upsd(self) -> None:
        self.daemon.kill()

    def force(self) -> None:
        """What another upsmon, or an administrator with ``upsmon -c fsd``, tells upsd."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as line:
            for words in ("USERNAME demo", "PASSWORD demo", "MASTER home", "FSD home"):
                line.sendall(f"{words}\n".encode())
                answer = line.recv(256)
                assert answer.startswith(b"OK"), (words, answer)

    @property
    def shut_down(self) -> bool:
        return self.shutdown_file.exists()


def _on_battery(scene: Scene) -> None:
    scene.begin()
    scene.say("OB DISCHRG")
    scene.seen("OB DISCHRG")


def _low(scene: Scene) -> None:
    _on_battery(scene)
    scene.say("OB LB")


def _calibrates_low(scene: Scene) -> None:
    scene.begin("OL CAL")
    scene.say("OB LB CAL")
    scene.seen("OB LB")


def _away_on_line(scene: Scene) -> None:
    scene.begin()
    scene.hide()
    wait(scene.stale, 30)


def _away_on_battery(scene: Scene) -> None:
    _on_battery(scene)
    scene.hide()
    wait(scene.stale, 30)


def _away_with_alarm(scene: Scene) -> None:
    scene.begin("OL", ups_alarm="[Battery error]")
    scene.hide()
    wait(scene.stale, 30)


def _away_calibrating(scene: Scene) -> None:
    scene.begin("OL CAL")
    scene.hide()
    wait(scene.stale, 30)


def _short_silence_on_battery(scene: Scene) -> None:
    _on_battery(scene)
    scene.hide()
    time.sleep(DEADTIME + 3)
    assert not scene.stale()
    scene.show()


def _never_seen(scene: Scene) -> None:
    scene.say("OL")
    scene.hide()
    scene.start()
    scene.daemon = scene.upsd()
    scene.upsmon()


def _driver_killed_on_line(scene: Scene) -> None:
    scene.begin()
    scene.kill_driver()


def _driver_killed_on_battery(scene: Scene) -> None:
    _on_battery(scene)
    scene.kill_driver()


def _driver_restarted_on_battery(scene: Scene) -> None:
    _on_battery(scene)
    scene.start()


def _upsd_killed_on_line(scene: Scene) -> None:
    scene.begin()
    scene.kill_upsd()


def _upsd_killed_on_battery(scene: Scene) -> None:
    _on_battery(scene)
    scene.kill_upsd()


def _forced(scene: Scene) -> None:
    scene.begin()
    scene.force()


@dataclass(frozen=True)
class Story:
    """The first cell of a row in the page, how it comes to that, options of the driver, and releases that shut down all the same."""

    row: str
    happens: Callable[[Scene], None]
    maxage: int = 2
    but: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    """Releases that do not shut down."""

    @property
    def expected(self) -> str:
        """What the page says of this machine's release."""
        return "yes" if RELEASE in self.but else "no" if RELEASE in self.never else _rows()[self.row]


STORIES = (
    Story("on battery, charge above the low mark", _on_battery),
    Story("on battery and low: `OB LB`", _low),
    Story("calibrating, then `OB LB`", _calibrates_low, never=KEEP_CAL),
    Story("on the grid, data stale", _away_on_line),
    Story("on battery, data stale", _away_on_battery),
    Story("on the grid with an alarm, data stale", _away_with_alarm, LONG),
    Story("on the grid and calibrating, data stale", _away_calibrating, LONG, KEEP_CAL[1:]),
    Story("on battery, the gateway restarts within `maxage`", _short_silence_on_battery, 30),
    Story("upsmon starts, and nobody knows the UPS yet", _never_seen),
    Story("on the grid, the driver is killed", _driver_killed_on_line),
    Story("on battery, the driver is killed and stays away", _driver_killed_on_battery),
    Story("on battery, the driver is restarted", _driver_restarted_on_battery, but=("2.8.1",)),
    Story("on the grid, upsd is killed or the network to it is gone", _upsd_killed_on_line),
    Story("on battery, upsd is killed or the network to it is gone", _upsd_killed_on_battery),
    Story("somebody forces it: `FSD`", _forced),
)


def _rows() -> dict[str, str]:
    """The page's first table: what happens, and the bare word in its second cell."""
    table = PAGE.read_text().split("\n|", 1)[1].split("\n\n")[0]
    cells = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: row[1].split(",")[0].strip("* ") for row in cells[2:]}


def _play(story: Story) -> str:
    """``yes``, ``no``, or what went wrong."""
    scene = Scene(story.maxage)
    try:
        story.happens(scene)
        until = time.monotonic() + PATIENCE
        if story.expected == "no":
            until = time.monotonic() + QUIET
        while time.monotonic() < until and not scene.shut_down:
            time.sleep(0.2)
        return "yes" if scene.shut_down else "no"
    finally:
        scene.close()


@pytest.mark.skipif(not alone(), reason="upsmon has one pid file per machine, and this user may not shield it")
def test_upsmon_does_in_each_situation_what_the_page_says() -> None:
    with ThreadPoolExecutor(len(STORIES)) as pool:
        found = dict(zip((story.row for story in STORIES), pool.map(_play, STORIES), strict=True))
    assert found == {story.row: story.expected for story in STORIES}


@pytest.mark.parametrize("story", [story for story in STORIES if story.but or story.never], ids=lambda story: story.row)
def test_the_page_names_the_releases_that_shut_down_all_the_same(story: Story) -> None:
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {story.row} |"))
    assert all(release in row for release in (*story.but, *story.never))


def test_each_row_of_the_page_is_played_or_belongs_to_another_release() -> None:
    played = {story.row for story in STORIES}
    assert {row for row, word in _rows().items() if word in ("yes", "no") and row not in played} == set()
