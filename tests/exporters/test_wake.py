# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines are woken after an outage that was seen, only those that were up in it, never on battery, and not for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.core.telemetry import Source
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.errors import ConfigError
from nutdrv_py.exporters import exporting, wake
from nutdrv_py.exporters.config import Machine, Page, Wake
from nutdrv_py.exporters.config_file import read_exports
from nutdrv_py.exporters.page import PageExporter
from nutdrv_py.exporters.wake import TICK, WakeExporter
from nutdrv_py.exporters.wake.memory import KEPT, packed, unpacked
from nutdrv_py.exporters.wake.net import answers, magic, send
from nutdrv_py.exporters.wake.rules import EACH, LONGEST, OFF_GRID, STEADY, Grid, Look, State, Wanted, after, asked, progress
from tests.conftest import FakeClock
from tests.core.test_driver import World
from tests.exporters.test_page import Routes

NAS = Machine(name="nas", mac="00:11:22:33:44:55", answers="192.168.1.10:22")
RACK = Machine(name="rack", mac="00-11-22-33-44-66", answers="192.168.1.11:22", above=80)
OPTIONS = Wake(machines=(NAS, RACK), above=40, after=100, interval=60, attempts=3)
UP = State({"nas": Wanted(), "rack": Wanted()})
"""Both were up in an outage that goes on."""

ON, OFF, UNKNOWN = Grid


def look(at: float, grid: Grid = ON, charge: float | None = 90, low: float | None = 20, **up: bool) -> Look:
    return Look(at, grid, charge, low, up)


def played(state: State, *looks: Look, options: Wake = OPTIONS) -> tuple[State, list[tuple[float, str]]]:
    """Return the last state, and each packet with its time."""
    sent = []
    for one in looks:
        state, packets = after(state, one, options)
        sent += [(one.at, machine.name) for machine in packets]
    return state, sent


# The rules


def test_without_an_outage_nobody_is_asked_or_waked() -> None:
    state, sent = played(State(), *(look(at, nas=False, rack=False) for at in range(0, 1000, 5)))
    assert not sent
    assert asked(state, ["nas", "rack"], ON, 1000, {}) == []


def test_a_machine_that_was_off_before_the_outage_stays_off() -> None:
    outage = [look(at, OFF, nas=True, rack=False) for at in (0, 5, 10)]
    _, sent = played(State(), *outage, *(look(at, nas=False, rack=False) for at in range(20, 1000, 15)))
    assert {name for _, name in sent} == {"nas"}
    assert len(sent) == OPTIONS.attempts


def test_one_answer_in_the_outage_is_enough_and_ends_the_questions() -> None:
    state, _ = played(State(), look(0, OFF, nas=False, rack=True))
    assert asked(state, ["nas", "rack"], OFF, OFF_GRID, {"nas": 0, "rack": 0}) == ["nas"]
    state, _ = played(state, look(5, OFF, nas=True))
    assert asked(state, ["nas", "rack"], OFF, 1000, {}) == []
    # On the grid those that wait are asked, more rarely.
    state, _ = played(state, look(10))
    assert asked(state, ["nas", "rack"], ON, 10 + EACH, {"nas": 10, "rack": 11}) == ["nas"]
    assert asked(state, ["nas"], UNKNOWN, 1000, {}) == []


def test_packets_begin_when_the_grid_has_been_back_and_go_on_at_the_interval_up_to_their_number() -> None:
    _, sent = played(UP, *(look(at, nas=False) for at in range(1000, 3000, 5)))
    assert sent == [(1100, "nas"), (1160, "nas"), (1220, "nas")]


@pytest.mark.parametrize(
    "one",
    [
        look(1100, OFF, nas=False),
        look(1100, UNKNOWN, nas=False),
        look(1100, charge=39.9, nas=False),
        look(1100, charge=None, nas=False),
        look(1100, charge=60, low=60, nas=False),
        look(1099.9, nas=False),
        look(1100),
        look(1100, nas=True),
    ],
)
def test_no_packet_on_battery_with_stale_data_a_low_or_unknown_charge_too_soon_or_to_one_that_answers(one: Look) -> None:
    began = look(1000, nas=False)
    assert played(UP, began, look(1100, nas=False))[1] == [(1100, "nas")]
    assert played(UP, began, one)[1] == []


