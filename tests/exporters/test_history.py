# SPDX-License-Identifier: GPL-2.0-or-later
"""The last day: what is kept of each minute, what a restart and a clock that is set do to it, and the file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.core.telemetry import View
from nutdrv_py.device.reading import Status
from nutdrv_py.exporters.history import COLUMNS, DAY, MINUTE, Day, History, Minute, State, decode, encode
from nutdrv_py.exporters.page import file as module
from nutdrv_py.exporters.page.file import MOST, SAVE, HistoryFile
from tests.conftest import FakeClock, kinded


def view(status: str, *, charge: str = "80", **more: str) -> View:
    """A view of that status; none: stale."""
    values = {"battery.charge": charge, "ups.load": "10.0", "input.realpower": "-500.4", "experimental.pv.realpower": "900.0", **more}
    return View("u", "rct", not status, 0, None, kinded(values if status else {"driver.name": "x"}), Status.parse(status)[0], (), {})


def letters(history: History, last: int = 5) -> str:
    return str(encode(history.day())["states"])[-last:]


@pytest.mark.parametrize(
    ("seen", "letter"),
    [
        (("OL",), "g"), (("OB DISCHRG",), "b"), (("OB LB",), "l"), (("",), "-"), (("OFF",), "o"), (("OB OFF",), "b"), (("OL LB",), "g"),
        (("OL", "OB", "OL"), "b"), (("OB", "OB LB", "OL"), "l"), (("OL", "", "OL"), "-"), (("OB", ""), "b"), (("OFF", "OL"), "o"),
    ],
)  # fmt: skip
def test_a_minute_keeps_the_worst_state_so_that_a_short_outage_is_seen(clock: FakeClock, seen: tuple[str, ...], letter: str) -> None:
    history = History(clock)
    for status in seen:
        history.record(view(status))
    assert letters(history, 1) == letter


def test_a_minute_keeps_the_last_values_and_those_of_stale_data_never(clock: FakeClock) -> None:
    history = History(clock)
    history.record(view("OL", charge="80"))
    history.record(view("OL", charge="79"))
    assert history.day().minutes[-1] == Minute(State.GRID, (79.0, 10.0, -500.4, 900.0))
    history.record(view(""))
    assert history.day().minutes[-1] == Minute(State.NONE, (None,) * 4)


@pytest.mark.parametrize("text", ["", "n/a", "nan", "inf", "1e300", "-1e12"])
def test_what_is_no_sane_number_is_not_kept(clock: FakeClock, text: str) -> None:
    history = History(clock)
    history.record(view("OL", charge=text))
    assert history.day().minutes[-1] == Minute(State.GRID, (None, 10.0, -500.4, 900.0))


def test_a_minute_in_which_nothing_was_recorded_has_no_data(clock: FakeClock) -> None:
    history = History(clock)
    history.record(view("OL"))
    clock.now += 3 * MINUTE
    history.record(view("OL"))
    assert letters(history) == "-g--g"
    assert encode(history.day())["charge"][-4:] == [80, None, None, 80]  # type: ignore[index]


def test_more_than_a_day_is_not_kept_nor_is_more_memory_than_2_mb_taken(clock: FakeClock) -> None:
    tracemalloc.start()
    try:
        history = History(clock)
        for index in range(3 * DAY):
            clock.now += MINUTE
            history.record(view("OB" if index < 2 * DAY else "OL", charge=f"{index / 100}"))
        history.restore(Day(0, tuple(Minute(State.GRID, (index + 0.5,) * 4) for index in range(DAY))))
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
    assert letters(history, 2 * DAY) == "g" * DAY


def test_a_days_file_stays_small_whatever_the_values_are(clock: FakeClock) -> None:
    history = History(clock)
    for _ in range(DAY):
        clock.now += MINUTE
        history.record(view("OL", **{column.variable: "-999999999.9" for column in COLUMNS}))
    assert len(json.dumps(encode(history.day()))) < MOST


@pytest.mark.parametrize("jump", [-7200, -90, 90, 7200, 86400 * 365])
def test_a_clock_that_is_set_moves_no_minute_of_this_run(clock: FakeClock, jump: float) -> None:
    history = History(clock)
    for status in ("OB", "OL", "OL"):
        clock.now += MINUTE
        history.record(view(status))
    clock.wall_offset += jump
    assert letters(history) == "--bgg"
    day = history.day()
    assert abs((day.first + DAY) * MINUTE - clock.wall()) <= 1.5 * MINUTE


def test_an_earlier_run_is_shown_before_the_gap_and_never_over_this_run(clock: FakeClock) -> None:
    before = History(clock)
    for status in ("OB", "OL", "OL"):
        clock.now += MINUTE
        before.record(view(status))
    saved = before.day()
    later = FakeClock(clock.wall() + 2 * MINUTE)
    later.now, later.wall_offset = 50.0, later.wall() - 50.0
    history = History(later)
    history.restore(saved)
    history.record(view("OB LB"))
    assert letters(history, 6) == "-bgg-l"
    later.now += DAY * MINUTE
    assert set(letters(history, DAY)) == {"-"}, "a day later all is gone"


def test_what_an_earlier_run_says_of_times_after_the_start_of_this_one_is_left_out(clock: FakeClock) -> None:
    """The clock was set back while the driver was down."""
    history = History(clock)
    now = int(clock.wall() // MINUTE)
    history.restore(Day(now - 2, (Minute(State.LOW),) * 20))
    clock.now += 10 * MINUTE
    history.record(view("OL"))
    assert letters(history, 10) == "-" * 9 + "g"


# The columns

minutes = st.builds(
    Minute,
    st.sampled_from(State),
    st.tuples(*[st.none() | st.floats(-9.9e8, 9.9e8).map(lambda value, places=column.decimals: round(value, places)) for column in COLUMNS]),
)


@given(st.integers(0, 1 << 32), st.lists(minutes, max_size=50))
def test_a_day_comes_back_from_json_as_it_was(first: int, kept: list[Minute]) -> None:
    day = Day(first, tuple(kept))
    assert decode(json.loads(json.dumps(encode(day)))) == day


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.text("g-obl", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["from", "step", "states", "charge", "load", "grid", "pv"]), inner),
)


@given(plain)
def test_what_is_no_day_is_refused_with_a_sentence(data: object) -> None:
    try:
        day = decode(data)
    except ValueError:
        return
    assert all(value is None or abs(value) < 1e9 for minute in day.minutes if minute is not None for value in minute.values)


@given(st.binary(max_size=200) | plain.map(lambda data: json.dumps({"format": module.FORMAT, "version": 1, "saved": 5, "ups": data}).encode()))
def test_a_file_of_any_content_is_read_or_refused_with_a_sentence(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        module._days(data, 1e9)


# The file


async def until(test: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not test():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def kept(path: Path, clock: FakeClock, *, stop: bool = True) -> AsyncIterator[tuple[History, HistoryFile]]:
    history = History(clock)
    file = HistoryFile(path, {"u": history}, clock)
    task = asyncio.create_task(file.run())
    await until(lambda: file._readable)
    try:
        yield history, file
    finally:
        task.cancel()
        if stop:
            await file.stop()


async def test_the_day_survives_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "u.history"
    async with kept(path, clock) as (history, _):
        history.record(view("OB LB", charge="7"))
    clock.now += 2 * MINUTE
    async with kept(path, clock) as (history, _):
        history.record(view("OL"))
        assert letters(history) == "--l-g"
        assert encode(history.day())["charge"][-3] == 7  # type: ignore[index]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["u.history"]


async def test_the_file_is_written_every_ten_minutes_and_not_more_often(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "u.history"
    async with kept(path, clock) as (_, file):
        writes: list[float] = []
        real = file._write
        file._write = lambda data: (real(data), writes.append(clock.now))  # type: ignore[assignment]
        await clock.settle()
        for count in (1, 2, 3):
            await clock.advance(SAVE - 1)
            assert len(writes) == count - 1
            await clock.advance(1)
            await until(lambda count=count: len(writes) == count and not file._writing)
            await asyncio.sleep(0.05)
            await clock.settle()


GOOD = {"format": "nutdrv_py history", "version": 1, "saved": 1, "ups": {}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "damaged"), (b"\xff\xfe", "damaged"), (json.dumps(GOOD).encode()[:-5], "damaged"), (b"[" * 100_000, "damaged"),
        (b"[1, 2]", "something else"), (b'{"format": "other"}', "something else"),
        (json.dumps({**GOOD, "ups": 7}).encode(), "something else"), (json.dumps({**GOOD, "ups": {"u": 7}}).encode(), "no day of a UPS"),
        (json.dumps({**GOOD, "version": 2}).encode(), "a later version"),
        (json.dumps({**GOOD, "saved": 1_900_000_000}).encode(), "from the future"),
        (b" " * (MOST + 1), "too large"), (None, "Is a directory"),
    ],
)  # fmt: skip
async def test_a_file_that_cannot_be_used_is_passed_over_with_one_sentence_and_replaced(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, content: bytes | None, why: str
) -> None:
    path = tmp_path / "u.history"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    async with kept(path, clock) as (history, _):
        history.record(view("OB"))
        assert letters(history) == "----b"
    found = [record.message for record in caplog.records if "begins anew" in record.message]
    assert len(found) == 1
    assert why in found[0]
    assert str(path) in found[0]
    if content is not None:
        assert json.loads(path.read_bytes())["ups"]["u"]["states"].endswith("b")


async def test_no_file_is_no_trouble(tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    async with kept(tmp_path / "u.history", clock):
        pass
    assert not caplog.records


async def test_a_folder_that_cannot_be_written_is_told_once_and_so_is_the_recovery(tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "away"
    caplog.set_level("INFO")
    async with kept(folder / "u.history", clock) as (_, file):
        for _ in range(3):
            await file._save()
        folder.mkdir()
        await file._save()
    told = [record.message for record in caplog.records]
    assert sum("cannot be kept" in text for text in told) == 1
    assert sum("is kept in" in text and "again" in text for text in told) == 1


async def test_a_disk_that_hangs_delays_neither_the_driver_nor_its_end(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "u.history"
    path.write_bytes(before := json.dumps(GOOD).encode())
    release = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda descriptor: release.wait(30))

    async def story() -> None:
        async with kept(path, clock, stop=False) as (history, file):
            history.record(view("OL"))
        began = time.monotonic()
        await file.stop()
        await file.stop()
        assert time.monotonic() - began < 5

    began = time.monotonic()
    await story()
    assert time.monotonic() - began < 10, "asyncio does not wait for the thread either"
    assert path.read_bytes() == before, "half a file never takes the place of a whole one"
    release.set()


async def test_a_file_that_could_not_be_read_in_time_is_not_replaced_by_one_that_knows_less(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "u.history"
    path.write_bytes(before := json.dumps(GOOD).encode())
    release = threading.Event()
    file = HistoryFile(path, {"u": History(clock)}, clock)
    monkeypatch.setattr(file, "_read", lambda: release.wait(30))
    task = asyncio.create_task(file.run())
    await clock.settle()
    task.cancel()
    await file.stop()
    release.set()
    assert path.read_bytes() == before


HANGS = """
import asyncio, os, sys, threading
from pathlib import Path
from nutdrv_py.clock import Clock
from nutdrv_py.exporters.history import History
from nutdrv_py.exporters.page.file import HistoryFile

async def story():
    file = HistoryFile(Path(sys.argv[1]), {"u": History(Clock())}, Clock())
    task = asyncio.create_task(file.run())
    while not file._readable:
        await asyncio.sleep(0.01)
    task.cancel()
    os.fsync = lambda descriptor: threading.Event().wait()
    await file.stop()
    print("ended", flush=True)

asyncio.run(story())
"""


def test_a_process_whose_disk_hangs_ends_all_the_same(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HANGS, tmp_path / "u.history"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr
