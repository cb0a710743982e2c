# SPDX-License-Identifier: GPL-2.0-or-later
"""The page in a real browser, from a live server whose source says what the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from nutdrv_py.clock import Clock
from nutdrv_py.core.telemetry import Source, View
from nutdrv_py.device.reading import Status
from nutdrv_py.exporters.config import Page
from nutdrv_py.exporters.page import PageExporter
from nutdrv_py.exporters.wake.rules import Progress
from nutdrv_py.exporters.web import Web
from nutdrv_py.simulators.nut import find_program
from tests.conftest import kinded

HOST = "127.0.0.1"
QUIET = {
    "battery.charge": "87", "battery.charge.low": "20", "battery.runtime": "15000", "ups.load": "12.5", "ups.realpower": "640.0",
    "input.realpower": "-1210.4", "experimental.pv.realpower": "3100.0", "experimental.storage.realpower": "-1250.0",
    "input.transfer.reason": "none since the start", "device.mfr": "RCT Power", "device.model": "Power Storage DC 10",
}  # fmt: skip
OUTAGE = {
    "input.realpower": "0.0", "experimental.pv.realpower": "0.0", "experimental.storage.realpower": "655.0",
    "ups.realpower": "640.0", "input.transfer.reason": "No voltage on the grid side of the Power Switch",
}  # fmt: skip


class Scripted(Source):
    """A source that says what a test wants."""

    def __init__(self, name: str = "home") -> None:
        self.name = name
        self.say("OL CHRG")

    @property
    def ups(self) -> str:
        return self.name

    @property
    def backend(self) -> str:
        return "rct"

    def subscribe(self, listener: Callable[[View], None]) -> None:
        pass

    def say(self, status: str, *, alarms: tuple[str, ...] = (), age: float = 2, **changes: str | None) -> None:
        """What is told from now on; no status: stale. Names of variables with _ for the dots."""
        values = {**QUIET, **(OUTAGE if "OB" in status else {}), **{name.replace("_", "."): value for name, value in changes.items()}}
        variables = {name: value for name, value in values.items() if value is not None} if status else {}
        self.now = (status, alarms, age, {**variables, "driver.name": "nutdrv_py", "driver.parameter.password": "Geheim7"})

    def view(self) -> View:
        status, alarms, age, variables = self.now
        if status:
            variables = {**variables, "ups.status": status}
        wall = time.time()
        return View(self.name, "rct", not status, wall, wall - age, kinded(variables), Status.parse(status)[0], alarms, {})


class Served:
    """The page in an event loop of its own thread, as the driver serves it."""

    def __init__(self, folder: Path, *sources: Source, title: str = "House battery", day: Mapping[str, object] | None = None) -> None:
        self.file = folder / f"nutdrv_py-{sources[0].ups}.history"
        if day is not None:
            saved = {"format": "nutdrv_py history", "version": 1, "saved": int(time.time()), "ups": {s.ups: day for s in sources}}
            self.file.write_text(json.dumps(saved))
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.web = Web()
        self.page = PageExporter(sources, Page(bind_port=0, title=title), self.web, Clock(), folder)
        self.open = True
        self._do(self.page.start())
        self._do(self.web.start())
        self.port = self.web.port(HOST, 0)
        self.url = f"http://{HOST}:{self.port}/"

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def close(self) -> None:
        if self.open:
            self.open = False
            self._do(self.web.stop())
            self._do(self.page.stop())
            self.loop.call_soon_threadsafe(self.loop.stop)

    def get(self, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response, response.read()


class Screen:
    """A browser, and what a person finds on the page."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = find_program("chromium")
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900"):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver: WebDriver = webdriver.Chrome(options=options, service=Service(find_program("chromedriver")))
        self.driver.set_script_timeout(30)

    def cdp(self, command: str, **words: object) -> Any:
        return self.driver.execute_cdp_cmd(command, words)

    def js(self, code: str, *arguments: object) -> Any:
        return self.driver.execute_script(code, *arguments)

    def show(self, served: Served, *, width: int = 1200, scheme: str = "light", motion: str = "no-preference") -> None:
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion}]
        self.cdp("Emulation.setEmulatedMedia", features=features)
        self.log("browser"), self.log("performance")
        self.driver.get(served.url)
        self.until(lambda: self.js("return document.querySelectorAll('.timeline rect, .timeline path').length"), "the history")

    def log(self, kind: str) -> list[dict[str, Any]]:
        return self.driver.get_log(kind)  # type: ignore[attr-defined,no-any-return]

    def part(self, selector: str) -> str:
        return str(self.js("return document.querySelector(arguments[0]).innerText", selector))

    @property
    def sentence(self) -> str:
        return " ".join(self.part(".headline").split())

    @property
    def text(self) -> str:
        return self.part("body")

    def until(self, test: Callable[[], object], what: str = "") -> None:
        deadline = time.monotonic() + 30
        while not test():
            assert time.monotonic() < deadline, f"{what or test}: {self.text}"
            time.sleep(0.05)

    def soon(self, test: Callable[[], object], what: str = "") -> None:
        """As :meth:`until`, but the page is made to ask at once, as when a tablet is taken up."""
        self.js("document.dispatchEvent(new Event('visibilitychange'))")
        self.until(test, what)

    def pass_time(self, seconds: float) -> None:
        """The tablet's clock goes on by so much, as after a sleep."""
        self.js("const real = Date.now; Date.now = () => real() + 1000 * arguments[0]", seconds)


