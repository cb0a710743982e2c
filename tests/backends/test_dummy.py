# SPDX-License-Identifier: GPL-2.0-or-later
"""A device that is a file: what is read when, what it means, what clients may do to it. Time is moved by hand."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends.dummy import MAX_VARIABLES, YOUNG, Dummy
from nutdrv_py.backends.dummy import source as source_module
from nutdrv_py.backends.dummy.config import DummyConfig, loops
from nutdrv_py.backends.dummy.play import SHORTEST, Overlay, Player, Text
from nutdrv_py.backends.dummy.source import MAX_FILE
from nutdrv_py.backends.dummy.watch import LOOK, QUIET, Inotify, Watch
from nutdrv_py.backends.dummy.words import alarms_in, compose, status_of
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.guard import guarded
from nutdrv_py.core.reload import Reload
from nutdrv_py.core.requests import Requests
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.backend import Writable
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import CommandError, ConfigError, DeviceError, Result
from nutdrv_py.machine.paths import Paths
from nutdrv_py.nut.portfile import parse
from tests.backends.seen import Seen
from tests.conftest import FakeClock


class AtOnce(ThreadPoolExecutor):
    """Does the work of a thread where it is called, so that only the tests' clock decides what happens when."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class World:
    """A file, the backend that reads it, and how often that wanted to be polled."""

    def __init__(self, folder: Path, clock: FakeClock, *, name: str = "ups.dev", inotify: bool = True, **options: object) -> None:
        self.clock = clock
        self.path = folder / name
        self.config = DummyConfig(port=name, ups="u", confpath=str(folder), **options)  # type: ignore[arg-type]
        self.backend = Dummy(self.config, clock)
        self.wakes = 0
        self.backend.wake = self._woken
        if not inotify:
            self.backend._watch = Watch(str(self.path), clock, self._woken, _no_inotify)

    def _woken(self) -> None:
        self.wakes += 1

    def write(self, text: str | bytes, *, age: float = 60.0) -> None:
        """Replace the file as a careful writer does; it was changed ``age`` seconds ago."""
        new = self.path.with_name("new")
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.touch(age, new)
        new.replace(self.path)

    def touch(self, age: float, path: Path | None = None) -> None:
        os.utime(path or self.path, (self.clock.wall() - age, self.clock.wall() - age))

    async def values(self) -> dict[str, object]:
        """What a poll says, without what every dummy has."""
        shown = dict((await self.backend.poll()).values)
        return {name: value for name, value in shown.items() if name not in ("device.type", "ups.mfr", "ups.model")}

    async def status(self) -> str:
        return str((await self.backend.poll()).status)


def _no_inotify() -> Inotify:
    raise OSError("no inotify here")


@pytest.fixture
async def make(tmp_path: Path, clock: FakeClock, anyio_backend: str) -> Callable[..., World]:
    asyncio.get_running_loop().set_default_executor(AtOnce())
    return lambda **options: World(tmp_path, clock, **options)


def messages(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if part in record.getMessage()]


# What the words mean

STATUSES: list[tuple[str, Status, tuple[str, ...]]] = [
    ("OL", Status.OL, ()),
    ("CHRG OL", Status.OL | Status.CHRG, ()),
    ("OL OL CHRG", Status.OL | Status.CHRG, ()),
    ("OB LB DISCHRG", Status.OB | Status.LB | Status.DISCHRG, ()),
    ("ol", Status.OL, ()),
    ("OFF", Status.OFF, ()),
    ("OL OFF", Status.OL | Status.OFF, ()),
    ("ALARM OL", Status.OL, ()),
    ("OL FOO OFFGRID", Status.OL, ("FOO", "OFFGRID")),
    ("FSD OB LB", Status.OB | Status.LB | Status.FSD, ()),
]


@pytest.mark.parametrize(("text", "status", "unknown"), STATUSES)
def test_the_tokens_of_a_status(text: str, status: Status, unknown: tuple[str, ...]) -> None:
    assert status_of(text) == (status, unknown)


@pytest.mark.parametrize("text", ["", " ", "CHRG", "LB", "ALARM", "FOO", "BYPASS", "FSD", "OL OB", "OB OL LB", "O", "WAIT"])
def test_a_status_that_does_not_say_where_the_power_comes_from_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match=r"ups\.status"):
        status_of(text)


@pytest.mark.parametrize(
    ("text", "alarms"),
    [
        ("", ()),
        ("[]", ()),
        ("Replace battery!", ("Replace battery!",)),
        ("[Replace battery]", ("Replace battery",)),
        ("[One] [ Two ]", ("One", "Two")),
        ("[One] and more", ("[One] and more",)),
    ],
)
def test_the_alarms_in_ups_alarm(text: str, alarms: tuple[str, ...]) -> None:
    assert alarms_in(text) == alarms


