# SPDX-License-Identifier: GPL-2.0-or-later
"""A described device at work: what upsd may be told, and what it must never be told."""

from __future__ import annotations

import asyncio
import json
import os
import re

import pytest

from nutdrv_py.backends.mapping import Mapping
from nutdrv_py.backends.mapping.description import shipped
from nutdrv_py.backends.mapping.sources import Source
from nutdrv_py.cli import main
from nutdrv_py.device.backend import load
from nutdrv_py.device.findings import Level
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import ConfigError, DeviceError
from tests.backends.mapping.conftest import GOOD, House
from tests.conftest import REPO

OL, OB = Status.OL, Status.OB
MORE = (
    GOOD
    + """\
  ups.realpower: {path: load}
battery: {power: {path: power}, capacity: 10000, cutoff: 10}
"""
)


def _say(home: House, age: float = 0.0, **values: object) -> None:
    path = home.folder / "state.json"
    path.write_text(json.dumps({"grid": "up", "soc": 80, "load": 1000, "power": 0, **values}))
    os.utime(path, (home.clock.wall() - age,) * 2)


async def _poll(home: House, backend: Mapping, seconds: float = 5.0, **values: object) -> Reading:
    home.clock.now += seconds
    _say(home, **values)  # type: ignore[arg-type]
    return await backend.poll()


async def test_ol_and_ob_are_what_the_device_says_of_the_grid(home: House) -> None:
    home.describe(MORE)
    backend = home.backend()
    reading = await _poll(home, backend)
    assert (reading.status, reading.values["experimental.outage.detection"]) == (OL, "unknown")
    # A battery that carries the house while the grid is there is no outage.
    reading = await _poll(home, backend, power=4000, soc=70)
    assert reading.status == OL | Status.DISCHRG
    assert (await _poll(home, backend, power=4000, grid="down", soc=70)).status == OB | Status.DISCHRG
    reading = await _poll(home, backend, power=-500, grid="up", soc=70)
    assert (reading.status, reading.values["experimental.outage.detection"]) == (OL | Status.CHRG, "possible")


@pytest.mark.parametrize("grid", ["", None, "unknown", 1, {"up": 1}])
async def test_no_statement_is_no_reading_never_ol_and_never_ob(grid: object, home: House) -> None:
    backend = home.backend()
    _say(home, grid=grid)
    with pytest.raises(DeviceError):
        await backend.poll()
    for before in ("up", "down"):
        await _poll(home, backend, grid=before)
        with pytest.raises(DeviceError):
            await _poll(home, backend, grid=grid)