def test_a_machine_may_have_a_mark_of_its_own_and_a_mark_of_0_needs_no_charge() -> None:
    began = look(0, nas=False, rack=False)
    assert played(UP, began, look(100, charge=79, nas=False, rack=False))[1] == [(100, "nas")]
    assert played(UP, began, look(100, charge=80, nas=False, rack=False))[1] == [(100, "nas"), (100, "rack")]
    free = replace(OPTIONS, above=0)
    assert played(UP, began, look(100, charge=None, low=None, nas=False, rack=False), options=free)[1] == [(100, "nas")]


@pytest.mark.parametrize("gap", [OFF, UNKNOWN])
def test_a_grid_that_goes_again_must_be_back_anew(gap: Grid) -> None:
    _, sent = played(UP, look(0, nas=False), look(90, gap), look(100, nas=False), look(199, nas=False), look(200, nas=False))
    assert sent == [(200, "nas")]


def test_a_machine_that_still_shuts_down_while_the_grid_is_back_is_waked_when_it_is_off() -> None:
    shutting = [look(at, nas=True) for at in range(0, 240, 15)]
    _, sent = played(UP, *shutting, *(look(at, nas=False) for at in range(240, 600, 15)))
    assert sent[0] == (240, "nas")


def test_a_machine_that_has_answered_long_enough_is_done_and_may_be_switched_off() -> None:
    back = [look(at, nas=True) for at in range(0, int(STEADY) + 1, 15)]
    state, sent = played(State({"nas": Wanted()}), *back, *(look(at, nas=False) for at in range(400, 2000, 15)))
    assert not sent
    assert not state.wanted
    assert state.ended is None


def test_a_machine_that_does_not_wake_up_in_a_day_is_forgotten() -> None:
    low = [look(at, charge=10, nas=False) for at in (0, LONGEST)]
    assert played(State({"nas": Wanted()}), *low, look(LONGEST + 1, nas=False))[1] == []
    assert played(State({"nas": Wanted()}), *low[:1], look(LONGEST, nas=False))[1] == [(LONGEST, "nas")]


def test_packets_that_were_spent_are_not_given_back_by_a_short_outage_but_by_an_answer_in_one() -> None:
    spent = State({"nas": Wanted(3)})
    again = [look(0, OFF, nas=False), *(look(at, nas=False) for at in range(10, 1000, 15))]
    assert played(spent, *again)[1] == []
    assert len(played(spent, look(0, OFF, nas=True), *again)[1]) == 3


def test_a_second_outage_does_not_count_answers_of_before_it() -> None:
    state, _ = played(UP, look(0, nas=True), look(300, OFF, nas=False), look(310, nas=True))
    assert state.wanted["nas"].since == 310


def test_machines_that_were_taken_from_the_file_are_forgotten() -> None:
    state, sent = played(State({"gone": Wanted()}), look(0), look(100, gone=False))
    assert not sent
    assert not state.wanted


_looks = st.lists(
    st.tuples(
        st.sampled_from([1.0, 5.0, 15.0, 61.0, 110.0]),
        st.sampled_from(Grid),
        st.sampled_from([None, 10.0, 45.0, 90.0]),
        st.fixed_dictionaries({}, optional={"nas": st.booleans(), "rack": st.booleans()}),
    ),
    max_size=60,
)