@pytest.mark.parametrize(
    ("text", "alarms"),
    [
        ("ups.status: OL\n", ()),
        ("ups.status: ALARM OL\n", ("N/A",)),
        ("ups.status: ALARM OL\nups.alarm: hot\n", ("hot",)),
        ('ups.status: OL\nALARM hot\nALARM "very hot"\nALARM hot\n', ("hot", "very hot")),
        ("ups.status: OL\nALARM hot\nALARM\nALARM cold\n", ("cold",)),
        ("ups.status: OL\nALARM hot\nups.alarm: [hot] [cold]\n", ("hot", "cold")),
        ("ups.status: OL\nALARM hot\nALARM\n", ()),
    ],
)
def test_alarms_come_from_the_status_from_alarm_lines_and_from_ups_alarm(text: str, alarms: tuple[str, ...]) -> None:
    player = Player(parse(text), loop=False, least=2, defaults={})
    player.play(0)
    reading, _ = compose(player.values, player.alarms)
    assert reading.alarms == alarms
    assert not reading.values


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("ups.status: OB\nbattery.charge: 30\n", "OB LB"),
        ("ups.status: OB\nbattery.charge: 30.1\n", "OB"),
        ("ups.status: OL\nbattery.charge: 30\n", "OL"),
        ("ups.status: OB LB\nbattery.charge: 90\n", "OB LB"),
        ("ups.status: OB\nbattery.charge: unknown\n", "OB"),
        ("ups.status: OB\n", "OB"),
    ],
)
def test_lowbatt_fixes_the_low_mark_and_adds_lb_on_battery_at_it(text: str, status: str) -> None:
    player = Player(parse(text + "Battery.Charge.Low: 10\n"), loop=False, least=2, defaults={})
    player.play(0)
    seen = Seen(Dummy(DummyConfig(port="x", lowbatt=30.0), FakeClock()))
    reading = seen.look(guarded(compose(player.values, ())[0])[0])
    assert str(reading.status) == status
    shown = seen.shown(reading)
    assert {name: value for name, value in shown.items() if name.lower() == "battery.charge.low"} == {"battery.charge.low": "30"}


# A file in time

SEQUENCE = "ups.status: OL\nTIMER 5\nups.status: OB\nx: 1\nTIMER 2.5\nups.status: OB LB\nx:\nTIMER 1\n"


def _play(text: str, until: float, *, loop: bool, step: float = 0.5) -> list[tuple[float, str]]:
    """Time and status at each change, polled every ``step`` seconds."""
    player = Player(parse(text), loop=loop, least=2, defaults={})
    seen: list[tuple[float, str]] = []
    for tick in range(int(until / step) + 1):
        player.play(tick * step)
        status = " ".join(f"{text.value}" for text in player.values.values())
        if not seen or seen[-1][1] != status:
            seen.append((tick * step, status))
    return seen


def test_a_sequence_pauses_goes_on_and_begins_anew() -> None:
    one = [(0.0, "OL"), (5.0, "OB 1"), (7.5, "OB LB")]
    assert _play(SEQUENCE, 8.0, loop=True) == one
    assert _play(SEQUENCE, 16.5, loop=True) == one + [(8.5 + at, status) for at, status in one]


def test_a_sequence_played_once_stays_at_its_end() -> None:
    assert _play(SEQUENCE, 60.0, loop=False) == [(0.0, "OL"), (5.0, "OB 1"), (7.5, "OB LB")]


@pytest.mark.parametrize("text", ["a: 1\n", "TIMER 0\n", "a: 1\nTIMER 0\na: 2\n", ""])
def test_a_loop_without_a_pause_takes_at_least_a_poll_interval_for_each_pass(text: str) -> None:
    player = Player(parse(text), loop=True, least=2, defaults={})
    player.play(10.0)
    assert player.due is None or player.due == 12.0
    player.play(11.0)
    assert player.due is None or player.due == 12.0


def test_a_very_short_timer_does_not_keep_the_processor_busy() -> None:
    player = Player(parse("a: 1\nTIMER 0.000001\n"), loop=True, least=2, defaults={})
    player.play(10.0)
    assert player.due == 10.0 + SHORTEST


def test_what_a_pass_has_said_holds_in_the_next_one_as_in_dummy_ups() -> None:
    player = Player(parse("a: 1\nTIMER 1\nb: 2\nTIMER 1\n"), loop=True, least=2, defaults={})
    for now in (0.0, 1.0, 2.0):
        player.play(now)
    assert {key: text.value for key, text in player.values.items()} == {"a": "1", "b": "2"}