async def test_an_outage_that_is_said_once_is_looked_at_again_before_it_counts(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = home.backend()
    await _poll(home, backend, soc=5)
    sleep = home.clock.sleep

    async def gone_again(seconds: float) -> None:
        await sleep(seconds)
        _say(home, grid="up", soc=5)

    monkeypatch.setattr(home.clock, "sleep", gone_again)
    assert (await _poll(home, backend, grid="down", soc=5)).status == OL
    monkeypatch.setattr(home.clock, "sleep", sleep)
    before = home.clock.now
    assert (await _poll(home, backend, grid="down", soc=5)).status == OB
    assert home.clock.now - before == 6
    # The return of the grid needs no second look.
    before = home.clock.now
    assert (await _poll(home, backend)).status == OL
    assert home.clock.now - before == 5


async def test_a_device_that_answers_every_other_time_is_believed_all_the_same(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = home.backend()
    await _poll(home, backend)
    ask, count = backend._source.ask, 0

    async def flaky(places):  # type: ignore[no-untyped-def]
        nonlocal count
        count += 1
        if count % 2 == 0:
            raise DeviceError("no answer")
        return await ask(places)

    monkeypatch.setattr(backend._source, "ask", flaky)
    with pytest.raises(DeviceError):
        await _poll(home, backend, grid="down")
    assert (await _poll(home, backend, grid="down")).status == OB


async def test_two_words_for_an_outage_that_lie_far_apart_are_not_two_looks(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = home.backend()
    await _poll(home, backend)
    backend._suspected = home.clock.now
    sleeps: list[float] = []
    sleep = home.clock.sleep

    async def noted(seconds: float) -> None:
        sleeps.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(home.clock, "sleep", noted)
    assert (await _poll(home, backend, seconds=61, grid="down")).status == OB
    assert sleeps == [1.0]
    await _poll(home, backend)
    assert (await _poll(home, backend, grid="down")).status == OB
    assert sleeps == [1.0, 1.0], "the grid was back in between"


async def test_a_change_of_the_grid_is_published_before_the_rest_is_asked_for(home: House) -> None:
    home.describe(MORE)
    backend = home.backend()
    await _poll(home, backend, power=3000)
    assert home.early == []
    await _poll(home, backend, grid="down", power=3000)
    assert [reading.status & (OL | OB) for reading in home.early] == [OB]
    assert home.early[0].decline is not None
    assert not home.early[0].decline.by_runtime


async def test_a_file_that_is_not_written_any_more_gets_old_and_then_says_nothing(home: House) -> None:
    backend = home.backend()
    _say(home, age=50)
    reading = await backend.poll()
    assert reading.at == pytest.approx(home.clock.now - 50, abs=0.01)
    home.clock.now += 20
    with pytest.raises(DeviceError, match="70 s old"):
        await backend.poll()


async def test_a_wall_clock_that_jumps_makes_nothing_old_or_young(home: House) -> None:
    backend = home.backend()
    await _poll(home, backend, grid="down")
    home.clock.wall_offset += 86400
    reading = await _poll(home, backend, grid="down", soc=79)
    assert reading.at == home.clock.now - 1 or reading.at == home.clock.now
    home.clock.wall_offset -= 2 * 86400
    assert (await backend.poll()).status & OB
    home.clock.now += 61
    with pytest.raises(DeviceError, match="s old"):
        await backend.poll()


async def test_a_fault_in_another_value_loses_that_value_never_the_grid(home: House) -> None:
    home.describe(MORE)
    backend = home.backend()
    reading = await _poll(home, backend, soc=None, load="a lot", power=[1], grid="down")
    assert reading.status == OB
    assert not {"battery.charge", "ups.realpower", "battery.charger.status"} & set(reading.values)


async def test_a_charge_of_0_that_comes_out_of_nothing_is_doubted_as_with_every_backend(home: House) -> None:
    backend = home.backend()
    await _poll(home, backend, soc=80)
    assert (await _poll(home, backend, soc=0, grid="down")).values["battery.charge"] == 80
    for _ in range(30):
        reading = await _poll(home, backend, soc=0, grid="down")
    assert reading.values["battery.charge"] == 0


async def test_a_charge_that_stands_still_while_power_is_drawn_is_not_believed_for_ever(home: House) -> None:
    home.describe(MORE)
    backend = home.backend()
    await _poll(home, backend)
    for _ in range(12 * 40):
        reading = await _poll(home, backend, soc=80, power=5000, load=5000, grid="down")
    charge = reading.values["battery.charge"]
    assert isinstance(charge, int | float)
    assert charge < 55


async def test_the_decline_has_what_the_file_knows_so_that_silence_is_counted_down(home: House) -> None:
    home.describe(MORE)
    backend = home.backend()
    reading = await _poll(home, backend)
    assert reading.values["battery.runtime"] == pytest.approx((80 - 10) / 100 * 10000 * 3.6, rel=0.01)
    reading = await _poll(home, backend, grid="down", power=2000, load=2000, soc=80)
    assert reading.decline is not None
    assert (reading.decline.load, reading.decline.capacity, reading.decline.cutoff, reading.decline.low) == (2000, 10000, 10, 20)


async def test_a_charge_that_goes_missing_in_an_outage_is_counted_down_and_never_vanishes(home: House) -> None:
    home.describe(MORE)
    backend = home.backend()
    await _poll(home, backend)
    await _poll(home, backend, grid="down", power=6000, load=6000)
    for _ in range(120):
        reading = await _poll(home, backend, grid="down", soc=None, power=6000, load=6000)
    assert reading.values["battery.charge"] == pytest.approx(80 - 10, abs=2)


async def test_the_age_that_the_file_allows_is_that_of_the_driver_and_a_longer_one_is_refused(home: House) -> None:
    assert home.config().maxage == 60
    assert home.config(maxage=30).maxage == 30
    with pytest.raises(ConfigError, match="more than the 60 s"):
        Mapping.check(home.config(maxage=90))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"port": "nothing"}, "no shipped device; write one of:.*tesla-powerwall"),
        ({"port": "nothing.yaml"}, "cannot be read"),
        ({"address": "http://10.0.0.1/"}, "address ="),
        ({"address": "user:geheim@host"}, r"\*\*\*@host"),
        ({"topic": "a/#"}, "topic ="),
        ({"certificate": "ab:cd"}, "64 hex digits"),
        ({"credentials": "secret"}, "chmod o-rwx"),
        ({"credentials": "wrong"}, "wrong:1: write USERNAME= or PASSWORD="),
        ({"credentials": "absent"}, "cannot be read"),
    ],
)
def test_options_that_cannot_work_stop_the_start_with_a_sentence(options: dict[str, object], sentence: str, home: House) -> None:
    for name, text, mode in (("secret", "PASSWORD=geheim\n", 0o644), ("wrong", "geheim\n", 0o600)):
        (home.folder / name).write_text(text)
        (home.folder / name).chmod(mode)
    with pytest.raises(ConfigError) as caught:
        Mapping.check(home.config(**options))
    assert re.search(sentence, str(caught.value))
    assert "geheim" not in str(caught.value)