@given(_looks, st.booleans())
def test_whatever_happens_packets_are_few_late_enough_and_for_those_that_were_up(
    steps: Sequence[tuple[float, Grid, float | None, dict[str, bool]]], restarts: bool
) -> None:
    state, at = State(), 0.0
    seen: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    last: dict[str, float] = {}
    since: float | None = None
    for pause, grid, charge, up in steps:
        at += pause
        if restarts:
            state = unpacked(packed(state, at, 1e9 + at), at, 1e9 + at)
            since = None
            last = {}
        one = Look(at, grid, charge, 20, up)
        since = (at if since is None else since) if grid is ON else None
        state, packets = after(state, one, OPTIONS)
        for name, answer in up.items():
            if grid is OFF and answer:
                seen[name] += 1
                spent[name] = 0
        for machine in packets:
            name = machine.name
            spent[name] += 1
            assert grid is ON
            assert since is not None and at - since >= OPTIONS.after
            assert charge is not None and charge >= (machine.above or OPTIONS.above)
            assert seen[name]
            assert up[name] is False
            assert spent[name] <= OPTIONS.attempts
            assert at - last.get(name, float("-inf")) >= OPTIONS.interval
            last[name] = at


@pytest.mark.parametrize(
    ("state", "one", "text", "waits"),
    [
        (State(), look(0), "nothing to do", False),
        (State({"nas": Wanted()}), look(0, OFF), "was up in this outage", True),
        (State({"nas": Wanted()}), look(0, UNKNOWN), "waits for the grid", True),
        (State({"nas": Wanted()}, 0, 0), look(50), "waits until the grid has been back for 100 s", True),
        (State({"nas": Wanted()}, 0, 0), look(100, charge=10), "waits until the charge is 40 %", True),
        (State({"nas": Wanted()}, 0, 0), look(100, charge=None), "waits for a charge: the device publishes none", True),
        (State({"nas": Wanted(1)}, 0, 0), look(100), "is being woken", True),
        (State({"nas": Wanted(1, since=90)}, 0, 0), look(100), "answers", True),
        (State({"nas": Wanted(3)}, 0, 0), look(100), "does not wake up", True),
    ],
)
def test_how_far_each_machine_is_can_be_read(state: State, one: Look, text: str, waits: bool) -> None:
    found = progress(state, one, OPTIONS)[0]
    assert (found.name, found.text, found.waits) == ("nas", text, waits)


# What is kept


def test_what_waits_survives_a_restart_with_its_packets_and_its_day() -> None:
    state = State({"nas": Wanted(2, at=500), "rack": Wanted()}, 400, 400)
    found = unpacked(packed(state, 1000, 2e9), 50, 2e9 + 100)
    assert found == State({"nas": Wanted(2), "rack": Wanted()}, None, 50 - 700)


def test_an_outage_that_outlasts_the_driver_ends_after_its_restart() -> None:
    data = packed(State({"nas": Wanted()}), 1000, 2e9)
    assert unpacked(data, 0, 2e9 + 3 * 86400).wanted
    assert not unpacked(data, 0, 2e9 + KEPT + 1).wanted


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    state = State({"nas": Wanted()}, 1000, 1000)
    assert unpacked(packed(state, 1000, 2e9), 7, 1e9) == State({"nas": Wanted()}, None, 7)