@pytest.fixture(scope="module")
def browser() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.driver.quit()


@pytest.fixture
def screen(browser: Screen) -> Screen:
    return browser


@pytest.fixture
def serve(tmp_path: Path, browser: Screen) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def make(*sources: Source, **more: Any) -> Served:
        made.append(Served(tmp_path, *sources, **more))
        return made[-1]

    yield make
    browser.driver.get("about:blank")
    for served in made:
        served.close()


def _yesterday() -> dict[str, object]:
    """A day with an outage of an hour, and one of three minutes that ended with silence."""
    states = "-" * 100 + "g" * 400 + "b" * 60 + "g" * 300 + "bbb" + "-" * 17 + "l" * 10 + "g" * 550
    kept = [None if letter == "-" else index % 97 for index, letter in enumerate(states)]
    return {"from": int(time.time()) // 60 * 60 - 1439 * 60, "step": 60, "states": states, **dict.fromkeys(("charge", "load", "grid", "pv"), kept)}


# What is told


def test_an_outage_and_a_low_battery_are_told_in_words_without_a_reload(screen: Screen, serve: Callable[..., Served]) -> None:
    home = Scripted()
    screen.show(serve(home))
    screen.js("window.same = true")
    assert screen.sentence == "On the grid"
    for words in ("charging", "data 2 s old", "87 %", "3.10 kW", "1.21 kW", "feeding in", "1.25 kW", "640 W", "4 h 10 min", "12.5 %"):
        assert words in screen.text, words
    home.say("OB DISCHRG")
    screen.until(lambda: screen.sentence == "On battery: 4 h 10 min left")
    assert "cut off" in screen.text
    assert "No voltage on the grid side of the Power Switch" in screen.text
    home.say("OB LB DISCHRG", alarms=("Battery error",), battery_charge="14", battery_runtime="500")
    screen.until(lambda: screen.sentence == "LOW BATTERY: 8 min left")
    assert "Alarm: Battery error" in screen.text
    assert screen.js("return document.title") == "LOW BATTERY: 8 min left – House battery"
    assert screen.js("return window.same")


def _left(screen: Screen) -> list[str]:
    """The values that are still in the document, seen or not, save those of the past."""
    code = "const copy = document.querySelector('.ups').cloneNode(true); copy.querySelector('[data-part=past]').remove(); return copy.outerHTML"
    values = ("87", "3.10 kW", "1.21 kW", "640 W", "4 h 10 min", "RCT Power", "3100.0", "none since", "realpower")
    html = screen.js(code)
    return [value for value in values if f">{value}" in html or f'"{value}' in html or (len(value) > 2 and value in html)]


def test_stale_data_take_every_value_away_and_the_sentence_says_since_when(screen: Screen, serve: Callable[..., Served]) -> None:
    home = Scripted()
    screen.show(serve(home))
    screen.driver.find_element(By.TAG_NAME, "summary").click()
    screen.until(lambda: "experimental.pv.realpower" in screen.text)
    assert len(_left(screen)) == 9
    assert "Geheim7" not in screen.js("return document.documentElement.outerHTML")
    home.say("", age=1800)
    since = time.strftime("%H:%M", time.localtime(time.time() - 1800))
    screen.soon(lambda: screen.sentence.startswith("No data since "))
    assert screen.sentence.endswith(since) or abs(time.time() % 60) < 10
    assert "the last data are 30 min old" in screen.text
    assert _left(screen) == []
    home.say("OL")
    screen.soon(lambda: screen.sentence == "On the grid")
    assert "87 %" in screen.text


def test_a_driver_that_is_gone_is_told_and_then_nothing_is_shown_as_current(screen: Screen, serve: Callable[..., Served]) -> None:
    served = serve(Scripted())
    screen.show(served)
    served.close()
    screen.pass_time(7)
    screen.until(lambda: "the driver has not answered for " in screen.text)
    assert "data 2 s old" not in screen.text
    assert screen.js("return document.querySelector('.ups').hasAttribute('data-late')")
    screen.pass_time(20)
    screen.until(lambda: screen.sentence.startswith("No answer from the driver since "))
    assert _left(screen) == []
    assert screen.js("return [...document.querySelectorAll('[data-now]')].every(node => node.hidden)")
    assert screen.js("return document.getElementById('said').textContent") == "home: the driver does not answer"


def test_errors_are_taken_for_silence_and_the_page_recovers_by_itself(screen: Screen, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    home = Scripted()
    screen.show(serve(home))

    def broken() -> View:
        raise OSError

    home.view = broken  # type: ignore[method-assign]
    screen.pass_time(7)
    screen.until(lambda: "the driver has not answered for " in screen.text)
    del home.view
    screen.until(lambda: "data 2 s old" in screen.text)
    assert screen.sentence == "On the grid"


def test_what_a_sleeping_tablet_knew_is_not_shown_as_current_when_it_wakes(screen: Screen, serve: Callable[..., Served]) -> None:
    served = serve(Scripted())
    screen.show(served)
    screen.js("window.fetch = () => new Promise(() => {})")
    screen.pass_time(3600)
    screen.js("document.dispatchEvent(new Event('visibilitychange'))")
    assert screen.sentence.startswith("No answer from the driver since ")


def test_a_page_that_is_not_looked_at_does_not_ask(screen: Screen, serve: Callable[..., Served]) -> None:
    served = serve(Scripted())
    screen.show(served)
    hide = "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true}); document.dispatchEvent(new Event('visibilitychange'))"
    screen.js("window.asked = 0; const real = window.fetch; window.fetch = (...words) => { window.asked++; return real(...words); }")
    screen.until(lambda: screen.js("return window.asked"), "it asks")
    screen.js(hide, True)
    time.sleep(0.5)
    before = screen.js("return window.asked")
    time.sleep(3)
    assert screen.js("return window.asked") == before
    screen.js(hide, False)
    screen.until(lambda: screen.js("return window.asked") > before)


def test_what_a_device_does_not_measure_is_absent(screen: Screen, serve: Callable[..., Served]) -> None:
    home = Scripted()
    home.say("OL", **{name.replace(".", "_"): None for name in QUIET if "power" in name or name in ("battery.charge", "battery.runtime")})  # type: ignore[arg-type]
    screen.show(serve(home))
    assert "Power now" not in screen.text.title().replace("POWER NOW", "")
    assert not screen.js("return document.querySelector('[data-now=flow]').checkVisibility()")
    assert not screen.js("return document.querySelector('[role=meter]').checkVisibility()")
    home.say("OL", experimental_pv_realpower=None)
    screen.soon(lambda: screen.js("return document.querySelector('[data-now=flow]').checkVisibility()"))
    assert "Sun" not in screen.js("return document.querySelector('.flow').getAttribute('aria-label')")
    assert screen.js("return document.querySelector('[data-node=pv]').getAttribute('visibility')") == "hidden"


def test_an_idle_battery_rests_whatever_its_inverters_draw(screen: Screen, serve: Callable[..., Served]) -> None:
    home = Scripted()
    home.say("OL", experimental_storage_realpower="36.0", battery_charger_status="resting", input_realpower="9.0")
    screen.show(serve(home))
    label = screen.js("return document.querySelector('.flow').getAttribute('aria-label')")
    assert "battery resting" in label
    assert "grid resting" in label
    assert screen.js("return document.querySelector('[data-node=battery] .watts').textContent") == "36 W"


def test_machines_that_wait_to_be_waked_are_listed_while_they_wait(screen: Screen, serve: Callable[..., Served]) -> None:
    served = serve(Scripted())
    waiting = [Progress("nas", True, 2, "is being woken"), Progress("rack", False, 0, "nothing to do")]
    served.page._wake = SimpleNamespace(progress=waiting)  # type: ignore[assignment]
    screen.show(served)
    assert screen.js("return document.querySelector('#wake').innerText").splitlines()[1:] == ["nas is being woken, 2 packets sent"]
    served.page._wake = None
    screen.soon(lambda: screen.js("return document.querySelector('#wake').hidden"))


def test_a_system_that_cannot_report_an_outage_says_so(screen: Screen, serve: Callable[..., Served]) -> None:
    home = Scripted()
    home.say("OL", experimental_outage_detection="impossible: no Power Switch")
    screen.show(serve(home))
    assert "This system cannot report an outage" in screen.text


def test_several_devices_stand_together_and_the_worst_names_the_page(screen: Screen, serve: Callable[..., Served]) -> None:
    home, garage = Scripted("home"), Scripted("garage")
    garage.say("OB LB")
    screen.show(serve(home, garage))
    links = {link.text: link.get_attribute("href") for link in screen.driver.find_elements(By.CSS_SELECTOR, "nav a")}
    assert list(links) == ["home: On the grid", "garage: LOW BATTERY"]
    assert screen.js("return document.title").startswith("LOW BATTERY")
    for address in links.values():
        assert screen.js("return document.querySelector(new URL(arguments[0]).hash) !== null", address)


def test_the_last_day_is_told_in_words_and_gaps_are_no_lines(screen: Screen, serve: Callable[..., Served]) -> None:
    screen.show(serve(Scripted(), day=_yesterday()))
    events = screen.part(".events").splitlines()
    assert [line.split(": ")[1] for line in events] == ["low battery (10 min)", "no data (17 min)", "on battery (3 min)", "on battery (1 h)"]
    paths = screen.js("return [...document.querySelectorAll('.sparks path:last-child')].map(path => path.getAttribute('d'))")
    assert len(paths) == 4
    assert all(path.count("M") == 2 for path in paths), "two runs with the gap between them"
    # Minutes are those of the monotonic clock, so the last one may be one off by the clock on the wall.
    assert all(abs(path.count("M") + path.count("L") - (1440 - 117)) <= 1 for path in paths), "a point for each minute with data"
    assert "now" not in screen.part("[data-part=past]"), "what was is never told as what is"
    kinds = screen.js("return [...document.querySelectorAll('.timeline > *')].map(block => block.getAttribute('class'))")
    assert kinds == ["none", "grid", "battery", "grid", "battery", "none", "low", "grid"]


# Text of strangers

EVIL = "<img src=x onerror=window.pwned=1>"


def test_html_that_a_device_tells_is_shown_as_text(screen: Screen, serve: Callable[..., Served]) -> None:
    home = Scripted(f"home{EVIL}")
    home.say("OL", alarms=(EVIL,), device_model=EVIL, input_transfer_reason=EVIL, ups_id=f"</td>{EVIL}<script>window.pwned=1</script>")
    screen.show(serve(home, title=EVIL))
    screen.driver.find_element(By.TAG_NAME, "summary").click()
    screen.until(lambda: "<script>" in screen.text)
    assert screen.text.count(EVIL) >= 6
    assert screen.js("return window.pwned === undefined && !document.querySelector('img') && document.scripts.length === 1")


# Everybody


def test_the_page_asks_only_its_own_server_and_the_console_is_empty(screen: Screen, serve: Callable[..., Served]) -> None:
    served = serve(Scripted(), day=_yesterday())
    screen.show(served)
    screen.until(lambda: screen.js("return performance.getEntriesByName(location.href + 'status.json').length") > 1)
    assert screen.log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in screen.log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    asked = {url for url in asked if not url.startswith("data:image/svg+xml,")}
    assert asked == {served.url, served.url + "status.json", served.url + "history.json"}


def test_the_policy_stops_a_script_that_got_in(screen: Screen, serve: Callable[..., Served]) -> None:
    screen.show(serve(Scripted()))
    screen.js("const made = document.createElement('style'); made.textContent = 'body{display:none}'; document.body.append(made)")
    assert screen.js("return getComputedStyle(document.body).display") == "block"
    assert screen.js("try { document.body.innerHTML = '<b>x</b>'; return false } catch { return true }")
    assert screen.driver.execute_async_script("fetch('http://127.0.0.1:9/').then(() => arguments[0](0), () => arguments[0](1))") == 1
    told = " ".join(entry["message"] for entry in screen.log("browser"))
    assert all(word in told for word in ("style-src", "connect-src", "TrustedHTML"))


@pytest.mark.parametrize("stale", [False, True])
def test_a_telephone_needs_no_sideways_scrolling(screen: Screen, serve: Callable[..., Served], stale: bool) -> None:
    home = Scripted("a" * 60)
    home.say("OB LB DISCHRG", alarms=("W" * 120,), device_model="M" * 100, ups_id="x" * 255, **{f"experimental_{'long' * 20}": "1"})  # type: ignore[arg-type]
    screen.show(serve(home, Scripted("other"), title="T" * 80, day=_yesterday()), width=360)
    screen.driver.find_element(By.TAG_NAME, "summary").click()
    screen.until(lambda: "x" * 255 in screen.text)
    if stale:
        home.say("")
        screen.soon(lambda: screen.sentence.startswith("No data"))
    wide = "return [...document.querySelectorAll('body *')].filter(node => node.getBoundingClientRect().right > 361 && !node.closest('.skip, .unseen, .store')).map(node => node.outerHTML.slice(0, 90))"
    assert screen.js(wide) == []
    assert screen.js("return document.documentElement.scrollWidth") <= 360


CONTRAST = """
const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * x + .7152 * y + .0722 * z; };
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !node.checkVisibility({visibilityProperty: true}) || node.closest('script, style, noscript, .unseen, .skip')) continue;
  const own = getComputedStyle(node), ink = parse(node.closest('svg') ? own.fill : own.color);
  let back = null;
  for (let at = node; at && !back; at = at.parentElement) {
    const style = getComputedStyle(at), color = parse(style.backgroundColor);
    if (style.opacity !== '1') found.push(['opacity', at.className]);
    if (color.length === 3 || color[3] === 1) back = color;
    else if (color[3] !== 0) found.push(['see-through', at.className]);
  }
  const [a, b] = [light(ink), light(back)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
  found.push([ratio, node.className.baseVal ?? node.className, node.textContent.slice(0, 30)]);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(screen: Screen, serve: Callable[..., Served], scheme: str) -> None:
    home = Scripted()
    served = serve(home, Scripted("other"), day=_yesterday())
    screen.show(served, scheme=scheme)
    papers = set()
    for status in ("OL CHRG", "OB DISCHRG", "OB LB DISCHRG", "OFF", "", "late"):
        if status == "late":
            served.close()
            screen.pass_time(7)
            screen.until(lambda: "the driver has not answered" in screen.text)
        else:
            home.say(status, alarms=("Battery error",) if status else ())
            screen.driver.refresh()
            screen.until(lambda: screen.js("return document.querySelectorAll('.events li').length"))
            screen.js("document.querySelectorAll('details').forEach(node => node.open = true)")
            screen.until(lambda: screen.js("return document.querySelectorAll('td').length"))
        found = screen.js(CONTRAST)
        assert len(found) > 30
        assert [row for row in found if not isinstance(row[0], int | float) or row[0] < 4.5] == [], status
        papers.add(screen.js("return getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 1
    assert (sum(map(int, papers.pop()[4:-1].split(","))) < 100) is (scheme == "dark")


def test_the_keyboard_reaches_each_control_and_shows_where_it_is(screen: Screen, serve: Callable[..., Served]) -> None:
    screen.show(serve(Scripted("home"), Scripted("garage")))
    controls = screen.js("return [...document.querySelectorAll('a[href], button, summary')].filter(node => node.checkVisibility()).length")
    assert controls == 8
    body = webdriver.ActionChains(screen.driver)
    reached = []
    for _ in range(controls):
        body.send_keys(Keys.TAB).perform()
        name, outline, left = screen.js(
            "const node = document.activeElement; return [node.textContent.trim(), getComputedStyle(node).outlineStyle, node.getBoundingClientRect().left]"
        )
        assert outline == "solid", name
        assert left >= 0, f"{name} is seen when it is reached"
        reached.append(name)
    assert [name.partition(" (")[0] for name in reached] == [
        "Skip to the status", "home: On the grid", "garage: On the grid", "All variables", "All variables", "Stop the motion", "status.json", "history.json",
    ]  # fmt: skip
    screen.js("document.querySelector('summary').focus()")
    body.send_keys(Keys.ENTER).perform()
    screen.until(lambda: "battery.runtime" in screen.text)


def _moving(screen: Screen) -> int:
    return int(screen.js("return document.getAnimations().filter(move => move.playState === 'running' && move.animationName === 'flow').length"))


def test_motion_follows_the_power_and_stops_for_who_wants_less(screen: Screen, serve: Callable[..., Served]) -> None:
    home = Scripted()
    served = serve(home)
    screen.show(served)
    assert _moving(screen) == 4

    def motion(edge: str) -> tuple[bool, float]:
        away, seconds = screen.js(
            "const edge = document.querySelector(`[data-edge=${arguments[0]}]`), style = getComputedStyle(edge.querySelector('.dots'));"
            "return [style.animationDirection === 'reverse', parseFloat(style.animationDuration)]", edge,
        )  # fmt: skip
        return away, seconds

    away, slow = motion("grid")
    assert away, "feeding in: from the middle to the grid"
    home.say("OL", input_realpower="7000.0", experimental_pv_realpower="0.0")
    screen.soon(lambda: not motion("grid")[0])
    assert motion("grid")[1] < slow, "more power is quicker"
    assert _moving(screen) == 3, "what does not flow does not move"
    screen.driver.find_element(By.ID, "motion").send_keys(Keys.SPACE)
    assert _moving(screen) == 0
    screen.show(served, motion="reduce")
    assert screen.sentence == "On the grid"
    assert screen.js("return document.getAnimations().length") == 0
    assert screen.js("return document.querySelector('.arrow').checkVisibility()"), "the arrows still tell the direction"


NAMED = ("button", "link", "image", "meter", "heading", "region", "navigation", "table", "list item")


def test_a_screen_reader_finds_names_landmarks_and_the_whole_picture_in_words(screen: Screen, serve: Callable[..., Served]) -> None:
    screen.show(serve(Scripted("home"), Scripted("garage"), day=_yesterday()))
    screen.cdp("Accessibility.enable")
    nodes = [node for node in screen.cdp("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    tree = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
    assert [role for role, name in tree if role in NAMED and not name and role != "list item"] == []
    roles = {role for role, _ in tree}
    assert {"banner", "main", "contentinfo", "navigation", "region", "meter", "status"} <= roles
    images = [name for role, name in tree if role == "image"]
    assert "Power flow: grid feeding in 1.21 kW, sun producing 3.10 kW, battery charging 1.25 kW, house using 640 W" in images
    assert any(name.startswith("Last 24 hours: ") and "low battery (10 min)" in name for name in images)
    assert any(name.startswith("Charge, last 24 hours: ") for name in images)
    meters = [node for node in nodes if node["role"]["value"] == "meter"]
    assert {node["name"]["value"] for node in meters} == {"Charge of the battery"}
    assert screen.js("return document.querySelector('[role=meter]').getAttribute('aria-valuetext')") == "87 %, low at 20 %"
    levels = screen.js("return [...document.querySelectorAll('h1, h2, h3')].filter(node => node.checkVisibility()).map(node => +node.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "no level is left out"
    assert screen.js("return document.documentElement.lang") == "en"


def test_a_new_status_is_announced_and_a_new_number_is_not(screen: Screen, serve: Callable[..., Served]) -> None:
    home = Scripted()
    screen.show(serve(home))
    screen.js(
        "window.said = []; new MutationObserver(() => window.said.push(document.getElementById('said').textContent)).observe(document.getElementById('said'), {childList: true})"
    )
    home.say("OL", battery_charge="86", battery_runtime="14000")
    screen.soon(lambda: "86 %" in screen.text)
    assert screen.js("return window.said") == []
    home.say("OB DISCHRG")
    screen.soon(lambda: "On battery" in screen.sentence)
    home.say("OB DISCHRG", battery_runtime="13000")
    screen.soon(lambda: screen.sentence == "On battery: 3 h 36 min left")
    assert screen.js("return window.said") == ["home: On battery"]
    live = screen.js("return [...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map(node => node.id)")
    assert live == ["said"]


def test_without_colours_each_state_has_its_own_words_and_shape(screen: Screen, serve: Callable[..., Served]) -> None:
    home = Scripted()
    served = serve(home)
    seen = set()
    for status in ("OL", "OB", "OB LB", "OFF", ""):
        home.say(status)
        screen.show(served)
        icon = screen.js("return document.querySelector('.hero use').getAttribute('href')")
        seen.add((screen.sentence.split(":")[0], icon))
    assert len(seen) == len({words for words, _ in seen}) == len({icon for _, icon in seen}) == 5


def test_the_server_says_no_to_another_name_and_head_is_answered(serve: Callable[..., Served]) -> None:
    served = serve(Scripted())
    assert served.get("/", Host="evil.example")[0].status == 421
    response, body = served.get("/status.json")
    assert (response.status, response.getheader("Content-Type"), response.getheader("Cache-Control")) == (200, "application/json", "no-store")
    assert b"Geheim7" not in body


def test_a_page_of_an_older_driver_loads_itself_anew_once(screen: Screen, serve: Callable[..., Served]) -> None:
    served = serve(Scripted())
    screen.show(served)
    screen.js("window.old = true")
    served.page._document.version = "another"
    screen.soon(lambda: not screen.js("return window.old"), "it reloads")
    screen.until(lambda: "On the grid" in screen.text)
    screen.js("window.old = true")
    screen.until(lambda: screen.js("return performance.getEntriesByName(location.href + 'status.json').length") > 1)
    assert screen.js("return window.old"), "and not again and again when the text stays as it is"