def test_names_are_one_variable_in_any_case_and_keep_their_first_spelling() -> None:
    player = Player(parse("Ups.Id: x\nUPS.ID: y\n"), loop=False, least=2, defaults={})
    player.play(0.0)
    assert player.values == {"ups.id": Text("Ups.Id", "y")}


@given(st.lists(st.sampled_from(["a: 1", "a:", "b: 2", "TIMER 0", "TIMER 0.3", "TIMER 2", "ALARM x", "ALARM", "#", "bad"])), st.booleans())
def test_no_sequence_plays_without_end(lines: list[str], loop: bool) -> None:
    player = Player(parse("\n".join(lines)), loop=loop, least=2, defaults={})
    now, turns = 0.0, 0
    while player.due is not None and now < 20:
        player.play(now)
        assert player.due is None or player.due >= now + SHORTEST - 1e-9
        now = player.due if player.due is not None else now
        turns += 1
    assert turns <= 20 / SHORTEST + 2


def test_what_was_set_holds_until_the_file_itself_changes_that_variable() -> None:
    overlay = Overlay()
    file = {"a": Text("a", "1"), "b": Text("b", "2")}
    overlay.put("A", "9", file)
    overlay.put("b", None, file)
    overlay.put("New", "", file)
    assert overlay.over(file) == {"a": Text("a", "9"), "new": Text("New", "")}
    changed = {"a": Text("a", "1"), "b": Text("b", "3")}
    assert overlay.over(changed) == {"a": Text("a", "9"), "b": Text("b", "3"), "new": Text("New", "")}
    assert overlay.over(file)["b"].value == "2"
    assert overlay.over({"a": Text("a", "5"), "new": Text("new", "x")}) == {"a": Text("a", "5"), "new": Text("new", "x")}


# Options


@pytest.mark.parametrize(
    ("port", "mode", "expected"),
    [
        ("a.dev", None, False),
        ("a.seq", None, True),
        ("a.txt", None, True),
        ("a.seq", "dummy-once", False),
        ("a.dev", "dummy-loop", True),
        ("a.dev", "dummy", True),
    ],
)
def test_whether_a_file_is_played_again_is_said_by_mode_or_its_name(port: str, mode: str | None, expected: bool) -> None:
    assert loops(DummyConfig(port=port, mode=mode)) is expected


def test_the_port_of_a_repeater_is_sent_to_the_repeater() -> None:
    with pytest.raises(ConfigError, match="backend = repeater"):
        Dummy.check(DummyConfig(port="ups@host"))
    Dummy.check(DummyConfig(port="/run/a@b.dev"))
    Dummy.check(DummyConfig(port="a@b.dev", mode="dummy-once"))


def test_the_file_is_relative_to_the_directory_of_ups_conf(tmp_path: Path, clock: FakeClock) -> None:
    for port, path in (("x.dev", f"{tmp_path}/x.dev"), ("/run/x.dev", "/run/x.dev")):
        assert Dummy(DummyConfig(port=port, confpath=str(tmp_path)), clock)._path == path


# Reading


async def test_a_file_is_a_device_with_the_defaults_of_dummy_ups(make: Callable[..., World]) -> None:
    world = make()
    world.write("ups.status: OL CHRG\nbattery.charge: 0230.50\nups.id:tight\ndriver.x: 1\n")
    async with world.backend as backend:
        reading = await backend.poll()
    assert reading.status == Status.OL | Status.CHRG
    assert reading.values == {
        "device.type": "ups", "ups.mfr": "Dummy Manufacturer", "ups.model": "Dummy UPS", "battery.charge": "0230.50", "ups.id": "tight",
    }  # fmt: skip


async def test_the_file_may_say_otherwise_than_the_defaults_or_delete_them(make: Callable[..., World]) -> None:
    world = make()
    world.write('ups.status: OL\ndevice.type: pdu\nUPS.mfr: "Me"\nups.model: ""\n')
    async with world.backend as backend:
        assert (await backend.poll()).values == {"device.type": "pdu", "ups.mfr": "Me"}


async def test_what_a_changed_file_no_longer_says_is_withdrawn(make: Callable[..., World]) -> None:
    world = make()
    world.write("ups.status: OL\na: 1\nALARM hot\n")
    async with world.backend as backend:
        assert await world.values() == {"a": "1"}
        world.write("ups.status: OL\nb: 2\n")
        assert await world.values() == {"b": "2"}
        assert (await backend.poll()).alarms == ()


