# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/staged-shutdown.md: one house, two sections, two upsmons; each machine goes down at the mark of its own section."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nutdrv_py.simulators.nut import find_program
from tests.conftest import REPO
from tests.integration.conftest import Watched, alone, wait

PAGE = (REPO / "docs" / "staged-shutdown.md").read_text()

SECONDS = 20.0
"""Seconds in which an upsmon must have acted: a poll of the house, one of the copy, HOSTSYNC 1 s, a busy machine."""

QUIET = 4.0
"""Seconds for which the other upsmon must not act."""


def mark(section: str) -> str:
    """Return the ``lowbatt`` that the page writes into a section."""
    found = re.search(rf"^\[{section}\]\n(?: .*\n)*? +lowbatt *= *(\d+)$", PAGE, re.MULTILINE)
    assert found, section
    return found[1]


class Staged(Watched):
    """The page's two sections, with a file as the house, and the upsmon of the NAS beside that of the server."""

    def __init__(self) -> None:
        house = {"driver": "nutdrv_py", "backend": "dummy", "port": "device.dev", "pollinterval": "1", "lowbatt": mark("home")}
        super().__init__(house, ups="home")
        early = {"driver": "nutdrv_py", "backend": "repeater", "port": self.address, "pollinterval": "1", "lowbatt": mark("early")}
        with (self.folder / "etc" / "ups.conf").open("a") as file:
            file.write("[early]\n" + "".join(f"    {name} = {value}\n" for name, value in early.items()))
        with (self.folder / "etc" / "upsd.users").open("a") as file:
            file.write("[nas]\n    password = nas\n    upsmon secondary\n")
        self.nas_down = self.folder / "NAS-was-shut-down"
        self.nas = self.folder / "nas"
        shutil.copytree(self.folder / "etc", self.nas)
        text = (self.nas / "upsmon.conf").read_text().replace(str(self.shutdown_file), str(self.nas_down))
        text = re.sub(r"MONITOR .*", f"MONITOR early@127.0.0.1:{self.port} 1 nas nas secondary", text)
        (self.nas / "upsmon.conf").write_text(text.replace("/run/killpower", "/run/killpower-nas"))
        self.say("OL", 90)

    def say(self, status: str, charge: int) -> None:
        device = self.folder / "etc" / "device.dev"
        new = device.with_suffix(".new")
        new.write_text(f"ups.status: {status}\nbattery.charge: {charge}\n")
        new.replace(device)

    def both(self) -> tuple[set[str], set[str]]:
        """Return the status of the house and of its copy."""
        early = subprocess.run(
            [find_program("upsc"), f"early@127.0.0.1:{self.port}", "ups.status"], capture_output=True, text=True, check=False
        )  # fmt: skip
        return set(self.status().split()), set(early.stdout.split())

    def watched(self) -> bool:
        """Return whether an upsmon has logged in at the copy."""
        words = [find_program("upsc"), "-c", f"early@127.0.0.1:{self.port}"]
        return "127.0.0.1" in subprocess.run(words, capture_output=True, text=True, check=False).stdout

    def begin(self) -> None:
        self.start()
        self.upsd()
        wait(lambda: self.both() == ({"OL"}, {"OL"}), 30)
        self.upsmon()
        with (self.folder / "log" / "nas").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [*alone(), find_program("upsmon"), "-F", "-p"],
                    # upsmon 2.8.5 looks for another one where the state is.
                    env={**self.environment(), **dict.fromkeys(("NUT_CONFPATH", "NUT_PIDPATH", "NUT_ALTPIDPATH", "NUT_STATEPATH"), str(self.nas))},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )
            )  # fmt: skip
        wait(self.watched, 20, "the NAS watches the copy")

    def stays(self, path: Path) -> bool:
        """Return whether ``path`` is still absent after :data:`QUIET` seconds."""
        time.sleep(QUIET)
        return not path.exists()


@pytest.fixture
def staged() -> Iterator[Staged]:
    stage = Staged()
    try:
        yield stage
    finally:
        stage.close()


pytestmark = pytest.mark.skipif(not alone(), reason="upsmon has one pid file per machine, and this user may not shield it")


def test_the_nas_goes_down_at_its_mark_the_server_at_the_houses_and_the_nas_may_boot_again(staged: Staged) -> None:
    staged.begin()
    staged.say("OB DISCHRG", 61)
    wait(lambda: staged.both() == ({"OB", "DISCHRG"}, {"OB", "DISCHRG"}), 15)
    assert staged.stays(staged.nas_down)
    staged.say("OB DISCHRG", 60)
    wait(staged.nas_down.exists, SECONDS, staged.log("nas"))
    assert staged.stays(staged.shutdown_file)
    assert staged.both() == ({"OB", "DISCHRG"}, {"OB", "DISCHRG", "LB"})
    # No FSD is left behind: a NAS that boots when the grid is back must not shut down again.
    staged.say("OL CHRG", 60)
    wait(lambda: staged.both() == ({"OL", "CHRG"}, {"OL", "CHRG"}), 15)
    staged.say("OB DISCHRG", 20)
    wait(staged.shutdown_file.exists, SECONDS, staged.log("upsmon"))


def test_a_forced_shutdown_of_the_house_takes_the_nas_along(staged: Staged) -> None:
    staged.begin()
    staged.say("OB DISCHRG", 90)
    with socket.create_connection(("127.0.0.1", staged.port), 10) as line:
        for words in ("USERNAME demo", "PASSWORD demo", "PRIMARY home", "FSD home"):
            line.sendall(f"{words}\n".encode())
            assert line.recv(256).startswith(b"OK"), words
    wait(lambda: staged.shutdown_file.exists() and staged.nas_down.exists(), SECONDS, staged.log("nas"))
