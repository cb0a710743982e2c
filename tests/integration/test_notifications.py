# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/notifications.md and after-an-outage.md: their scripts and files, run by the real upsmon and upssched."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nutdrv_py.simulators.nut import find_program
from tests.conftest import REPO
from tests.integration.conftest import Watched, alone, wait

NOTIFICATIONS, OUTAGE = ((REPO / "docs" / name).read_text() for name in ("notifications.md", "after-an-outage.md"))

pytestmark = [
    pytest.mark.skipif(not alone(), reason="upsmon has one pid file per machine, and this user may not shield it"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the script of the page needs curl"),
]


def block(kind: str, page: str = NOTIFICATIONS) -> str:
    """Return a fenced block of the page."""
    found = re.search(rf"^```{re.escape(kind)}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found, kind
    return found[1]


class Telephone:
    """Takes messages as ntfy does: title, priority, text."""

    def __init__(self) -> None:
        told: list[tuple[str, str, str]] = []
        self.told = told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                told.append((self.headers["Title"], self.headers["Priority"], text))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/my-house-4711"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class House(Watched):
    """A house that the test speaks for, with the page's files in its folder."""

    def __init__(self, url: str, page: str = NOTIFICATIONS, kinds: tuple[str, ...] = ("notify", "upssched.conf", "upssched-cmd")) -> None:
        super().__init__({"driver": "nutdrv_py", "backend": "dummy", "port": "device.dev", "pollinterval": "1"}, ups="home")
        self.url = url
        for kind in kinds:
            self.put(kind, block(kind, page))
        upsmon = self.folder / "etc" / "upsmon.conf"
        kept = [line for line in upsmon.read_text().splitlines() if not line.startswith("NOTIFYFLAG")]
        lines = [line for line in block("upsmon.conf", page).splitlines() if line.startswith("NOTIFY")]
        self.put("upsmon.conf", "\n".join([*kept, *lines]) + "\n")
        self.say("OL", 90)

    def use_upssched(self) -> None:
        conf = self.folder / "etc" / "upsmon.conf"
        conf.write_text(re.sub(r"^NOTIFYCMD .*", f"NOTIFYCMD {find_program('upssched')}", conf.read_text(), flags=re.MULTILINE))

    def put(self, name: str, text: str) -> None:
        text = text.replace("/etc/nut/", f"{self.folder}/etc/").replace("/run/nut/", f"{self.folder}/run/")
        text = text.replace("https://ntfy.sh/my-house-4711", self.url).replace("home@localhost", self.address)
        path = self.folder / "etc" / name
        path.write_text(text)
        path.chmod(0o700)

    def say(self, status: str, charge: int) -> None:
        new = self.folder / "etc" / "device.new"
        new.write_text(f"ups.status: {status}\nbattery.charge: {charge}\n")
        new.replace(self.folder / "etc" / "device.dev")

    def begin(self) -> None:
        self.start()
        self.upsd()
        wait(lambda: self.status() == "OL", 30)
        self.upsmon()
        wait(lambda: "UPS: " in self.log("upsmon"), 20)


@pytest.fixture
def telephone() -> Iterator[Telephone]:
    made = Telephone()
    yield made
    made.close()


@pytest.fixture
def house(telephone: Telephone) -> Iterator[House]:
    stage = House(telephone.url)
    try:
        yield stage
    finally:
        stage.close()


def test_each_event_is_a_message_with_its_priority(house: House, telephone: Telephone) -> None:
    house.begin()
    house.say("OB", 40)
    wait(lambda: telephone.told, 20, house.log("upsmon"))
    assert telephone.told == [(f"{house.address}: ONBATT", "high", f"UPS {house.address} on battery")]
    house.say("OB LB", 20)
    wait(lambda: len(telephone.told) >= 3, 20, house.log("upsmon"))
    assert ("SHUTDOWN", "urgent") in {(title.rpartition(" ")[2], priority) for title, priority, _ in telephone.told}


def test_a_short_outage_is_no_message_and_a_longer_one_is_with_the_charge_and_its_end(house: House, telephone: Telephone) -> None:
    house.put("upssched.conf", block("upssched.conf").replace("onbatt 60", "onbatt 4"))
    house.use_upssched()
    house.begin()
    house.say("OB", 41)
    wait(lambda: "on battery" in house.log("upsmon"), 20)
    house.say("OL", 41)
    wait(lambda: "on line power" in house.log("upsmon"), 20)
    house.say("OL", 40)
    wait(lambda: house.variables().get("battery.charge") == "40")
    assert telephone.told == []
    house.say("OB", 39)
    wait(lambda: telephone.told, 25, house.log("upsmon"))
    assert telephone.told[0][2] == "On battery for a minute; charge 39 %"
    house.say("OL", 38)
    wait(lambda: len(telephone.told) == 2, 20, house.log("upsmon"))
    assert telephone.told[1][2] == "The grid is back; charge 38 %"


def test_upssched_wakes_a_machine_when_the_grid_has_been_back_and_not_when_it_goes_again() -> None:
    house = House("", OUTAGE, ("upssched.conf", "upssched-cmd"))
    try:
        house.put("upssched.conf", block("upssched.conf", OUTAGE).replace("wake 300", "wake 4"))
        house.use_upssched()
        woken = house.folder / "woken"
        program = house.folder / "bin" / "wakeonlan"
        program.write_text(f"#!/bin/sh\necho $1 >> {woken}\n")
        program.chmod(0o700)
        house.begin()
        for status, line in (("OB", "on battery"), ("OL", "on line power")):
            house.say(status, 50)
            wait(lambda line=line: line in house.log("upsmon"), 20)
        house.say("OB", 50)
        wait(lambda: house.log("upsmon").count("on battery") == 2, 20)
        time.sleep(4)
        assert not woken.exists()
        house.say("OL", 50)
        wait(woken.exists, 25, house.log("upsmon"))
        assert woken.read_text() == "00:11:22:33:44:55\n"
    finally:
        house.close()