FAILURES: list[tuple[str, Callable[[World], object], str]] = [
    ("missing", lambda w: w.path.unlink(), "is not there; start what writes it"),
    ("lost", lambda w: w.path.rename(f"{w.path}-nocomms"), "its writer has lost its device"),
    ("folder", lambda w: (w.path.unlink(), w.path.mkdir()), "is not a file"),
    ("pipe", lambda w: (w.path.unlink(), os.mkfifo(w.path)), "is not a file"),
    ("loop of links", lambda w: (w.path.unlink(), w.path.symlink_to(w.path)), "cannot be read"),
    ("empty", lambda w: w.write(""), "there is no ups.status"),
    ("no status", lambda w: w.write("a: 1\n"), "there is no ups.status"),
    ("deleted status", lambda w: w.write("ups.status: OL\nups.status:\n"), "there is no ups.status"),
    ("half a status", lambda w: w.write("ups.status: O\n"), "neither OL, OB nor OFF"),
    ("both", lambda w: w.write("ups.status: OL OB\n"), "both OL and OB"),
    ("damaged", lambda w: w.write(b"ups.status: OL\n\0\0\0\0"), "NUL bytes"),
    ("huge", lambda w: w.write(b"ups.status: OL\n" + b"#" * MAX_FILE + b"\n"), "larger than 1024 KiB"),
    ("many", lambda w: w.write("ups.status: OL\n" + "".join(f"a{n}: 1\n" for n in range(MAX_VARIABLES))), "more than 4096"),
]