GOOD = json.loads(packed(State({"nas": Wanted(1)}, 5, 5), 5, 2e9))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"\xff", b"[" * 10_000, b"null",
        *(json.dumps({**GOOD, **wrong}).encode() for wrong in (  # type: ignore[var-annotated]
            {"version": 2}, {"format": "x"}, {"saved": "now"}, {"saved": -1}, {"ended": "x"}, {"ended": True}, {"ended": -5},
            {"machines": []}, {"machines": {"nas": -1}}, {"machines": {"nas": "3"}}, {"machines": {"nas": True}}, {"machines": {"nas": 1e9}},
        )),
        json.dumps({**GOOD, "ended": float("nan")}).encode(),
        json.dumps({**GOOD, "saved": float("inf")}).encode(),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(data, 0, 2e9)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reading_of_the_file(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        unpacked(data, 0, 2e9)


# The configuration

ONE = "{name: nas, mac: '00:11:22:33:44:55', answers: '192.168.1.10:22'}"


def test_the_section_is_read_with_its_machines(tmp_path: Path) -> None:
    path = tmp_path / "exporters.yml"
    path.write_text(
        f"wake:\n  above: 60\n  machines:\n    - {ONE}\n    - {{name: off, enable: false}}\n"
        "    - {name: rack, mac: 00-11-22-AA-BB-CC, answers: '[fd00::5]:22', above: 80}\n"
    )
    found = read_exports(path).wake
    assert found is not None
    assert [(one.name, one.above) for one in found.machines] == [("nas", None), ("rack", 80)]
    assert (found.above, found.after, found.interval, found.attempts, found.broadcast, found.port) == (60, 300, 60, 10, "255.255.255.255", 9)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("wake:\n", "wake.machines must name 1 to 50 machines"),
        ("wake: {machines: []}\n", "wake.machines must name 1 to 50 machines"),
        ("wake: {machines: nas}\n", "wake.machines must be a list"),
        ("wake: {machines: [nas]}\n", "must hold lines of the form key: value"),
        (f"wake: {{machines: [{ONE}, {ONE}]}}\n", "two machines of the name nas"),
        (f"wake: {{machine: [{ONE}]}}\n", "did you mean machines?"),
        (f"wake: {{machines: [{ONE.replace('mac', 'mack')}]}}\n", "did you mean mac?"),
        (f"wake: {{machines: [{ONE.replace('nas', 'my nas')}]}}\n", "name must be 1 to 40 letters"),
        (f"wake: {{machines: [{ONE.replace(':55', '')}]}}\n", "mac of nas is not that of a network card"),
        (f"wake: {{machines: [{ONE.replace('00:11:22:33:44:55', '00:00:00:00:00:00')}]}}\n", "mac of nas is not"),
        (f"wake: {{machines: [{ONE.replace('00:11', '01:11')}]}}\n", "mac of nas is not"),
        (f"wake: {{machines: [{ONE.replace('192.168.1.10:22', 'nas.lan:22')}]}}\n", "must hold an address, such as 192.168.1.10, not a name"),
        (f"wake: {{machines: [{ONE.replace(':22', ':0')}]}}\n".replace("0:33", "22:33"), "an address and a TCP port, such as 192.168.1.10:22"),
        (f"wake: {{machines: [{ONE.replace('.10:22', '.10')}]}}\n", "an address and a TCP port, such as 192.168.1.10:22"),
        (f"wake: {{broadcast: lan, machines: [{ONE}]}}\n", "broadcast must hold an IPv4 address"),
        (f"wake: {{broadcast: 'ff02::1', machines: [{ONE}]}}\n", "broadcast must hold an IPv4 address"),
        (f"wake: {{attempts: 1000, machines: [{ONE}]}}\n", "wake.attempts is 1000; it must be 1 to 100"),
        (f"wake: {{above: 101, machines: [{ONE}]}}\n", "wake.above is 101.0; it must be 0 to 100"),
    ],
)
def test_a_section_that_cannot_work_is_refused_with_file_and_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "exporters.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_exports(path)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"{path}:1: ")


# The network


def test_a_packet_arrives_by_broadcast_on_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.255.255.255", 0))
        receiver.settimeout(5)
        send(NAS.mac, "127.255.255.255", receiver.getsockname()[1])
        data = receiver.recv(1024)
    assert data == magic(RACK.mac.replace("66", "55")) == b"\xff" * 6 + b"\x00\x11\x22\x33\x44\x55" * 16


async def test_a_machine_answers_when_it_takes_or_refuses_a_connection_and_not_when_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake.net, "ANSWER", 0.2)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await answers(f"127.0.0.1:{port}")
    server.close()
    await server.wait_closed()
    assert await answers(f"127.0.0.1:{port}")
    # A queue that is full takes and refuses nothing, as a machine that is off.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            assert not await answers(f"127.0.0.1:{full.getsockname()[1]}")


# All together


