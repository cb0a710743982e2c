# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py status``: what is on the screen, and what is not."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.commands import status
from nutdrv_py.commands.screen import Facts, Style, duration, headline, lines
from nutdrv_py.commands.sections import Section, Seen
from nutdrv_py.machine.paths import paths
from nutdrv_py.process.upsconf import UpsConf

NOON = time.mktime((2026, 6, 1, 14, 2, 0, 0, 0, -1))

GOOD = {
    "ups.status": "OL CHRG", "battery.charge": "80", "battery.charge.low": "20", "battery.runtime": "13200", "ups.load": "31",
    "input.realpower": "-1200.0", "experimental.pv.realpower": "3200.0", "experimental.storage.realpower": "-1400", "ups.realpower": "600",
    "input.L1-N.voltage": "231.2", "input.L1.realpower": "-400", "output.L1.realpower": "200", "experimental.data.age": "5",
}  # fmt: skip


def facts(variables: Mapping[str, str] | None = None, *, stale: bool = False, age: float | None = 5.0, since: float | None = None) -> Facts:
    return Facts("home", stale, GOOD if variables is None else variables, age, NOON, since)


@pytest.mark.parametrize(
    ("told", "runtime", "since", "words"),
    [
        ("OL", None, None, "On the grid"),
        ("OL CHRG", 13200, None, "On the grid, battery charging"),
        ("OB DISCHRG", 13200, NOON - 720, "On battery for 12 min, 3 h 40 min left, battery discharging"),
        ("OB", 13200, None, "On battery, 3 h 40 min left"),
        ("OB", None, None, "On battery"),
        ("OB LB", 59, None, "LOW BATTERY, on battery, 59 s left"),
        ("ALARM OL RB", None, None, "On the grid, battery needs replacement"),
        ("OFF", None, None, "Off: the house has no power"),
        ("OB OVER", None, None, "On battery, OVERLOAD"),
        ("WAIT", None, None, "Status WAIT"),
        ("", None, None, "Status unknown"),
    ],
)
def test_the_status_is_said_in_words_and_nothing_is_said_that_is_not_known(told: str, runtime: int | None, since: float | None, words: str) -> None:
    variables = {"ups.status": told, **({"battery.runtime": str(runtime)} if runtime is not None else {})}
    assert headline(facts(variables, since=since)) == words


def test_without_data_it_says_since_when_if_it_knows() -> None:
    assert headline(facts(stale=True, age=120)) == "No data since 14:00"
    assert headline(facts(stale=True, age=3 * 86400)) == "No data since 2026-05-29 14:02"
    assert headline(facts(stale=True, age=None)) == "No data"


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (13200, "3 h 40 min"), (7200, "2 h"), (187200, "2 d 4 h")])
def test_durations(seconds: int, words: str) -> None:
    assert duration(seconds) == words


def test_the_screen_shows_charge_power_flow_phases_and_age() -> None:
    assert lines(facts(), Style(72)) == [
        "home",
        "On the grid, battery charging",
        "Charge   [########|#######################--------]  80 %, low at 20 %",
        "Runtime  3 h 40 min",
        "Load     31 %",
        "Grid     <--   1200 W  sold",
        "Sun      -->   3200 W  made",
        "Battery  <--   1400 W  charging",
        "House    <--    600 W  used",
        "L1       231 V, grid -400 W, house 200 W",
        "Data     5 s old",
    ]


def test_box_characters_and_colour_come_only_where_they_can_be_shown() -> None:
    shown = "\n".join(lines(facts(), Style(72, colour=True, unicode=True)))
    assert "█" in shown
    assert "◀──" in shown
    assert "\033[" in shown


class Stream(io.StringIO):
    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__()
        self._terminal, self._encoding = terminal, encoding

    def isatty(self) -> bool:
        return self._terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


TERMINAL = {"TERM": "xterm", "LANG": "de_DE.UTF-8"}