async def test_check_judges_the_file_and_what_the_device_says(home: House) -> None:
    async def findings() -> dict[str, tuple[Level, str]]:
        return {finding.topic: (finding.level, finding.text) async for finding in home.backend().examine(login=False)}

    _say(home)
    found = await findings()
    assert {level for level, _ in found.values()} == {Level.OK}
    assert "up = on, down = off" in found["grid rule"][1]
    assert "not tried on hardware" in found["file"][1]
    _say(home, grid="there", soc=800)
    found = await findings()
    assert found["grid"][0] is Level.FAILED
    assert "'there'" in found["grid"][1]
    assert found["charge"][0] is Level.FAILED
    home.describe(GOOD.replace("path: grid", "path: battery.power"))
    assert (await findings())["grid rule"][0] is Level.WARNING
    (home.folder / "state.json").unlink()
    assert (await findings())["grid"][0] is Level.FAILED


async def test_a_reload_says_that_another_file_needs_a_restart(home: House, caplog: pytest.LogCaptureFixture) -> None:
    backend = home.backend()
    await backend.reload(home.config(pollinterval=9))
    assert not caplog.records
    home.describe(GOOD.replace("down", "away"))
    await backend.reload(home.config())
    assert "has changed" in caplog.text
    assert backend.config.pollinterval == 5


def test_the_backend_comes_through_the_strangers_door() -> None:
    assert load("mapping") is Mapping


async def test_a_source_that_fails_for_the_rest_leaves_the_state_of_the_grid(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = home.backend()
    await _poll(home, backend)
    source: Source = backend._source
    ask = source.ask

    async def halved(places):  # type: ignore[no-untyped-def]
        if places == (backend._plan.grid.place,):
            return await ask(places)
        raise DeviceError("half of it hangs")

    monkeypatch.setattr(source, "ask", halved)
    assert (await _poll(home, backend, grid="down")).status == OB
    await asyncio.sleep(0)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_backends_shows_each_shipped_device_and_what_it_was_tried_on(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nutdrv_py", "backends", "mapping"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(f"  port = {name} "))
    assert "not tried on hardware" in line
    assert main(["nutdrv_py", "backends", name]) == 0
    assert shipped()[name].read_text() in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(shipped()))
def test_each_shipped_device_has_a_page_that_is_in_the_table_of_contents(name: str) -> None:
    page = (REPO / "docs" / "devices" / f"{name}.md").read_text()
    assert f"port    = {name}\n" in page.replace("port        =", "port    =")
    assert f"devices/{name}.md" in (REPO / "mkdocs.yml").read_text()
