# SPDX-License-Identifier: GPL-2.0-or-later
"""What was recorded comes out again: the same values in the same order, from the device's own backend."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends.replay import Replay
from nutdrv_py.backends.replay.stage import Cue, Stage, Tracks
from nutdrv_py.core.driver import Driver
from nutdrv_py.device.backend import load
from nutdrv_py.device.reading import Reading, Value
from nutdrv_py.errors import CommandError, ConfigError, DeviceError, StaleError
from nutdrv_py.process.loading import load as load_settings
from nutdrv_py.process.upsconf import Entry, UpsConf
from nutdrv_py.recording.file import Poll, Recording
from tests.backends.seen import Seen
from tests.backends.taping import Taping, play, player, taping
from tests.conftest import FakeClock
from tests.hasty import LoopClock

KINDS = ("enphase", "rct")

Story = Callable[[Taping], Awaitable[None]]


async def _record(kind: str, tmp_path: Path, story: Story, scenario: str = "online", **options: Any) -> Taping:
    async with taping(kind, tmp_path, scenario, **options) as t:
        await story(t)
    return t


def _words(reading: Reading | DeviceError | None) -> str:
    """What upsmon looks at."""
    if not isinstance(reading, Reading):
        return "failed"
    return " ".join(word for word in str(reading.status).split() if word in ("OL", "OB", "LB", "OFF", "RB", "OVER"))


def _sequence(readings: list[Reading | None] | list[Reading | DeviceError]) -> list[str]:
    return [words for words, _ in groupby(map(_words, readings))]


def _values(reading: Reading | DeviceError | None) -> dict[str, Value]:
    """All but the serial numbers, which are others; nothing of a poll that failed."""
    if not isinstance(reading, Reading):
        return {}
    return {name: value for name, value in reading.values.items() if "serial" not in name}


async def _outage(t: Taping) -> None:
    await t.polls(10, 2)
    t.sim.set(soc=40, grid="outage")
    await t.polls(10, 2)
    t.sim.set(soc=12)
    await t.polls(30, 4)
    t.sim.set(grid="on", soc=13)
    await t.polls(20, 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_outage_is_played_with_the_values_of_each_poll(kind: str, tmp_path: Path) -> None:
    t = await _record(kind, tmp_path, _outage)
    played = await play(player(t.path), len(t.live))
    assert _sequence(t.live) == ["OL", "OB", "OB LB", "OL"]
    assert _sequence(played) == _sequence(t.live)
    for live, again in zip(t.live, played, strict=True):
        assert isinstance(again, Reading)
        assert str(again.status) == str(live and live.status)
        assert again.alarms == (live.alarms if live else None)
        assert _values(again) == _values(live)
        assert live is None or live.values["ups.serial"] != again.values["ups.serial"]
    assert len({reading.values["ups.serial"] for reading in played if isinstance(reading, Reading)}) == 1


SCENARIOS = [
    ("enphase", name) for name in ("three-phase", "split-phase", "broken-json", "no-meters", "collar", "ac-battery", "no-controller", "frozen-livedata")
]
SCENARIOS += [("rct", name) for name in ("noisy", "foreign", "second-tower", "no-battery", "asleep")]


@pytest.mark.parametrize(("kind", "scenario"), SCENARIOS)
async def test_each_kind_of_house_is_played_as_it_was(kind: str, scenario: str, tmp_path: Path) -> None:
    async def story(t: Taping) -> None:
        count = 4 if scenario == "noisy" else 8
        await t.polls(count, 2)
        t.sim.set(grid="outage")
        await t.polls(count, 2)

    t = await _record(kind, tmp_path, story, scenario)
    played = await play(player(t.path), len(t.live))
    assert _sequence(played) == _sequence(t.live)
    assert any(t.live), "the simulator has answered"
    if scenario not in ("noisy", "foreign"):  # lost answers come a poll later there
        assert [_values(reading) for reading in played] == [_values(reading) for reading in t.live]


@pytest.mark.parametrize("kind", KINDS)
async def test_silence_is_played_as_silence_and_becomes_stale_as_it_did(kind: str, tmp_path: Path) -> None:
    async def story(t: Taping) -> None:
        await t.polls(5, 2)
        t.sim.set(offline=True)
        await t.polls(20, 10)
        t.sim.set(offline=False)
        await t.polls(10, 10)

    t = await _record(kind, tmp_path, story)
    played = await play(player(t.path), len(t.live))
    assert _sequence(played) == _sequence(t.live) == ["OL", "failed", "OL"]
    away = [reading for reading in played if isinstance(reading, DeviceError)]
    assert not isinstance(away[0], StaleError)
    assert isinstance(away[-1], StaleError)


async def test_a_refused_request_and_a_page_are_played_as_such(tmp_path: Path) -> None:
    from nutdrv_py.simulators.enphase import Fault

    async def story(t: Taping) -> None:
        await t.polls(5, 2)
        for fault in (Fault("status", status=401), Fault("html"), Fault("empty"), Fault("truncated"), Fault("status", status=503)):
            t.sim.set(fault={"/ivp/ensemble/relay": fault})
            await t.polls(2, 70)
            t.sim.set(clear_faults=True)
            await t.polls(2, 70)

    t = await _record("enphase", tmp_path, story)
    assert "failed" in _sequence(t.live)
    assert _sequence(await play(player(t.path), len(t.live))) == _sequence(t.live)


@pytest.mark.parametrize("kind", KINDS)
async def test_after_the_end_the_data_are_stale_or_it_begins_anew(kind: str, tmp_path: Path) -> None:
    async def story(t: Taping) -> None:
        await t.polls(3, 2)
        t.sim.set(grid="outage")
        await t.polls(3, 2)

    t = await _record(kind, tmp_path, story)
    once = await play(player(t.path), 9)
    assert [isinstance(reading, StaleError) for reading in once] == [False] * 6 + [True] * 3
    assert "loop" in str(once[-1])
    again = await play(player(t.path, loop=True), 18)
    assert _sequence(again) == ["OL", "OB"] * 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("speed", [0.5, 1.0, 10.0, 1000.0])
async def test_at_any_speed_each_status_is_seen_at_its_time(kind: str, speed: float, tmp_path: Path) -> None:
    t = await _record(kind, tmp_path, _outage)

    async def watch() -> list[tuple[float, str]]:
        clock = FakeClock()
        backend = player(t.path, clock, speed=speed)
        core = Seen(backend)
        seen: list[tuple[float, str]] = []

        def note(reading: Reading) -> None:
            seen.append(((clock.now - 1000) * speed, _words(core.look(reading))))

        backend.publish = note
        while True:
            try:
                note(await backend.poll())
            except StaleError:
                break
            await clock.advance(2.0)
        await backend.__aexit__(None, None, None)
        return seen

    seen = await watch()
    assert [words for words, _ in groupby(words for _, words in seen)] == ["OL", "OB", "OB LB", "OL"]
    if speed == 0.5:
        outage = next(at for at, words in seen if words == "OB")
        assert 18 <= outage <= 24


@pytest.mark.parametrize("kind", KINDS)
async def test_the_real_driver_plays_faster_than_its_poll_interval_and_ends_stale(kind: str, tmp_path: Path) -> None:
    t = await _record(kind, tmp_path, _outage)
    section = {"driver": "nutdrv_py", "backend": "replay", "port": str(t.path), "speed": "60"}
    settings = load_settings(
        "played", "nutdrv_py", conf=UpsConf((), tuple(Entry(name, value, "ups.conf:1") for name, value in section.items())),
        environ={"NUT_STATEPATH": str(tmp_path)},
    )  # fmt: skip

    async def watch() -> list[str]:
        driver = Driver(settings, settings.backend(settings.config, LoopClock()), LoopClock())
        seen: list[str] = []
        driver.subscribe(lambda old, new: seen.append("stale" if new.stale else new.variables["ups.status"].value))
        running = asyncio.ensure_future(driver.run())
        async with asyncio.timeout(60):
            while "OL" not in " ".join(seen) or seen[-1] != "stale":
                await asyncio.sleep(0.05)
        driver.stop()
        await running
        return seen

    found = [" ".join(word for word in text.split() if word in ("OL", "OB", "LB", "stale")) for text in await watch()]
    assert [text for text, _ in groupby(found) if text][-5:] == ["OL", "OB", "OB LB", "OL", "stale"]


async def test_the_low_mark_can_be_set_as_on_the_device(tmp_path: Path) -> None:
    async def story(t: Taping) -> None:
        t.sim.set(soc=40, grid="outage")
        await t.polls(6, 2)

    t = await _record("rct", tmp_path, story)

    async def low() -> list[str]:
        backend = player(t.path)
        seen = Seen(backend)
        before = _words(seen.look(await backend.poll()))
        seen.written["battery.charge.low"] = 50.0
        with pytest.raises(CommandError):
            await backend.set("ups.id", "x")
        return [before, *map(_words, await play(backend, 3, seen))]

    assert await low() == ["OB", "OB LB", "OB LB", "OB LB"]
    assert _sequence(await play(player(t.path, lowbatt=60.0), 3)) == ["OB LB"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_reload_that_changes_nothing_leaves_the_recorded_low_mark(kind: str, tmp_path: Path) -> None:
    async def story(t: Taping) -> None:
        await t.polls(4, 5)

    t = await _record(kind, tmp_path, story, lowbatt=35.0)

    async def low() -> list[object]:
        backend = player(t.path)
        seen = Seen(backend)
        found: list[object] = [seen.shown((await play(backend, 3, seen))[-1])["battery.charge.low"]]  # type: ignore[arg-type]
        await backend.reload(backend.config)
        found.append(seen.shown(await backend.poll())["battery.charge.low"])
        return found

    assert [float(str(value)) for value in await low()] == [35.0, 35.0]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sample")

    async def story(t: Taping) -> None:
        await t.polls(4, 5)

    return asyncio.run(_record("rct", folder, story)).path.read_bytes()


def _lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(data).splitlines()]


def _packed(lines: list[Any]) -> bytes:
    return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())


WRONG: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "no recording"),
    "text": (lambda data: b"[home]\n", "no recording"),
    "cut": (lambda data: data[: len(data) // 2], "cut short"),
    "cut in the last bytes": (lambda data: data[:-3], "cut short"),
    "overwritten": (lambda data: data[:200] + b"\0" * 100 + data[300:], "no recording|cut short"),
    "other JSON": (lambda data: _packed([{"a": 1}]), "first line"),
    "no objects": (lambda data: _packed([[]]), "no object"),
    "newer": (lambda data: _packed([{**_lines(data)[0], "nutdrv_py recording": 2}]), "format 2"),
    "only a beginning": (lambda data: _packed(_lines(data)[:1]), "no poll"),
    "wrong times": (lambda data: _packed([*_lines(data), {"t": 0, "poll": "ends"}]), "time"),
    "no frame": (lambda data: _packed([*_lines(data), {"t": 99, "in": "zz"}]), "frame"),
    "wrong reference": (lambda data: _packed([*_lines(data), {"t": 99, "in": {"same": 9999}}]), "repeats"),
    "other backend": (lambda data: _packed([{**_lines(data)[0], "backend": "dummy"}, *_lines(data)[1:]]), "enphase, rct"),
    "began never": (lambda data: _packed([{**_lines(data)[0], "began": float("inf")}, *_lines(data)[1:]]), "not JSON"),
    "began too late": (lambda data: _packed([{**_lines(data)[0], "began": 10**400}, *_lines(data)[1:]]), "first line"),
    "a token for ever": (lambda data: _packed([*_lines(data), {"t": 99, "poll": "ends", "token": 1e30}]), "token"),
    "an interval for ever": (lambda data: _packed([{**_lines(data)[0], "options": {"pollinterval": 1e300}}, *_lines(data)[1:]]), "pollinterval"),
    "no interval": (lambda data: _packed([{**_lines(data)[0], "options": {"pollinterval": 0}}, *_lines(data)[1:]]), "pollinterval"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_damaged_file_is_refused_with_a_sentence(kind: str, tmp_path: Path, sample: bytes) -> None:
    make, said = WRONG[kind]
    path = tmp_path / "file"
    path.write_bytes(make(sample))
    with pytest.raises(ConfigError, match=said):
        player(path)


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigError, match="record"):
            player(path)
    with pytest.raises(ConfigError, match="NUL"):
        player(Path("a\0b"))


@given(where=st.floats(0, 1, exclude_max=True), octet=st.integers(0, 255))
async def test_damage_anywhere_is_a_sentence_or_plays(where: float, octet: int, sample: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    plain = bytearray(gzip.decompress(sample))
    plain[int(where * len(plain))] = octet
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(gzip.compress(bytes(plain), 1))
    try:
        backend = player(path)
    except ConfigError:
        return
    for reading in await play(backend, 6):
        assert isinstance(reading, Reading | DeviceError)


def test_what_was_never_asked_is_not_there_and_each_answer_is_given_in_its_poll() -> None:
    polls = (Poll(0, 1, "OL"), Poll(5, 6, "OL"), Poll(10, 11, "OL"))
    stage = Stage(Recording("enphase", 0.0, {}, polls, ()))
    tracks = Tracks(stage, {"a": [Cue(0.1, 0.2, "first"), Cue(0.3, 0.4, "second"), Cue(5.5, 5.6, "third")], "late": [Cue(10.5, 10.6, "x")]})

    def said(name: str) -> str | None:
        cue = tracks.ask(name)
        return cue.item if cue else None

    stage.next()
    assert [said("a") for _ in range(3)] == ["first", "second", "second"]
    assert said("never") is None
    assert said("late") == "x"
    stage.next()
    assert said("a") == "third"
    stage.next()
    assert said("a") == "third"
    assert tracks.exhausted("a")
    assert not tracks.exhausted("late")


def test_the_backend_comes_through_its_entry_point() -> None:
    assert load("replay") is Replay
