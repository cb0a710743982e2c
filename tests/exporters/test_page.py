# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page's server says, to whom, and what never: no browser is needed for this."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.commands.screen import Facts, Style, lines
from nutdrv_py.core.telemetry import Source, View
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.device.storage import Charger, charger_status
from nutdrv_py.errors import DeviceError
from nutdrv_py.exporters.config import Page
from nutdrv_py.exporters.page import PageExporter
from nutdrv_py.exporters.page.document import SCRIPTS, Document
from nutdrv_py.exporters.page.status import NUMBERS, POWERS, TEXTS, status
from nutdrv_py.exporters.web import Answer, Route, Web, loopback
from tests.backends.enphase.conftest import house as enphase_house
from tests.backends.rct.conftest import home as rct_home
from tests.conftest import REPO, FakeClock, kinded
from tests.core.test_driver import World

PART = REPO / "nutdrv_py" / "exporters" / "page"


class Routes(Web):
    """Keeps the routes instead of serving them."""

    def __init__(self) -> None:
        super().__init__()
        self.routes: dict[str, Route] = {}

    def add(self, address: str, port: int, path: str, route: Route) -> None:
        super().add(address, port, path, route)
        self.routes[path] = self._routes[address, port][path]

    def get(self, path: str, host: str = "localhost:9831") -> Answer:
        return self.routes[path]({"host": host} if host else {})

    def json(self, path: str) -> dict[str, object]:
        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is no JSON")

        found: dict[str, object] = json.loads(self.get(path).body, parse_constant=refuse)
        return found


class Shown:
    """The page of a driver whose device the test speaks for."""

    def __init__(self, world: World, folder: Path, **options: object) -> None:
        self.web = Routes()
        self.world = world
        self.page = PageExporter([Source(world.driver)], Page(**options), self.web, world.clock, folder)  # type: ignore[arg-type]

    @property
    def ups(self) -> dict[str, object]:
        found: dict[str, object] = self.web.json("/status.json")["ups"][0]  # type: ignore[index]
        return found


@pytest.fixture
def routes(clock: FakeClock, tmp_path: Path) -> Iterator[Routes]:
    async def make() -> Routes:
        return Shown(World(clock), tmp_path).web

    yield asyncio.run(make())


# The JSON

FULL: Mapping[str, object] = {
    "battery.charge": 87, "battery.charge.low": 20, "battery.runtime": 15000, "ups.load": 12.5, "ups.realpower": 640.0,
    "input.realpower": -1210.4, "experimental.pv.realpower": 3100.0, "experimental.storage.realpower": -1250.0,
    "input.transfer.reason": "none", "experimental.outage.detection": "possible",
}  # fmt: skip


async def test_the_json_says_what_the_device_says_with_its_age(clock: FakeClock, tmp_path: Path) -> None:
    async with World(clock) as world:
        world.device.answer = Reading(FULL, Status.OB | Status.LB, ("Battery error",))  # type: ignore[arg-type]
        shown = Shown(world, tmp_path)
        await clock.advance(7)
        found = shown.ups
        assert found["variables"]["battery.charge"] == "87"  # type: ignore[index]
        del found["variables"]
        assert found == {
            "name": "u", "backend": "device", "state": "low", "stale": False, "at": round(clock.wall() - 2, 1), "age": 2.0,
            "status": ["OB", "LB"], "alarms": ["Battery error"], "charge": 87, "charge_low": 20, "runtime": 15000, "load": 12.5,
            "power": {"grid": -1210.4, "pv": 3100.0, "battery": -1250.0, "house": 640.0},
            "flow": {"grid": -1, "pv": 1, "battery": -1, "house": 1},
            "reason": "none", "outage_detection": "possible",
        }  # fmt: skip


@pytest.mark.parametrize("watts", [0, 5, 36, 60, 200, 3000])
async def test_page_and_screen_say_of_the_battery_what_the_status_says(clock: FakeClock, tmp_path: Path, watts: int) -> None:
    """An idle battery of several packs shows 36 W and more: the status has the dead band, nothing else has one of its own."""
    async with World(clock) as world:
        shown = Shown(world, tmp_path)
        for sign in (1, -1):
            direction = Charger().update(sign * watts, packs=2)
            values = {"experimental.storage.realpower": float(sign * watts), "battery.charger.status": charger_status(direction, 50)}
            world.device.answer = Reading(values, Status.OL | direction)  # type: ignore[arg-type]
            await clock.advance(5)
            found = shown.ups["flow"]["battery"]  # type: ignore[index]
            assert found == (1 if Status.DISCHRG in direction else -1 if Status.CHRG in direction else 0)
            texts = {"ups.status": str(Status.OL | direction), **{name: str(value) for name, value in values.items()}}
            screen = next(line for line in lines(Facts("u", False, texts, 0, 0), Style()) if line.startswith("Battery"))
            assert screen.split()[1] == {1: "-->", -1: "<--", 0: "---"}[found]