class Woken:
    """The exporter with a house that the test speaks for, machines that it switches, and a UDP receiver on loopback."""

    def __init__(self, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.folder = clock, folder
        self.up = {"192.168.1.10:22": True, "192.168.1.11:22": False}
        self.asked: Counter[str] = Counter()
        self.on_answer: Callable[[], None] = lambda: None
        self.world = World(clock, maxage=20)
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind(("127.255.255.255", 0))
        self.receiver.setblocking(False)
        self.options = replace(OPTIONS, broadcast="127.255.255.255", port=self.receiver.getsockname()[1])
        monkeypatch.setattr(wake, "answers", self._answers)

    async def _answers(self, place: str) -> bool:
        self.asked[place] += 1
        self.on_answer()
        return self.up[place]

    def say(self, status: Status, charge: float = 90) -> None:
        self.world.device.answer = Reading({"battery.charge": charge, "battery.charge.low": 20}, status)

    async def outage(self) -> None:
        """The NAS is up in an outage, and goes down in it; then the grid is back."""
        self.say(Status.OB)
        await self.pass_time(10)
        self.up["192.168.1.10:22"] = False
        self.say(Status.OL)

    async def exporter(self) -> WakeExporter:
        made = WakeExporter([Source(self.world.driver)], self.options, self.clock, self.folder)
        await made.start()
        await self.pass_time(0)
        return made

    async def pass_time(self, seconds: float) -> None:
        """Move the clock; threads that read or write the file get the moment they need."""
        while True:
            for _ in range(3):
                await asyncio.sleep(0.002)
                await self.clock.settle()
            if seconds <= 0:
                return
            await self.clock.advance(min(TICK, seconds))
            seconds -= TICK

    def packets(self) -> int:
        count = 0
        while True:
            try:
                assert self.receiver.recv(1024) == magic(NAS.mac)
            except BlockingIOError:
                return count
            count += 1


async def test_a_machine_that_went_down_in_an_outage_is_waked_over_a_restart_and_shown(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    woken = Woken(clock, tmp_path, monkeypatch)
    async with woken.world:
        made = await woken.exporter()
        await woken.pass_time(60)
        assert not woken.asked, "on the grid nobody is asked"
        woken.say(Status.OB)
        await woken.pass_time(10)
        woken.up["192.168.1.10:22"] = False
        await woken.pass_time(30)
        assert [row.text for row in made.progress] == ["was up in this outage", "nothing to do"]
        await made.stop()
        woken.say(Status.OL | Status.CHRG, 35)
        made = await woken.exporter()
        await woken.pass_time(300)
        assert made.progress[0].text == "waits until the charge is 40 %"
        assert woken.packets() == 0
        woken.say(Status.OL | Status.CHRG, 41)
        await woken.pass_time(100)
        assert woken.packets() == 2
        page = Routes()
        PageExporter(made.sources, Page(), page, clock, tmp_path, made)
        assert page.json("/status.json")["wake"] == [
            {"name": "nas", "waits": True, "sent": 2, "text": "is being woken"},
            {"name": "rack", "waits": False, "sent": 0, "text": "nothing to do"},
        ]
        assert made.sent == {"nas": 2, "rack": 0}
        woken.up["192.168.1.10:22"] = True
        await woken.pass_time(STEADY + 60)
        assert made.progress[0].text == "nothing to do"
        assert woken.packets() == 0
        await made.stop()
        # Nothing is left to do after another restart.
        woken.up["192.168.1.10:22"] = False
        made = await woken.exporter()
        await woken.pass_time(400)
        assert woken.packets() == 0
        await made.stop()
    told = [record.getMessage() for record in caplog.records]
    assert "nas was up in an outage before this start; 0 magic packets were sent to it" in told
    assert told.count("nas is up again after the outage") == 1
    assert "Waking nas: magic packet 1 of 3 to 127.255.255.255" in told


async def test_a_grid_that_goes_while_a_machine_is_asked_gets_no_packet(clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    woken = Woken(clock, tmp_path, monkeypatch)
    async with woken.world:
        made = await woken.exporter()
        await woken.outage()
        await woken.pass_time(90)
        views = [source.view() for source in made.sources]

        def lost() -> None:
            gone = replace(views[0], status=Status.OB, stale=False)
            monkeypatch.setattr(made.sources[0], "view", lambda: gone)

        woken.on_answer = lost
        await woken.pass_time(60)
        assert woken.packets() == 0
        await made.stop()


async def test_one_that_does_not_wake_up_is_told_once_with_what_to_look_at(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    woken = Woken(clock, tmp_path, monkeypatch)
    async with woken.world:
        made = await woken.exporter()
        await woken.outage()
        await woken.pass_time(800)
        assert woken.packets() == 3
        assert made.progress[0].text == "does not wake up"
        await made.stop()
    told = [record.getMessage() for record in caplog.records if "does not wake up" in record.getMessage()]
    assert len(told) == 1
    assert "BIOS" in told[0]


@pytest.mark.parametrize("content", [b"junk", b"x" * 100_000])
async def test_a_file_that_cannot_be_used_is_logged_and_the_next_outage_works(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "nutdrv_py-u.wake").write_bytes(content)
    woken = Woken(clock, tmp_path, monkeypatch)
    async with woken.world:
        made = await woken.exporter()
        woken.say(Status.OB)
        await woken.pass_time(10)
        assert made.progress[0].waits
        await made.stop()
    assert json.loads((tmp_path / "nutdrv_py-u.wake").read_bytes())["machines"] == {"nas": 0}
    assert any("cannot be used" in record.getMessage() for record in caplog.records)


async def test_a_disk_that_hangs_keeps_neither_the_start_nor_a_packet_waiting(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    monkeypatch.setattr(wake, "SAVE", 0.01)
    monkeypatch.setattr(wake, "read", lambda *words: release.wait(30))
    monkeypatch.setattr(wake, "replace", lambda *words: release.wait(30))
    woken = Woken(clock, tmp_path, monkeypatch)
    try:
        async with woken.world:
            made = await woken.exporter()
            await asyncio.sleep(0.05)
            await woken.outage()
            for _ in range(40):
                await woken.pass_time(TICK)
                await asyncio.sleep(0.02)
            assert woken.packets()
            await made.stop()
    finally:
        release.set()
    told = [record.getMessage() for record in caplog.records]
    assert len([text for text in told if "(no answer)" in text]) == 2


async def test_a_network_that_takes_no_packet_is_one_line_in_the_log(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*words: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(wake, "send", refuse)
    woken = Woken(clock, tmp_path, monkeypatch)
    async with woken.world:
        made = await woken.exporter()
        await woken.outage()
        await woken.pass_time(800)
        assert made.sent["nas"] == 3
        await made.stop()
    assert len([record for record in caplog.records if "no magic packet can be sent" in record.getMessage()]) == 1


async def test_with_several_devices_the_worst_counts(clock: FakeClock, tmp_path: Path) -> None:
    first, second = World(clock), World(clock)
    async with first, second:
        made = WakeExporter([Source(first.driver), Source(second.driver)], OPTIONS, clock, tmp_path)
        first.device.answer = Reading({"battery.charge": 80, "battery.charge.low": 10}, Status.OL)
        second.device.answer = Reading({"battery.charge": 50, "battery.charge.low": 30}, Status.OL)
        await clock.advance(5)
        assert made._look({}) == Look(clock.monotonic(), ON, 50, 30, {})
        second.device.answer = Reading({}, Status.OL)
        await clock.advance(5)
        assert made._look({}).charge is None
        second.device.answer = Reading({}, Status.OB)
        await clock.advance(5)
        assert made._look({}).grid is OFF


@pytest.mark.parametrize(
    ("status", "grid"), [("OL", ON), ("OL CHRG", ON), ("OB", OFF), ("OB LB", OFF), ("FSD OL", UNKNOWN), ("OL OFF", UNKNOWN), ("OFF", UNKNOWN)]
)
def test_the_grid_is_there_only_when_nothing_speaks_against_it(status: str, grid: Grid) -> None:
    assert wake._grid(False, Status.parse(status)[0]) is grid
    assert wake._grid(True, Status.parse(status)[0]) is UNKNOWN


def test_the_log_says_at_the_start_what_will_be_waked(tmp_path: Path) -> None:
    path = tmp_path / "exporters.yml"
    path.write_text(f"wake: {{machines: [{ONE}]}}\n")
    assert exporting.places(read_exports(path)) == ["magic packets to 255.255.255.255:9 for nas after an outage"]
