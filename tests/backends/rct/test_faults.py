# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from nutdrv_py.backends.rct.faults import FAULTS, active, alarms, battery_status, battery_word, reasons
from nutdrv_py.device.reading import Status

GRID_BITS = {13, 14, 15, *range(37, 56), *range(79, 85), 87, 88, 89, 90, 102, 103, 104, 117, 120, 121, 126, 30}
INFO_BITS = {1, 2, 61, 62, 63, 115, 118, 119}


def test_the_four_registers_are_covered_without_a_gap() -> None:
    assert [number for fault in FAULTS for number in range(fault.first, fault.last + 1)] == sorted(
        number for fault in FAULTS for number in range(fault.first, fault.last + 1)
    )
    assert {number for fault in FAULTS for number in range(fault.first, fault.last + 1)} == set(range(128))


def test_what_the_grid_did_is_a_reason_and_never_an_alarm() -> None:
    assert {number for number in range(128) if reasons({number})} == GRID_BITS
    assert not alarms(GRID_BITS | INFO_BITS)


def test_everything_else_is_an_alarm() -> None:
    assert {number for number in range(128) if alarms({number})} == set(range(128)) - GRID_BITS - INFO_BITS


@pytest.mark.parametrize(
    ("registers", "numbers"),
    [((0, 0, 1 << 26, 1 << 30), {90, 126}), ((None, 1, None, None), {32}), ((0xFFFFFFFF, 0, 0, 0), set(range(32))), ((0, 0, 0, 0), set())],
)
def test_bits_of_the_registers_are_numbers(registers: tuple[int | None, ...], numbers: set[int]) -> None:
    assert active(registers) == numbers


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ({48, 49, 50}, ("Grid undervoltage L1", "Grid undervoltage L2", "Grid undervoltage L3")),
        ({48, 51}, ("Grid undervoltage L1",)),
        ({90}, ("Separated from the grid",)),
        ({54, 55, 46}, ("Grid overfrequency", "Grid underfrequency")),
        ({25}, ()),
    ],
)
def test_reasons_name_the_phase_and_stand_once(numbers: set[int], texts: tuple[str, ...]) -> None:
    assert reasons(numbers) == texts


@pytest.mark.parametrize(
    ("word", "text", "status"),
    [
        (0, "", Status(0)),
        (1 << 2, "ready", Status(0)),
        (1 << 3, "calibrating at high voltage", Status(0)),
        (1 << 10 | 1 << 2, "ready, calibrating at low voltage", Status(0)),
        (1 << 12, "error", Status.RB),
        (1032, "calibrating at high voltage, calibrating at low voltage", Status(0)),
        (1 << 9, "empty", Status(0)),
        (-1 << 31, "", Status(0)),
    ],
)
def test_the_battery_status_word(word: int, text: str, status: Status) -> None:
    assert battery_status(word) == (text, status)


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (0, 0), (512, 512), (16896, 512), (1 << 30 | 1 << 2, 1 << 2), (-(1 << 31) | 512, 512),
        # All ones, in each width in which a register can be read wrong, and what no battery is at once.
        (-1, None), (0x7FFFFFFF, None), (0xFFFF, None), (0x3FFF, None), (1 << 8 | 1 << 9, None),
        (None, None), ("512", None),
    ],
)  # fmt: skip
def test_unknown_bits_of_a_status_word_are_left_out_and_the_others_count(raw: object, word: int | None) -> None:
    assert battery_word(raw) == word