async def test_stale_data_leave_nothing_of_the_device_but_the_time_of_the_last(clock: FakeClock, tmp_path: Path) -> None:
    async with World(clock, maxage=20) as world:
        world.device.answer = Reading(FULL, Status.OL, ("x",))  # type: ignore[arg-type]
        shown = Shown(world, tmp_path)
        await clock.advance(5)
        good = clock.wall()
        world.device.answer = DeviceError("away")
        await clock.advance(60)
        found = shown.ups
        assert all(name.startswith("driver.") for name in found.pop("variables"))  # type: ignore[attr-defined]
        assert found == {
            "name": "u", "backend": "device", "state": "none", "stale": True, "at": good, "age": 60.0, "status": [], "alarms": [],
        }  # fmt: skip


async def test_before_the_first_answer_of_the_device_the_json_says_so(clock: FakeClock, tmp_path: Path) -> None:
    found = Shown(World(clock), tmp_path).ups
    assert (found["state"], found["stale"], found["at"], found["age"]) == ("none", True, None, None)


@pytest.mark.parametrize("kind", ["rct", "enphase"])
async def test_both_kinds_of_house_batteries_fill_every_field(tmp_path: Path, kind: str) -> None:
    found: dict[str, str] = {}
    if kind == "rct":
        async with rct_home() as rct:
            found.update(rct.shown(await rct.polls(8)))
    else:
        async with enphase_house(tmp_path) as enphase:
            found.update(enphase.shown(await enphase.polls(8)))
    shown = status(View("u", kind, False, 0, 0, kinded(found), Status.OL, (), {}))
    assert set(shown["power"]) == {field for field, _ in POWERS}  # type: ignore[call-overload]
    assert {field for field, _ in NUMBERS + TEXTS} <= shown.keys()
    power: dict[str, float] = shown["power"]  # type: ignore[assignment]
    # An inverter takes a part for itself, so the signs are what is looked at, not the last watt.
    assert power["grid"] + power["pv"] + power["battery"] == pytest.approx(power["house"], abs=400)


names = st.sampled_from([name for _, name in (*NUMBERS, *POWERS, *TEXTS)] + ["driver.parameter.password", "driver.parameter.token", "x"])


@given(st.dictionaries(names, st.text(max_size=8) | st.floats().map(str) | st.just("Geheim7")), st.booleans())
def test_whatever_a_device_says_the_json_is_json_and_holds_no_option(variables: dict[str, str], stale: bool) -> None:
    shown = status(View("u", "rct", stale, 5.0, 1.0, kinded(variables), Status.OL, (), {}))
    text = json.dumps(shown, allow_nan=False)
    assert "driver.parameter" not in text
    for field, _ in NUMBERS:
        assert isinstance(shown.get(field, 0.0), float)
        assert not stale or field not in shown


