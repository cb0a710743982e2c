# SPDX-License-Identifier: GPL-2.0-or-later
"""The one decision that must be right, as a table of stories: evidence poll by poll, and what the house is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.backends.rct.grid import RETURNED, Evidence, GridWatch

NOMINAL = 230.0
ALIVE = (229.0, 231.0, 230.0)
DEAD = (2.0, 0.0, 4.0)

BOTH = Evidence(flag=2, voltages=ALIVE)
ON = Evidence(flag=2)
OFF = Evidence(flag=3)
NOTHING = Evidence()


def follow(evidence: list[Evidence], step: float = 2.0) -> list[bool | None]:
    watch = GridWatch()
    found = []
    for index, one in enumerate(evidence):
        watch.update(one, NOMINAL, 100.0 + index * step)
        found.append(watch.off_grid)
    return found


@pytest.mark.parametrize(
    ("flag", "off"),
    [(0, False), (1, True), (2, False), (3, True), (4, None), (512, None), (0xFFFE, None), (0xFFFF, None)],
)
def test_only_bit_0_of_the_flag_is_the_island_and_unknown_bits_say_nothing(flag: int, off: bool | None) -> None:
    assert follow([Evidence(flag=flag)] * 2)[-1] is off


@pytest.mark.parametrize(
    ("voltages", "off"),
    [
        ((0.0, 0.0, 0.0), True),
        ((183.0, 183.0, 183.0), True),
        ((185.0, 185.0, 185.0), False),
        ((230.0, 0.0, 0.0), False),
        ((0.0, 0.0, 230.0), False),
        (ALIVE, False),
    ],
)
def test_the_switch_shows_an_outage_when_all_phases_of_the_grid_are_dead(voltages: tuple[float, float, float], off: bool) -> None:
    assert follow([Evidence(voltages=voltages)] * 2)[-1] is off


def test_an_outage_counts_from_the_second_poll_on() -> None:
    assert follow([ON, OFF, OFF]) == [False, False, True]


def test_one_poll_alone_is_no_outage() -> None:
    assert follow([ON, OFF, ON, OFF, ON, ON]) == [False] * 6


def test_silence_is_no_outage_and_no_return() -> None:
    assert follow([ON, NOTHING, NOTHING, NOTHING]) == [False] * 4
    assert follow([OFF, OFF, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING])[-1] is True


def test_a_lost_answer_between_two_that_show_the_outage_does_not_start_anew() -> None:
    assert follow([ON, OFF, NOTHING, OFF])[-1] is True


def test_at_the_start_the_grid_is_taken_at_its_word_and_an_outage_is_confirmed() -> None:
    assert follow([ON]) == [False]
    assert follow([OFF, OFF]) == [None, True]
    assert follow([NOTHING]) == [None]


@pytest.mark.parametrize("first", [Evidence(flag=3, voltages=ALIVE), Evidence(flag=2, voltages=DEAD), Evidence(flag=3, voltages=DEAD)])
def test_either_source_is_enough_for_an_outage(first: Evidence) -> None:
    assert follow([Evidence(flag=2, voltages=ALIVE), first, first])[-1] is True


def test_the_grid_is_back_when_all_sources_have_said_so_for_ten_seconds() -> None:
    both = Evidence(flag=2, voltages=ALIVE)
    found = follow([Evidence(flag=3, voltages=DEAD)] * 2 + [both] * 7)
    assert found[2:] == [True] * 5 + [False] * 2, RETURNED


def test_the_wait_of_the_grid_code_is_on_battery() -> None:
    """The voltage is back at the switch, the inverter still waits for its switch-on time: the battery carries the house."""
    waiting = Evidence(flag=3, voltages=ALIVE)
    assert follow([Evidence(flag=3, voltages=DEAD)] * 2 + [waiting] * 60)[-1] is True


def test_a_return_that_is_contradicted_begins_anew() -> None:
    both, off = Evidence(flag=2, voltages=ALIVE), Evidence(flag=3, voltages=DEAD)
    assert follow([off, off, both, both, both, both, off, both, both, both, both, both])[-1] is True
    assert follow([off, off, both, both, both, both, off, both, both, both, both, both, both])[-1] is False


def test_a_source_that_is_not_answered_does_not_agree() -> None:
    off = Evidence(flag=3, voltages=DEAD)
    assert follow([off, off] + [Evidence(voltages=ALIVE)] * 140)[-1] is True
    assert follow([BOTH, off, off] + [Evidence(flag=2)] * 140)[-1] is True


def test_a_source_that_is_gone_for_good_does_not_hold_the_outage_up_for_ever() -> None:
    off = Evidence(flag=3, voltages=DEAD)
    assert follow([off, off] + [Evidence(flag=2)] * 200)[-1] is False


def test_voltages_of_a_switch_that_the_inverter_does_not_hear_say_nothing() -> None:
    deaf = Evidence(flag=2, voltages=DEAD, deaf=True)
    assert follow([ON] + [deaf] * 20)[-1] is False


def test_a_switch_that_falls_silent_in_the_outage_does_not_end_it_at_once() -> None:
    """It may lose its power with the grid; the flag has never been seen in a real island."""
    deaf = Evidence(flag=2, voltages=DEAD, deaf=True)
    off = Evidence(flag=2, voltages=DEAD)
    assert follow([BOTH, off, off] + [deaf] * 140)[-1] is True
    assert follow([BOTH, off, off] + [deaf] * 160)[-1] is False
    watch = GridWatch()
    watch.update(BOTH, NOMINAL, -2.0)
    for index in range(2):
        watch.update(off, NOMINAL, 2.0 * index)
    for index in range(2, 150):
        watch.update(Evidence(flag=2), NOMINAL, 2.0 * index, switch=False)
        assert watch.off_grid is True


def test_a_switch_that_has_shown_no_voltage_since_the_start_is_no_witness_against_the_flag() -> None:
    """Seen on a house with 231 V and an import of 120 W: rb485.available, and 0.0 V on all phases for ever."""
    nothing = (0.0, 0.0, 0.0)
    assert follow([Evidence(flag=2, voltages=nothing)] * 50)[-1] is False
    assert follow([Evidence(flag=2, voltages=nothing)] * 5 + [OFF] * 2)[-1] is True
    assert follow([BOTH, *[Evidence(flag=2, voltages=nothing)] * 2])[-1] is True
    assert follow([Evidence(voltages=nothing)] * 2)[-1] is True, "the only witness there is"


def test_only_the_source_that_has_shown_the_outage_can_take_it_back() -> None:
    """The switch shows it, the flag does not, and in each second poll a voltage is lost."""
    shown, lost = Evidence(flag=2, voltages=DEAD), Evidence(flag=2)
    assert follow([BOTH, shown, lost, shown, lost])[-1] is True
    assert follow([BOTH, shown, Evidence(flag=2, voltages=ALIVE), shown, lost])[-1] is False


def test_a_first_sign_that_nothing_confirmed_is_forgotten() -> None:
    watch = GridWatch()
    watch.update(ON, NOMINAL, 0.0)
    watch.update(OFF, NOMINAL, 2.0)
    watch.update(OFF, NOMINAL, 40.0)
    assert watch.off_grid is False
    watch.forget_suspicion()
    watch.update(OFF, NOMINAL, 41.0)
    assert watch.off_grid is False
    watch.update(OFF, NOMINAL, 100.0, interval=30.0)
    assert watch.off_grid is True


def test_single_lost_answers_do_not_keep_the_outage_up() -> None:
    both, part = Evidence(flag=2, voltages=ALIVE), Evidence(flag=2)
    off = Evidence(flag=3, voltages=DEAD)
    assert follow([off, off, both, part, both, part, both, part, both, part])[-1] is False


def test_each_change_is_told_once() -> None:
    watch = GridWatch()
    changes = [watch.update(one, NOMINAL, 2.0 * index) for index, one in enumerate([ON, OFF, OFF, OFF, *[ON] * 8])]
    assert changes == [True, False, True, *[False] * 6, True, *[False] * 2]


EVIDENCE = st.builds(
    Evidence,
    st.none() | st.integers(0, 0xFFFF),
    st.none() | st.tuples(*[st.floats(0, 400)] * 3),
    st.booleans(),
)


@given(st.lists(EVIDENCE, max_size=40), st.floats(0.5, 30))
def test_whatever_comes_an_outage_needs_two_polls_that_show_it(evidence: list[Evidence], step: float) -> None:
    watch = GridWatch()
    shows = 0
    for index, one in enumerate(evidence):
        before = watch.off_grid
        votes = one.votes(NOMINAL)
        watch.update(one, NOMINAL, index * step)
        shows += any(votes.values())
        if watch.off_grid and not before:
            assert any(votes.values()) and shows >= 2
            shows = 0
        if watch.off_grid is False and before:
            assert votes and not any(votes.values())