@pytest.mark.parametrize(
    ("stream", "environ", "colour", "unicode"),
    [
        (Stream(terminal=True), TERMINAL, True, True),
        (Stream(terminal=True), {**TERMINAL, "NO_COLOR": "1"}, False, True),
        (Stream(terminal=True), {**TERMINAL, "TERM": "dumb"}, False, True),
        (Stream(terminal=False), TERMINAL, False, True),
        (Stream(terminal=True), {"TERM": "xterm", "LC_ALL": "C"}, True, False),
        (Stream(terminal=True), {"TERM": "xterm", "LC_CTYPE": "C.UTF-8"}, True, False),  # Python's own doing
        (Stream(terminal=True), {"TERM": "xterm", "LC_ALL": "C.UTF-8"}, True, True),
        (Stream(terminal=True, encoding="latin-1"), TERMINAL, True, False),
        (Stream(terminal=False), {}, False, False),
    ],
)
def test_the_terminals_abilities_are_honoured(stream: Stream, environ: dict[str, str], colour: bool, unicode: bool) -> None:
    style = Style.of(stream, environ)
    assert (style.colour, style.unicode) == (colour, unicode)


_NAMES = st.sampled_from([*GOOD, "ups.alarm", "input.L3-N.voltage", "output.L2.realpower"])
_VALUES = st.one_of(st.text(max_size=300), st.floats(allow_nan=True).map(str), st.integers().map(str), st.sampled_from(["OB LB", "OL", "1e308"]))


@given(st.dictionaries(_NAMES, _VALUES), st.booleans(), st.integers(40, 100), st.booleans(), st.one_of(st.none(), st.floats(0, 1e7)))
def test_whatever_a_driver_says_the_screen_fits_the_terminal_and_moves_no_cursor(
    variables: dict[str, str], stale: bool, width: int, unicode: bool, age: float | None
) -> None:
    shown = lines(Facts("home", stale, variables, age, NOON), Style(width, unicode=unicode))
    assert all(len(line) <= width and line.isprintable() for line in shown)
    if stale:
        assert len(shown) == 2


SECTION = Section("home", "nutdrv_py", UpsConf((), ()), paths())


def look(monkeypatch: pytest.MonkeyPatch, answer: Seen | OSError | None) -> Facts:
    def answered(path: object) -> Seen | None:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(status, "look", answered)
    return status.facts(SECTION)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (FileNotFoundError(), "upsdrvctl start home"),
        (ConnectionRefusedError(), "upsdrvctl start home"),
        (PermissionError(), "sudo"),
        (None, "upsdrvctl stop home; upsdrvctl start home"),
    ],
)
def test_without_a_driver_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch, answer: OSError | None, words: str) -> None:
    found = look(monkeypatch, answer)
    assert not found.good
    assert words in headline(found)


def test_stale_data_are_not_shown_and_passwords_of_other_drivers_never(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {**GOOD, "driver.name": "snmp-ups", "driver.parameter.password": "very-secret"}
    good = look(monkeypatch, Seen(False, variables))
    assert good.good
    stale = look(monkeypatch, Seen(True, variables))
    assert not stale.good
    assert set(stale.variables) == {"driver.name"}
    assert stale.age == 5
    assert "very-secret" not in str((good, stale, status._json([good, stale])))


def test_how_long_the_house_is_off_the_grid_is_only_known_to_who_saw_it_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    def after(*told: str | None) -> float | None:
        last: Facts | None = None
        for word in told:
            monkeypatch.setattr(status, "look", lambda path, word=word: Seen(word is None, {"ups.status": word or "OB"}))
            last = status.facts(SECTION, last)
        assert last is not None
        return last.since

    assert after("OB") is None
    assert after("OB", "OB") is None
    assert after("OL", "OL") is None
    assert after("OL", "OB") is not None
    assert after("OL", "OB", None, "OB LB") is not None
    assert after("OL", None, "OB") is None
    assert after("OL", "OB", "OL", "OL") is None