async def test_a_change_is_in_the_history_at_once_and_a_minute_that_has_just_begun_is_no_gap(clock: FakeClock, tmp_path: Path) -> None:
    async with World(clock) as world:
        shown = Shown(world, tmp_path)
        await shown.page.start()
        world.device.answer = Reading({"battery.charge": 50}, Status.OB)
        await clock.advance(5)
        world.device.answer = Reading({"battery.charge": 49}, Status.OL)
        await clock.advance(5)
        day = shown.web.json("/history.json")["ups"][0]  # type: ignore[index]
        assert (day["name"], day["step"], len(day["states"]), day["states"][-2:]) == ("u", 60, 1440, "-b")
        assert all(len(day[column]) == 1440 for column in ("charge", "load", "grid", "pv"))
        clock.now = (clock.now // 60 + 1) * 60 + 0.5
        assert shown.web.json("/history.json")["ups"][0]["states"][-3:] == "-bg"  # type: ignore[index]
        await shown.page.stop()


@pytest.mark.parametrize(("option", "name"), [("", "nutdrv_py-u.history"), ("day.json", "day.json")])
async def test_the_history_is_kept_in_the_folder_under_the_name_of_the_ups_or_where_the_key_says(
    clock: FakeClock, tmp_path: Path, option: str, name: str
) -> None:
    async with World(clock) as world:
        shown = Shown(world, tmp_path, history=option)
        await shown.page.start()
        while not shown.page._file._readable:
            await asyncio.sleep(0.005)
        await shown.page.stop()
        assert [path.name for path in tmp_path.iterdir()] == [name]


# To whom

HERE = ["localhost", "LOCALHOST:9831", "localhost.", "ups.localhost", "127.0.0.1", "127.0.0.1:80", "127.8.9.1", "[::1]", "[::1]:9831"]
ELSEWHERE = [
    "", "evil.example", "evil.example:9831", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.7", "[fe80::1]:9831",
    "0.0.0.0", "[::]", "127.0.0.1@evil.example", "evil.example:[::1]", ":", "[", "localhostx", "localhost:80:x",
]  # fmt: skip


@pytest.mark.parametrize(("host", "answered"), [*((host, True) for host in HERE), *((host, False) for host in ELSEWHERE)])
def test_on_the_loopback_address_only_its_own_names_are_answered(routes: Routes, host: str, answered: bool) -> None:
    """A site whose name was made to lead to 127.0.0.1 (DNS rebinding) sends its own name."""
    for path in routes.routes:
        answer = routes.get(path, host)
        assert answer.status == (200 if answered else 421)
        if not answered:
            assert b"docs/page.md" in answer.body


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.7", "::"])
async def test_on_an_address_of_the_network_any_name_is_answered(clock: FakeClock, tmp_path: Path, address: str) -> None:
    web = Shown(World(clock), tmp_path, bind_address=address).web
    assert web.get("/status.json", "ups.home.example").status == 200


@given(st.text(max_size=20))
def test_any_host_is_judged_without_an_error(text: str) -> None:
    assert loopback(text) in (True, False)


def test_every_answer_forbids_frames_foreign_use_and_guessing(routes: Routes) -> None:
    for path in routes.routes:
        for host in ("localhost", "evil.example"):
            headers = routes.get(path, host).headers
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


# The document


def test_the_policy_allows_the_inline_style_and_script_by_their_hashes_and_nothing_else(routes: Routes) -> None:
    answer = routes.get("/")
    text = answer.body.decode()
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inline) == 1
        assert policy[kind] == f"'sha256-{base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()}'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<[^>]+\s(style|on\w+)=", text), "neither would run"


def test_the_document_is_small_whole_and_asks_nobody_else(routes: Routes) -> None:
    text = routes.get("/").body.decode()
    assert len(text.encode()) < 60_000
    assert text.startswith("<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n<!doctype html>")
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) == {"http://www.w3.org/2000/svg"}
    assert '<link rel="icon" href="data:' in text, "or the browser would ask for one"
    assert not re.search(r"@import|url\(|<link(?! rel=\"icon\" href=\"data:)|<(img|iframe|object)", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    assert not re.search(r"\{(style|script|version|title)\}", text)


@pytest.mark.parametrize("title", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "Haus & Hof {script}"])
def test_the_title_is_text(title: str) -> None:
    plain, text = (Document(name).body.decode() for name in ("x", title))
    assert title not in text or "<" not in title
    assert (text.count("<script"), text.count("<img")) == (plain.count("<script"), plain.count("<img"))


def test_a_page_knows_when_it_has_been_replaced_by_another(routes: Routes) -> None:
    version = routes.json("/status.json")["page"]
    assert f'data-version="{version}"' in routes.get("/").body.decode()


@pytest.mark.parametrize("name", ["page.html", "page.css", *SCRIPTS])
def test_each_part_of_the_page_names_its_licence(name: str) -> None:
    assert "SPDX-License-Identifier: GPL-2.0-or-later" in (PART / name).read_text().splitlines()[0]


# What is written for people


def test_the_documentation_names_every_key_and_every_field() -> None:
    text = (REPO / "docs" / "page.md").read_text()
    fields = {field for field, _ in (*NUMBERS, *POWERS, *TEXTS)}
    fields |= {"name", "backend", "state", "stale", "at", "age", "status", "alarms", "variables", "power", "version", "title", "page", "now"}
    for name in (*fields, *Page.__dataclass_fields__, "from", "step", "states"):
        assert f"`{name}`" in text, name