@pytest.mark.parametrize(("fail", "sentence"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
async def test_a_file_that_cannot_be_used_is_a_failed_poll_with_a_sentence_and_comes_back(
    make: Callable[..., World], fail: Callable[[World], object], sentence: str
) -> None:
    world = make()
    world.write("ups.status: OL\na: 1\n")
    async with world.backend as backend:
        assert await world.values() == {"a": "1"}
        fail(world)
        await world.clock.advance(QUIET)
        for _ in range(2):
            with pytest.raises(DeviceError, match=sentence) as caught:
                await backend.poll()
            assert str(world.path) in str(caught.value)
        if world.path.is_dir():
            world.path.rmdir()
        world.write("ups.status: OB\na: 1\n")
        assert await world.status() == "OB"


async def test_a_file_that_may_not_be_read_says_whose_right_is_missing(make: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    world = make()
    world.write("ups.status: OL\n")
    async with world.backend as backend:
        with monkeypatch.context() as patch, pytest.raises(DeviceError, match="may not be read by the user"):
            patch.setattr(source_module.os, "open", refuse)  # type: ignore[attr-defined]
            await backend.poll()
        assert await world.status() == "OL"


async def test_a_file_that_is_not_there_at_the_start_is_read_when_it_comes(make: Callable[..., World]) -> None:
    world = make()
    async with world.backend as backend:
        with pytest.raises(DeviceError):
            await backend.poll()
        world.write("ups.status: OL\n")
        await world.clock.settle()
        assert world.wakes == 1
        assert await world.status() == "OL"


async def test_a_file_without_its_last_line_feed_is_half_written_until_it_is_a_second_old(make: Callable[..., World]) -> None:
    world = make()
    world.write("ups.status: OL\nbattery.charge: 100\n")
    async with world.backend as backend:
        await backend.poll()
        world.write("ups.status: OL\nbattery.charge: 8", age=0.2)
        poll = asyncio.ensure_future(world.values())
        await world.clock.advance(0.3)
        assert not poll.done()
        world.write("ups.status: OL\nbattery.charge: 85\n", age=0.0)
        await world.clock.advance(0.1)
        assert await poll == {"battery.charge": "85"}
        world.write("ups.status: OL\nbattery.charge: 8", age=0.2)
        poll = asyncio.ensure_future(world.values())
        await world.clock.advance(YOUNG)
        assert await poll == {"battery.charge": "8"}


@pytest.mark.parametrize("text", ["", "ups.status: OB"])
async def test_an_empty_file_is_half_written_too(make: Callable[..., World], text: str) -> None:
    world = make()
    world.write(text, age=0.0)
    async with world.backend:
        poll = asyncio.ensure_future(world.status())
        await world.clock.advance(0.5)
        assert not poll.done()
        world.write("ups.status: OL\n", age=0.0)
        await world.clock.advance(0.1)
        assert await poll == "OL"


@pytest.mark.parametrize("age", [YOUNG + 0.1, 3600.0])
async def test_an_old_file_without_its_last_line_feed_is_read_at_once(make: Callable[..., World], age: float) -> None:
    world = make()
    world.write("ups.status: OL\nbattery.charge: 85", age=age)
    async with world.backend:
        assert await world.values() == {"battery.charge": "85"}


async def test_a_time_in_the_future_delays_a_file_without_its_last_line_feed_by_a_second_only(make: Callable[..., World]) -> None:
    world = make()
    world.write("ups.status: OL", age=-3600.0)
    async with world.backend:
        poll = asyncio.ensure_future(world.status())
        await world.clock.advance(YOUNG + 0.2)
        assert await poll == "OL"


async def test_a_file_that_is_always_half_written_is_a_failed_poll(make: Callable[..., World]) -> None:
    world = make()
    world.write("ups.status: OL", age=0.0)
    async with world.backend:
        poll = asyncio.ensure_future(world.status())
        for count in range(25):
            await world.clock.advance(0.1)
            world.write("ups.status: OL" + " " * count, age=0.0)
        with pytest.raises(DeviceError, match="looks half-written"):
            await poll


async def test_a_change_that_leaves_time_and_size_as_they_were_is_not_missed(make: Callable[..., World]) -> None:
    world = make(inotify=False)
    world.write("ups.status: OL\n", age=0.0)
    async with world.backend:
        assert await world.status() == "OL"
        stat = world.path.stat()
        world.path.write_text("ups.status: OB\n")
        os.utime(world.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert await world.status() == "OB"


async def test_bad_lines_are_logged_once_with_their_number_and_cost_only_themselves(make: Callable[..., World], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = make()
    for count in range(3):
        world.write(f'ups.status: OL FOO\nlonely\na: {count}\n#@ rw x\nb: "A #1\n#@ command c ups.status LB\n')
        async with world.backend as backend:
            assert await world.values() == {"a": str(count)}
            assert backend.commands == frozenset()
    world.write("ups.status: OL\n")
    assert await world.values() == {}
    for line, part in ((2, "alone says nothing"), (4, "write #@ rw"), (5, "bare #"), (6, "the command c is not offered")):
        assert len(messages(caplog, f"ups.dev:{line}: ")) == 1
        assert part in messages(caplog, f"ups.dev:{line}: ")[0]
    assert len(messages(caplog, "'FOO'")) == 1
    assert len(messages(caplog, "understood again")) == 1


async def test_a_bare_hash_in_quotes_is_part_of_the_value(make: Callable[..., World]) -> None:
    world = make()
    world.write('ups.status: OL\nups.description: "Rack #3"\nups.id: "a" # comment\n')
    async with world.backend:
        assert await world.values() == {"ups.description": "Rack #3", "ups.id": "a"}


@pytest.mark.parametrize("text", ["ups.status: OL\na: $(touch pwned)\nb: `touch pwned`\nc: %s%n\n#@ command d e ;touch\\ pwned\n"])
async def test_a_file_is_data_nothing_in_it_is_executed(make: Callable[..., World], text: str) -> None:
    world = make()
    world.write(text)
    async with world.backend as backend:
        assert await world.values() == {"a": "$(touch pwned)", "b": "`touch pwned`", "c": "%s%n"}
        await backend.command("d", None)
        assert (await world.values())["e"] == ";touch pwned"
    assert sorted(path.name for path in world.path.parent.iterdir()) == ["ups.dev"]


# Noticing


def _rewrite(world: World) -> None:
    world.path.write_text("ups.status: OB\n")
    world.touch(60)


def _through_hard_link(world: World) -> None:
    other = world.path.with_name("other")
    other.write_text("ups.status: OB\n")
    world.touch(60, other)
    world.path.unlink()
    world.path.hardlink_to(other)


CHANGES: list[tuple[str, Callable[[World], object], float]] = [
    ("renamed to it", lambda w: w.write("ups.status: OB\n"), 0.0),
    ("written in place", _rewrite, QUIET),
    ("removed and made anew", lambda w: (w.path.unlink(), _rewrite(w)), QUIET),
    ("linked", _through_hard_link, QUIET),
]


@pytest.mark.parametrize(("change", "after"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
async def test_every_way_of_changing_a_file_is_noticed_at_once(make: Callable[..., World], change: Callable[[World], object], after: float) -> None:
    world = make()
    world.write("ups.status: OL\n")
    async with world.backend as backend:
        assert backend._watch.notified
        assert await world.status() == "OL"
        change(world)
        await world.clock.settle()
        await world.clock.advance(after)
        assert world.wakes >= 1
        assert await world.status() == "OB"
        seen = world.wakes
        await world.clock.advance(10)
        assert world.wakes == seen


async def test_a_removed_file_is_noticed_at_once(make: Callable[..., World]) -> None:
    world = make()
    world.write("ups.status: OL\n")
    async with world.backend:
        assert await world.status() == "OL"
        world.path.unlink()
        await world.clock.advance(QUIET)
        assert world.wakes == 1
        with pytest.raises(DeviceError):
            await world.status()


async def test_a_script_that_writes_line_by_line_is_not_read_in_the_middle(make: Callable[..., World]) -> None:
    world = make()
    world.write("ups.status: OL\na: 1\n")
    async with world.backend:
        assert await world.values() == {"a": "1"}
        world.path.write_text("ups.status: OB\n")
        await world.clock.advance(QUIET / 2)
        assert await world.values() == {"a": "1"}
        with world.path.open("a") as file:
            file.write("a: 2\n")
        await world.clock.advance(QUIET)
        assert await world.values() == {"a": "2"}


async def test_a_writer_that_never_rests_is_read_all_the_same(make: Callable[..., World]) -> None:
    world = make()
    world.write("ups.status: OL\na: 0\n")
    async with world.backend:
        await world.values()
        newest = 0
        for count in range(1, 40):
            world.path.write_text(f"ups.status: OL\na: {count}\n")
            await world.clock.advance(QUIET / 4)
            world.path.write_text(f"ups.status: OL\na: {count}\n")
            newest = int(str((await world.values())["a"]))
            assert newest >= count - 6
        assert newest > 30


async def test_other_files_of_the_folder_wake_nobody(make: Callable[..., World]) -> None:
    world = make()
    world.write("ups.status: OL\n")
    async with world.backend:
        assert await world.status() == "OL"
        for name in ("ups.de", "ups.dev2", "x"):
            world.path.with_name(name).write_text("ups.status: OB\n")
        await world.clock.advance(5)
        assert world.wakes == 0


async def test_the_target_of_a_symbolic_link_is_watched_and_so_is_the_link(make: Callable[..., World], tmp_path: Path) -> None:
    world = make()
    targets = [tmp_path / "one" / "a", tmp_path / "two" / "b"]
    for target, text in zip(targets, ("ups.status: OL\n", "ups.status: OB\n"), strict=True):
        target.parent.mkdir()
        target.write_text(text)
        world.touch(60, target)
    world.path.symlink_to(targets[0])
    async with world.backend:
        assert await world.status() == "OL"
        targets[0].write_text("ups.status: OFF\n")
        world.touch(60, targets[0])
        await world.clock.advance(QUIET)
        assert (world.wakes, await world.status()) == (1, "OFF")
        link = tmp_path / "link"
        link.symlink_to(targets[1])
        link.replace(world.path)
        await world.clock.settle()
        assert (world.wakes, await world.status()) == (2, "OB")
        targets[1].write_text("ups.status: OB LB\n")
        world.touch(60, targets[1])
        await world.clock.advance(QUIET)
        assert (world.wakes, await world.status()) == (3, "OB LB")


async def test_a_folder_that_is_replaced_is_followed(make: Callable[..., World], tmp_path: Path, clock: FakeClock) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    world = World(folder, clock)
    world.write("ups.status: OL\n")
    async with world.backend as backend:
        assert await world.status() == "OL"
        folder.rename(tmp_path / "old")
        await world.clock.advance(QUIET)
        assert world.wakes >= 1
        with pytest.raises(DeviceError):
            await backend.poll()
        assert not backend._watch.notified
        folder.mkdir()
        world.write("ups.status: OB\n")
        await world.clock.advance(LOOK)
        assert await world.status() == "OB"
        assert backend._watch.notified
        world.write("ups.status: OFF\n")
        await world.clock.settle()
        assert await world.status() == "OFF"


async def test_without_inotify_the_file_is_looked_at_every_fifth_of_a_second(make: Callable[..., World]) -> None:
    world = make(inotify=False)
    world.write("ups.status: OL\n")
    async with world.backend as backend:
        assert not backend._watch.notified
        assert await world.status() == "OL"
        await world.clock.advance(1)
        assert world.wakes == 0
        world.write("ups.status: OB\n")
        await world.clock.advance(LOOK)
        assert (world.wakes, await world.status()) == (1, "OB")
        world.path.unlink()
        await world.clock.advance(LOOK)
        assert world.wakes == 2


async def test_nothing_is_left_behind_when_it_ends(make: Callable[..., World]) -> None:
    for inotify in (True, False):
        world = make(inotify=inotify)
        world.write("ups.status: OL\nTIMER 5\n")
        before, tasks = len(os.listdir("/proc/self/fd")), asyncio.all_tasks()
        for _ in range(3):
            async with world.backend:
                await world.status()
                _rewrite(world)
                await world.clock.settle()
        await world.clock.settle()
        assert len(os.listdir("/proc/self/fd")) == before
        assert asyncio.all_tasks() == tasks


# Sequences


async def test_a_timer_wakes_the_driver_and_the_sequence_begins_anew(make: Callable[..., World]) -> None:
    world = make(name="ups.seq")
    world.write(SEQUENCE)
    async with world.backend:
        seen = []
        for wait in (0.0, 5.0, 2.5, 1.0, 5.0):
            await world.clock.advance(wait)
            seen.append((world.wakes, await world.status()))
        assert seen == [(0, "OL"), (1, "OB"), (2, "OB LB"), (3, "OL"), (4, "OB")]


async def test_polls_in_between_do_not_hurry_a_sequence(make: Callable[..., World]) -> None:
    world = make(name="ups.seq")
    world.write(SEQUENCE)
    async with world.backend:
        for _ in range(9):
            assert await world.status() == "OL"
            await world.clock.advance(0.5)
        assert world.wakes == 0


async def test_a_changed_sequence_begins_anew_but_not_one_that_was_only_touched(make: Callable[..., World]) -> None:
    world = make(name="ups.seq")
    world.write(SEQUENCE)
    async with world.backend:
        await world.status()
        await world.clock.advance(5)
        assert await world.status() == "OB"
        world.write(SEQUENCE)
        assert await world.status() == "OB"
        world.write("z: 1\n" + SEQUENCE)
        assert await world.status() == "OL"
        await world.clock.advance(5)
        assert await world.values() == {"z": "1", "x": "1"}


async def test_before_a_sequence_has_said_its_status_there_is_no_reading_but_it_goes_on(make: Callable[..., World]) -> None:
    world = make(name="ups.seq")
    world.write("a: 1\nTIMER 5\nups.status: OL\nTIMER 5\n")
    async with world.backend:
        with pytest.raises(DeviceError, match=r"no ups\.status"):
            await world.status()
        await world.clock.advance(5)
        assert (world.wakes, await world.status()) == (1, "OL")


# Clients

DECLARED = """\
ups.status: OL
UPS.id: rack
battery.charge: 100
battery.charge.low: 20
ups.beeper.status: enabled
#@ rw ups.id string 8
#@ rw Battery.charge.low range 1 99
#@ rw ups.beeper.status enum enabled disabled
#@ rw ups.absent string 8
#@ command load.off ups.status OFF
#@ command test.battery.start battery.charge 50 ups.test.result "Done" ups.id ""
"""


async def test_only_what_is_declared_can_be_set(make: Callable[..., World]) -> None:
    world = make()
    world.write(DECLARED)
    async with world.backend as backend:
        await backend.poll()
        assert backend.writable == {
            "UPS.id": Writable(maxlen=8),
            "battery.charge.low": Writable(ranges=((1, 99),)),
            "ups.beeper.status": Writable(enum=("enabled", "disabled")),
        }
        assert backend.commands == {"load.off", "test.battery.start"}
        world.write("ups.status: OL\n")
        await backend.poll()
        assert (backend.writable, backend.commands) == ({}, frozenset())


async def test_a_low_mark_fixed_by_lowbatt_cannot_be_set(served: Callable[..., tuple[World, Driver]]) -> None:
    world, driver = served(lowbatt=30.0)
    world.write(DECLARED)

    async def inside() -> None:
        assert _shown(driver, "battery.charge.low") == "30"
        assert await _requests(driver).set("battery.charge.low", "40") is Result.INVALID

    await _drive(driver, world.clock, inside)


async def test_a_set_value_holds_in_memory_until_the_file_changes_that_variable(make: Callable[..., World]) -> None:
    world = make()
    world.write(DECLARED)
    async with world.backend as backend:
        await backend.poll()
        await backend.set("UPS.id", "mine")
        assert (await world.values())["UPS.id"] == "mine"
        world.write(DECLARED.replace("battery.charge: 100", "battery.charge: 90"))
        assert (await world.values())["UPS.id"] == "mine"
        world.write(DECLARED.replace("UPS.id: rack", "UPS.id: desk"))
        assert (await world.values())["UPS.id"] == "desk"
        await backend.set("UPS.id", "")
        assert (await world.values())["UPS.id"] == ""
        assert "UPS.id" in backend.writable


async def test_a_command_sets_what_the_file_says(make: Callable[..., World]) -> None:
    world = make()
    world.write(DECLARED)
    async with world.backend as backend:
        await backend.poll()
        await backend.command("test.battery.start", None)
        values = await world.values()
        assert (values["battery.charge"], values["ups.test.result"]) == ("50", "Done")
        assert "UPS.id" not in values
        await backend.command("load.off", None)
        assert await world.status() == "OFF"
        world.write(DECLARED.replace("ups.status: OL", "ups.status: OL CHRG"))
        assert await world.status() == "OL CHRG"


async def test_commands_that_cannot_be_done_are_refused(make: Callable[..., World]) -> None:
    world = make()
    world.write(DECLARED)
    async with world.backend as backend:
        await backend.poll()
        for name, param, code in (("load.on", None, Result.UNKNOWN), ("load.off", "5", Result.INVALID)):
            with pytest.raises(CommandError) as caught:
                await backend.command(name, param)
            assert caught.value.code is code
        world.path.unlink()
        await world.clock.advance(QUIET)
        with pytest.raises(DeviceError):
            await backend.poll()
        with pytest.raises(CommandError) as caught:
            await backend.command("load.off", None)
        assert caught.value.code is Result.FAILED
        with pytest.raises(CommandError):
            await backend.shutdown()


# In the driver


@pytest.fixture
def served(make: Callable[..., World]) -> Iterator[Callable[..., tuple[World, Driver]]]:
    def build(**options: object) -> tuple[World, Driver]:
        world = make(**options)
        paths = Paths(*[None] * 4)  # type: ignore[arg-type]
        return world, Driver(Settings("u", "nutdrv_py", "dummy", Dummy, world.config, paths), world.backend, world.clock)

    yield build


async def _drive(driver: Driver, clock: FakeClock, story: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(driver.run())
    await clock.settle()
    try:
        await story()
    finally:
        driver.stop(at_once=True)
        await task


def _requests(driver: Driver) -> Requests:
    return Requests(driver, Reload(driver))


def _shown(driver: Driver, name: str = "ups.status") -> str | None:
    found = driver.snapshot.variables.get(name)
    return None if driver.snapshot.stale or found is None else found.value


async def test_a_change_is_served_within_two_tenths_of_a_second_however_long_the_poll_interval_is(
    served: Callable[..., tuple[World, Driver]],
) -> None:
    world, driver = served(pollinterval=60, maxage=600)
    world.write("ups.status: OL\n")

    async def inside() -> None:
        assert _shown(driver) == "OL"
        await world.clock.advance(7)
        _rewrite(world)
        await world.clock.settle()
        await world.clock.advance(0.2)
        assert _shown(driver) == "OB"

    await _drive(driver, world.clock, inside)


async def test_a_deleted_file_goes_stale_after_maxage_and_comes_back_at_once(
    served: Callable[..., tuple[World, Driver]], caplog: pytest.LogCaptureFixture
) -> None:
    world, driver = served()
    world.write("ups.status: OL\n")

    async def inside() -> None:
        world.path.unlink()
        await world.clock.advance(14)
        assert _shown(driver) == "OL"
        await world.clock.advance(3)
        assert driver.snapshot.stale
        world.write("ups.status: OB\n")
        await world.clock.advance(0.1)
        assert _shown(driver) == "OB"

    await _drive(driver, world.clock, inside)
    assert len(messages(caplog, "is not there")) == 1


async def test_a_sequence_is_served_in_its_own_time(served: Callable[..., tuple[World, Driver]]) -> None:
    world, driver = served(name="x.seq", pollinterval=60, maxage=600)
    world.write(SEQUENCE)

    async def inside() -> None:
        seen = [_shown(driver)]
        for wait in (4.9, 0.1, 2.5, 1.0, 5.0):
            await world.clock.advance(wait)
            await world.clock.advance(0.01)
            seen.append(_shown(driver))
        assert seen == ["OL", "OL", "OB", "OB LB", "OL", "OB"]

    await _drive(driver, world.clock, inside)


async def test_set_and_commands_reach_the_file_s_variables_through_the_driver(served: Callable[..., tuple[World, Driver]]) -> None:
    world, driver = served()
    world.write(DECLARED)

    async def inside() -> None:
        assert await _requests(driver).set("ups.id", "mine") is Result.HANDLED
        assert await _requests(driver).set("ups.id", "much too long") is Result.INVALID
        assert await _requests(driver).set("battery.charge.low", "0") is Result.INVALID
        assert await _requests(driver).set("battery.charge", "1") is Result.INVALID
        assert await _requests(driver).instcmd("LOAD.off", None) is Result.HANDLED
        assert await _requests(driver).instcmd("load.on", None) is Result.UNKNOWN
        await world.clock.settle()
        assert (_shown(driver, "UPS.id"), _shown(driver), _shown(driver, "battery.charge.low")) == ("mine", "OFF", "20")
        assert {"load.off", "test.battery.start"} <= driver.snapshot.commands

    await _drive(driver, world.clock, inside)
