# SPDX-License-Identifier: GPL-2.0-or-later
"""Dump and diff: what a client holds after any history is what a dump would have told it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.nut import messages as m
from nutdrv_py.nut.connection import encode
from nutdrv_py.nut.parseconf import Line, Reader
from nutdrv_py.nut.snapshot import Flag, Snapshot, Variable, diff, dump


@dataclass
class Upsd:
    """What upsd's state tree makes of the lines: enough of server/sstate.c and common/state.c to be a judge."""

    values: dict[str, str] = field(default_factory=dict)
    flags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    aux: dict[str, int] = field(default_factory=dict)
    enums: dict[str, list[str]] = field(default_factory=dict)
    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    commands: set[str] = field(default_factory=set)
    ok: bool = False

    def hear(self, messages: Iterable[m.Message]) -> Upsd:
        for item in Reader().feed(b"".join(message.encode() for message in messages)):
            assert isinstance(item, Line)
            self._line(m.parse_message(item.words))
        return self

    def _line(self, message: m.Message | None) -> None:
        match message:
            case m.SetInfo(name, value):
                self.values[name] = value
            case m.DelInfo(name):
                del self.values[name]
                for table in (self.flags, self.aux, self.enums, self.ranges):
                    table.pop(name, None)
            case m.SetFlags(name, flags):
                assert name in self.values
                assert flags
                self.flags[name] = flags
            case m.SetAux(name, maxlen):
                assert name in self.values
                self.aux[name] = maxlen
                if not maxlen:
                    del self.aux[name]
            case m.AddEnum(name, value):
                assert name in self.values
                assert value not in self.enums.get(name, [])
                self.enums.setdefault(name, []).append(value)
            case m.DelEnum(name, value):
                self.enums[name].remove(value)
                if not self.enums[name]:
                    del self.enums[name]
            case m.AddRange(name, low, high):
                assert name in self.values
                assert all(low != a and high != b for a, b in self.ranges.get(name, []))
                self.ranges.setdefault(name, []).append((low, high))
            case m.DelRange(name, low, high):
                self.ranges[name].remove((low, high))
                if not self.ranges[name]:
                    del self.ranges[name]
            case m.AddCmd(name):
                self.commands.add(name)
            case m.DelCmd(name):
                self.commands.remove(name)
            case m.DataOk():
                self.ok = True
            case m.DataStale():
                self.ok = False
            case m.DumpDone():
                pass
            case _:
                raise AssertionError(message)


texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
ranges = st.lists(st.integers(0, 50), min_size=0, max_size=6, unique=True).map(
    lambda numbers: tuple(zip(sorted(numbers)[::2], sorted(numbers)[1::2], strict=False))
)


@st.composite
def variables(draw: st.DrawFn) -> Variable:
    kind = draw(st.sampled_from(["plain", "string", "enum", "range", "number"]))
    value = draw(texts)
    match kind:
        case "string":
            return Variable(value, Flag.RW | Flag.STRING, maxlen=draw(st.integers(1, 99)))
        case "enum":
            return Variable(value, Flag.RW | Flag.STRING, maxlen=9, enum=tuple(draw(st.lists(texts, max_size=4, unique=True))))
        case "range":
            return Variable(value, Flag.RW | Flag.NUMBER, ranges=draw(ranges))
        case "number":
            return Variable(value, Flag.NUMBER)
    return Variable(value)


snapshots = st.builds(
    Snapshot,
    st.dictionaries(st.sampled_from(["ups.status", "ups.model", "battery.charge", "b", "ups.alarm", "z.Z"]), variables()),
    st.frozensets(st.sampled_from(["load.off", "driver.exit", "x.y"])),
    st.booleans(),
)


@given(st.lists(snapshots, min_size=1, max_size=6))
def test_any_history_of_diffs_adds_up_to_the_dump(history: list[Snapshot]) -> None:
    client = Upsd().hear(dump(history[0]))
    for old, new in itertools.pairwise(history):
        client.hear(diff(old, new))
    assert client == Upsd().hear(dump(history[-1]))


@given(snapshots)
def test_what_did_not_change_is_not_told(snapshot: Snapshot) -> None:
    assert list(diff(snapshot, snapshot)) == []


def test_a_dump_is_ordered_as_a_c_driver_orders_it() -> None:
    snapshot = Snapshot(
        {
            "ups.status": Variable("OL"),
            "ups.delay": Variable("20", Flag.RW | Flag.NUMBER, ranges=((0, 5), (10, 20))),
            "Battery.x": Variable("b", Flag.RW | Flag.STRING, maxlen=8, enum=("b", "a")),
        },
        frozenset({"load.off", "driver.exit"}),
        stale=False,
    )
    assert encode(dump(snapshot)).decode().splitlines() == [
        'SETINFO Battery.x "b"', 'ADDENUM Battery.x "b"', 'ADDENUM Battery.x "a"', "SETAUX Battery.x 8",
        "SETFLAGS Battery.x RW STRING",
        'SETINFO ups.delay "20"', "ADDRANGE ups.delay 0 5", "ADDRANGE ups.delay 10 20", "SETFLAGS ups.delay RW NUMBER",
        'SETINFO ups.status "OL"',
        "ADDCMD driver.exit", "ADDCMD load.off", "DATAOK", "DUMPDONE",
    ]  # fmt: skip


def test_a_stale_dump_says_so_first_and_has_no_dataok() -> None:
    lines = encode(dump(Snapshot({"a": Variable("1")}))).decode().splitlines()
    assert lines[0] == "DATASTALE"
    assert lines[-1] == "DUMPDONE"
    assert "DATAOK" not in lines


def test_one_variable_is_dumped_in_any_case_and_an_unknown_one_is_empty() -> None:
    snapshot = Snapshot({"ups.status": Variable("OL")}, stale=False)
    assert encode(dump(snapshot, "UPS.Status")) == b'SETINFO ups.status "OL"\nDATAOK\nDUMPDONE\n'
    assert encode(dump(snapshot, "nothing")) == b"DATAOK\nDUMPDONE\n"


def test_an_alarm_is_told_before_the_status_that_names_it() -> None:
    old = Snapshot({"ups.status": Variable("OL")}, stale=False)
    new = Snapshot({"ups.status": Variable("ALARM OL"), "ups.alarm": Variable("[x]")}, stale=False)
    assert encode(diff(old, new)) == b'SETINFO ups.alarm "[x]"\nSETINFO ups.status "ALARM OL"\n'


def test_stale_comes_first_and_ok_comes_last() -> None:
    ok, stale = Snapshot({"a": Variable("1")}, stale=False), Snapshot({"a": Variable("2")}, stale=True)
    assert next(diff(ok, stale)) == m.DataStale()
    assert list(diff(stale, ok))[-1] == m.DataOk()


@pytest.mark.parametrize(
    "arguments",
    [
        {"ranges": ((0, 1),)},
        {"flags": Flag.RW | Flag.STRING},
        {"flags": Flag.NUMBER, "ranges": ((5, 1),)},
    ],
)
def test_a_variable_that_upsd_would_refuse_cannot_be_made(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Variable("1", **arguments)  # type: ignore[arg-type]
