# SPDX-License-Identifier: GPL-2.0-or-later
"""Payloads: the right value, or none. A payload of the wrong size is an answer that was cut short."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.errors import ProtocolError
from nutdrv_py.protocols.rct.payload import Cell, CellExtremes, Event, Extreme, Kind, Sample, Series, decode, encode
from tests.backends.rct.vectors import NAME, VECTORS, Vector

SIZES = {
    Kind.BOOL: 1, Kind.ENUM: 1, Kind.UINT8: 1, Kind.INT8: 1, Kind.UINT16: 2, Kind.INT16: 2, Kind.UINT32: 4, Kind.INT32: 4,
    Kind.FLOAT: 4, Kind.CELLS: 96, Kind.CELLS_STAT: 48, Kind.CELLS_RESIST: 96,
}  # fmt: skip


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if vector.kind], ids=lambda vector: vector.text[:24])
def test_the_vectors_decode_to_their_values(vector: Vector) -> None:
    assert vector.kind is not None
    found = decode(vector.kind, vector.frame.payload)
    if isinstance(vector.value, float):
        assert found == pytest.approx(vector.value, rel=1e-6)
    else:
        assert found == vector.value and type(found) is type(vector.value)


@pytest.mark.parametrize("kind", SIZES)
def test_a_payload_of_another_size_is_refused(kind: Kind) -> None:
    for size in range(130):
        if size != SIZES[kind]:
            with pytest.raises(ProtocolError, match=f"not {size}"):
                decode(kind, bytes(size))
    decode(kind, bytes(SIZES[kind]))


@pytest.mark.parametrize(("kind", "bad"), [(Kind.TIMESERIES, (0, 3, 5, 11, 13)), (Kind.EVENT_TABLE, (0, 3, 12, 23, 25))])
def test_a_table_with_half_a_row_is_refused(kind: Kind, bad: tuple[int, ...]) -> None:
    for size in bad:
        with pytest.raises(ProtocolError):
            decode(kind, bytes(size))
    assert decode(kind, bytes(4)) in (Series(0, ()), ())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_refused(number: float) -> None:
    with pytest.raises(ProtocolError, match="not a number"):
        decode(Kind.FLOAT, struct.pack(">f", number))
    with pytest.raises(ProtocolError, match="not a number"):
        decode(Kind.CELLS_STAT, struct.pack("<IIf", 1, 2, number) * 4)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (NAME.encode() + bytes(53), NAME),
        (b"PS 6.0\0" + VECTORS[17].wire, "PS 6.0"),
        (b"", ""),
        (bytes(16), ""),
        ("Käthes Keller".encode(), "Käthes Keller"),
        ("Käthes Keller".encode("latin-1"), "Käthes Keller"),
        (b"\xff\xfe\x80", "ÿþ\x80"),
        (b"no end", "no end"),
    ],
)
def test_a_string_ends_at_its_first_nul_in_whatever_charset(payload: bytes, text: str) -> None:
    assert decode(Kind.STRING, payload) == text


def test_the_cells_of_a_module_are_little_endian_in_between() -> None:
    one = bytes([21]) + (3312).to_bytes(2, "little") + bytes([0])
    other = bytes([25]) + (3299).to_bytes(2, "little") + bytes([7])
    found = decode(Kind.CELLS, one * 23 + other)
    assert found == (Cell(21, 3.312, 0),) * 23 + (Cell(25, 3.299, 7),)


def test_the_resistance_of_cells_has_256_steps_in_a_milliohm() -> None:
    assert decode(Kind.CELLS_RESIST, bytes.fromhex("01800000") * 24) == (1.5,) * 24


def test_the_extremes_of_a_module() -> None:
    rows = (Extreme(3, 1700000000, 2.5), Extreme(4, 1700000001, 3.5), Extreme(5, 1700000002, 4.5), Extreme(6, 1700000003, 41.5))
    payload = b"".join(struct.pack("<IIf", row.cell, row.time, row.value) for row in rows)
    assert decode(Kind.CELLS_STAT, payload) == CellExtremes(*rows)


ROUND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(),
    Kind.ENUM: st.integers(0, 255),
    Kind.UINT8: st.integers(0, 255),
    Kind.INT8: st.integers(-128, 127),
    Kind.UINT16: st.integers(0, 0xFFFF),
    Kind.INT16: st.integers(-0x8000, 0x7FFF),
    Kind.UINT32: st.integers(0, 0xFFFFFFFF),
    Kind.INT32: st.integers(-0x80000000, 0x7FFFFFFF),
    Kind.FLOAT: st.floats(width=32, allow_nan=False, allow_infinity=False),
    Kind.STRING: st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=30),
    Kind.CELLS: st.lists(
        st.builds(Cell, st.integers(0, 255), st.integers(0, 0xFFFF).map(lambda mv: mv / 1000), st.integers(0, 255)),
        min_size=24, max_size=24,
    ).map(tuple),
    Kind.CELLS_RESIST: st.lists(st.integers(0, 0xFFFF).map(lambda step: step / 256), min_size=24, max_size=24).map(tuple),
    Kind.TIMESERIES: st.builds(
        Series,
        st.integers(0, 0xFFFFFFFF),
        st.lists(
            st.builds(Sample, st.integers(0, 0xFFFFFFFF), st.floats(width=32, allow_nan=False, allow_infinity=False)), max_size=5
        ).map(tuple),
    ),
    Kind.EVENT_TABLE: st.lists(st.builds(Event, *[st.integers(0, 0xFFFFFFFF)] * 5), max_size=5).map(tuple),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROUND)
def test_every_type_makes_the_round_trip(kind: Kind) -> None:
    @given(ROUND[kind])
    def check(value: Any) -> None:
        assert decode(kind, encode(kind, value)) == value

    check()


@given(st.sampled_from(list(Kind)), st.binary(max_size=120))
def test_arbitrary_payloads_give_a_value_or_a_protocol_error(kind: Kind, payload: bytes) -> None:
    try:
        decode(kind, payload)
    except ProtocolError as error:
        assert str(error)
