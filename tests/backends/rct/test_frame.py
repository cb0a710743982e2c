# SPDX-License-Identifier: GPL-2.0-or-later
"""The line as it is: frames are found whole, in pieces, among garbage and after damage; a wrong one is never given out."""

from __future__ import annotations

import binascii
import itertools
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nutdrv_py.protocols.rct import reader as module
from nutdrv_py.protocols.rct.frame import EXTENSION, Command, Frame, build, checksum, read_request
from nutdrv_py.protocols.rct.reader import LIMIT, FrameReader
from tests.backends.rct.vectors import BOOTLOADER, CLOUD, GOOD, MODEM, VECTORS, WRONG_CRC, Vector

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.text[:24])

LONG = (Command.LONG_RESPONSE, Command.LONG_WRITE, Command.PLANT_LONG_RESPONSE, Command.PLANT_LONG_WRITE)


def bytewise(data: bytes) -> list[Frame]:
    reader = FrameReader()
    return [frame for byte in data for frame in reader.feed(bytes([byte]))]


@each_vector
def test_a_frame_is_read_whole(vector: Vector) -> None:
    reader = FrameReader()
    assert reader.feed(vector.wire) == [vector.frame]
    assert not reader.damage.frames


@each_vector
def test_a_frame_is_read_byte_by_byte_and_given_out_with_its_last_byte(vector: Vector) -> None:
    reader = FrameReader()
    for byte in vector.wire[:-2]:
        assert reader.feed(bytes([byte])) == []
    # A CRC that ends in an escaped 2D is complete with the escape: it could be one that was not escaped.
    assert [frame for byte in vector.wire[-2:] for frame in reader.feed(bytes([byte]))] == [vector.frame]


@each_vector
@pytest.mark.parametrize("before", [b"\0", MODEM, CLOUD, BOOTLOADER, EXTENSION, WRONG_CRC, b"+", b"-", b"\x00\x2b\x05\x08", b"\xff" * 300])
def test_a_frame_is_read_behind_and_before_garbage(vector: Vector, before: bytes) -> None:
    stream = before + vector.wire + before + GOOD.wire
    assert FrameReader().feed(stream) == [vector.frame, GOOD.frame]
    assert bytewise(stream) == [vector.frame, GOOD.frame]


@each_vector
def test_a_frame_is_built_as_it_was_sent(vector: Vector) -> None:
    assert build(vector.frame.command, vector.frame.oid, vector.frame.payload, vector.frame.address) == vector.wire.removeprefix(b"\0")


@each_vector
def test_no_flipped_byte_makes_a_wrong_frame_or_costs_the_next(vector: Vector) -> None:
    wire = vector.wire
    for position in range(len(wire)):
        for new in range(256):
            damaged = wire[:position] + bytes([new]) + wire[position + 1 :]
            found = FrameReader().feed(damaged + GOOD.wire)
            assert found[-1:] == [GOOD.frame], (position, new)
            if damaged != wire:
                assert all(frame in (vector.frame, GOOD.frame) for frame in found), (position, new, found)


@each_vector
def test_no_missing_byte_makes_a_wrong_frame_or_costs_the_next(vector: Vector) -> None:
    wire = vector.wire
    for position in range(len(wire)):
        for count in (1, 2, 3):
            damaged = wire[:position] + wire[position + count :]
            for found in (FrameReader().feed(damaged + GOOD.wire), bytewise(damaged + GOOD.wire)):
                assert found[-1:] == [GOOD.frame], (position, count)
                # A long frame that has lost zeros at its end has the same CRC; its payload has no longer the right size.
                wrong = [frame for frame in found if frame not in (vector.frame, GOOD.frame)]
                assert not wrong or (vector.frame.command in LONG and wrong[0].payload == vector.frame.payload[:-1]), (position, wrong)


def test_a_wrong_crc_is_counted_and_the_next_frame_decoded() -> None:
    reader = FrameReader()
    assert reader.feed(WRONG_CRC + GOOD.wire) == [GOOD.frame]
    assert reader.damage.crc == 1


def test_a_truncated_frame_costs_only_itself() -> None:
    """What rctclient loses: a cut frame and two good ones behind it."""
    cut = bytes.fromhex("2b0544ebc62737505320362e")
    assert FrameReader().feed(cut + GOOD.wire * 12) == [GOOD.frame] * 12


def test_an_absurd_length_swallows_nothing() -> None:
    assert FrameReader().feed(bytes.fromhex("2b05ff959930bf") + GOOD.wire * 3) == [GOOD.frame] * 3
    assert FrameReader().feed(bytes.fromhex("2b06ffff959930bf") + GOOD.wire * 3) == [GOOD.frame] * 3


@pytest.mark.parametrize("payload", [bytes(96), bytes(range(96)), b"+-" * 48, bytes(300)])
@pytest.mark.parametrize("lie", [-16, 472, 480, 1, -1])
def test_a_long_frame_ends_at_the_next_start_when_its_length_lies(payload: bytes, lie: int) -> None:
    wire = lying(payload, lie)
    for stream in (wire + GOOD.wire, wire + b"\0" + GOOD.wire):
        assert FrameReader().feed(stream) == [Frame(Command.LONG_RESPONSE, 0x6F3876BC, payload), GOOD.frame]
        assert bytewise(stream) == [Frame(Command.LONG_RESPONSE, 0x6F3876BC, payload), GOOD.frame]


def test_a_long_frame_whose_length_lies_ends_when_the_line_is_silent() -> None:
    reader = FrameReader()
    assert reader.feed(lying(bytes(96), -16)) == []
    assert reader.flush() == [Frame(Command.LONG_RESPONSE, 0x6F3876BC, bytes(96))]
    assert reader.feed(GOOD.wire) == [GOOD.frame]


def lying(payload: bytes, lie: int) -> bytes:
    content = (0x6F3876BC).to_bytes(4, "big") + payload
    body = bytes([Command.LONG_RESPONSE]) + max(0, len(content) + lie).to_bytes(2, "big") + content
    body += checksum(body).to_bytes(2, "big")
    return b"+" + body.replace(b"-", b"--").replace(b"+", b"-+")


@pytest.mark.parametrize("high", [0x2B, 0x2D, 0x41])
@pytest.mark.parametrize("low", [0x2B, 0x2D, 0x41])
def test_crc_bytes_that_the_sender_did_not_escape_are_understood(high: int, low: int) -> None:
    """Firmware may do what evcc and ioBroker do; all nine ways a CRC can hold a start byte or an escape."""
    wanted = high << 8 | low
    payload = next(value.to_bytes(4, "big") for value in range(1 << 24) if checksum(bytes.fromhex("0508959930bf") + value.to_bytes(4, "big")) == wanted)
    wire = build(Command.RESPONSE, 0x959930BF, payload, raw_crc=True)
    expected = [Frame(Command.RESPONSE, 0x959930BF, payload), GOOD.frame]
    for stream in (wire + GOOD.wire, wire + b"\0" + GOOD.wire):
        assert FrameReader().feed(stream) == expected
        assert bytewise(stream) == expected


def test_an_escape_of_what_needs_none_damages_the_frame() -> None:
    reader = FrameReader()
    assert reader.feed(bytes.fromhex("2b05063623d82d2a0003c00a") + GOOD.wire) == [GOOD.frame]
    assert reader.damage.escape == 1


def test_bytes_behind_the_end_of_a_string_are_not_read_as_a_frame() -> None:
    """Firmware leaves old answers in its buffer behind the NUL."""
    payload = b"PS 6.0\0" + VECTORS[17].wire + bytes(64 - 7 - len(VECTORS[17].wire))
    wire = build(Command.RESPONSE, 0xEBC62737, payload)
    assert FrameReader().feed(wire) == [Frame(Command.RESPONSE, 0xEBC62737, payload)]
    assert bytewise(wire) == [Frame(Command.RESPONSE, 0xEBC62737, payload)]


@pytest.mark.parametrize("silent", [False, True])
def test_what_a_damaged_frame_holds_hides_nothing_of_the_next_piece(silent: bool) -> None:
    wire = build(Command.RESPONSE, 0x959930BF, b"+" + bytes(30))
    damaged = wire[:-1] + bytes([wire[-1] ^ 1])
    reader = FrameReader()
    assert reader.feed(damaged) == []
    if silent:
        assert reader.flush() == []
    assert reader.feed(GOOD.wire) == [GOOD.frame]


def test_the_bootloader_is_heard_whole_or_in_pieces() -> None:
    reader = FrameReader()
    reader.feed(BOOTLOADER)
    for byte in BOOTLOADER:
        reader.feed(bytes([byte]))
    reader.feed(GOOD.wire)
    assert reader.damage.bootloader == 2


def test_the_buffer_is_bounded_whatever_comes() -> None:
    for endless in (bytes.fromhex("2b06ffff") + b"\1" * 100_000, b"\1" * 100_000, b"-" * 100_000, b"+" * 100_000):
        reader = FrameReader()
        for start in range(0, len(endless), 1000):
            assert reader.feed(endless[start : start + 1000]) == []
            assert len(reader._buffer) <= LIMIT * 2 + 1000
        reader.feed(b"\0\0")
        assert reader.feed(b"+" + GOOD.wire)[-1:] == [GOOD.frame]


NOISE = st.one_of(
    st.binary(max_size=40),
    st.text("+-\x05\x06\x00\x08\xff<", max_size=40).map(lambda text: text.encode("latin-1")),
    st.sampled_from([GOOD.wire, GOOD.wire[:-1], GOOD.wire[1:], b"-" + GOOD.wire, WRONG_CRC, EXTENSION, b"+\x06", b"+\x06\x00\x0c"]),
)
"""Pieces of a stream in which starts, escapes and frames hide in each other."""


@settings(max_examples=400)
@given(st.lists(NOISE, max_size=12).map(b"".join), st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_it_makes_no_difference_how_the_stream_was_cut(stream: bytes, steps: list[int]) -> None:
    whole, pieces = FrameReader(), FrameReader()
    found = whole.feed(stream) + whole.flush()
    cut: list[Frame] = []
    position = 0
    for step in itertools.cycle(steps):
        if position >= len(stream):
            break
        cut += pieces.feed(stream[position : position + step])
        position += step
    assert cut + pieces.flush() == found
    assert pieces.damage == whole.damage


class Work:
    """Counts the bytes that the reader looks at: each match, each checksum, each turn of its loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        for name in ("_SEGMENT", "_PIECES"):
            monkeypatch.setattr(module, name, Counted(self, getattr(module, name)))
        monkeypatch.setattr(module, "_at_most", lambda count, real=module._at_most: Counted(self, real(count)))
        for name, at in (("checksum", 0), ("_frame", 1)):
            monkeypatch.setattr(module, name, self._counting(getattr(module, name), at))
        monkeypatch.setattr(FrameReader, "_careful", self._counting(FrameReader._careful, None))

    def _counting(self, real: Callable[..., Any], at: int | None) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.bytes += 1 if at is None else len(args[at])
            return real(*args, **kwargs)

        return counted


class Counted:
    def __init__(self, work: Work, real: re.Pattern[bytes]) -> None:
        self.work, self.real = work, real

    def match(self, data: bytes, start: int, end: int = 1 << 30) -> re.Match[bytes] | None:
        found = self.real.match(data, start, end)
        self.work.bytes += found.end() - start if found else 1
        return found

    def findall(self, data: bytes) -> list[bytes]:
        self.work.bytes += len(data)
        return self.real.findall(data)


RUBBISH = (
    b"-+", b"+", b"-", b"+-", b"-+\x06", b"-+\x06..", b"+\x06\xff\xff", b"-+\x05\xff", b"-+\x05\x04", b"-+\x05--", b"+\x05\xfb",
    b"+\x05\xfb" + b"-+\x05\xfb" * 60, b"+\x06\xff\xff" + b"-+" * 2000, b"+\x06\x00\x04abcdXX" + b"-+\x05\x20" * 200,
)  # fmt: skip
MOST_LOOKS = 4 * 260
"""How often a byte is looked at, at most: four times for each byte of the longest frame that may hide in a damaged one."""


@pytest.mark.parametrize("step", [1, 7, 1448, 1 << 20])
@pytest.mark.parametrize("rubbish", RUBBISH)
def test_the_work_grows_with_the_bytes_and_no_faster(rubbish: bytes, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch)
    done = []
    for size in (16_000, 48_000):
        reader, before = FrameReader(), work.bytes
        stream = rubbish * (size // len(rubbish))
        for start in range(0, len(stream), step):
            reader.feed(stream[start : start + step])
        done.append((work.bytes - before) / len(stream))
    assert max(done) < MOST_LOOKS
    assert done[1] < 1.5 * done[0] + 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b"+", b"-", b"-+", b"\x05", b"\x06", b"\x20", b"\xfb", b"\xff", b"\0"]), min_size=1, max_size=12))
def test_no_pattern_is_dear(pattern: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        work = Work(patch)
        rubbish = b"".join(pattern)
        FrameReader().feed(rubbish * (20_000 // len(rubbish)))
        assert work.bytes < MOST_LOOKS * 20_000


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_the_next_frame_is_read_behind_any_rubbish(rubbish: bytes) -> None:
    reader = FrameReader()
    assert reader.feed(rubbish * (65536 // len(rubbish))) == []
    assert reader.feed(b"\0" * 10 + GOOD.wire)[-1:] == [GOOD.frame]


def test_the_checksum_of_an_odd_number_of_bytes_takes_a_zero_more() -> None:
    assert checksum(b"") == 0xFFFF
    assert checksum(b"123456789") == 0x044B
    assert checksum(b"12345678") == binascii.crc_hqx(b"12345678", 0xFFFF)


def test_a_request_is_made_once() -> None:
    assert read_request(0x959930BF) is read_request(0x959930BF)
    assert read_request(0x682CDDA1, raw_crc=True) == bytes.fromhex("2b0104682cdda12bb0")


@pytest.mark.parametrize(("command", "payload", "address"), [(Command.RESPONSE, bytes(252), None), (Command.READ, b"", 1), (Command.PLANT_READ, b"", None)])
def test_a_frame_that_cannot_be_is_not_built(command: Command, payload: bytes, address: int | None) -> None:
    with pytest.raises(ValueError):
        build(command, 1, payload, address)


def test_a_reset_forgets_the_unfinished_frame() -> None:
    reader = FrameReader()
    reader.feed(GOOD.wire[:-1])
    reader.reset()
    assert reader.feed(GOOD.wire[-1:]) == []


FRAMES = st.one_of(
    st.builds(
        Frame,
        st.sampled_from([Command.READ, Command.WRITE, Command.RESPONSE, Command.READ_PERIODICALLY]),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=251),
        st.none(),
    ),
    st.builds(
        Frame,
        st.sampled_from([Command.PLANT_READ, Command.PLANT_RESPONSE]),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=240),
        st.integers(0, 0xFFFFFFFF),
    ),
    st.builds(
        Frame,
        st.sampled_from([Command.LONG_RESPONSE, Command.LONG_WRITE]),
        st.integers(0, 0xFFFFFFFF),
        st.binary(max_size=2000),
        st.none(),
    ),
)


def wire_of(frame: Frame, lead: bytes = b"") -> bytes:
    return build(frame.command, frame.oid, frame.payload, frame.address, lead=lead)


@given(st.lists(FRAMES, max_size=8), st.sampled_from([b"", b"\0"]), st.randoms(use_true_random=False))
def test_frames_make_the_round_trip_in_any_cut_of_the_stream(frames: list[Frame], lead: bytes, chance: random.Random) -> None:
    stream = b"".join(wire_of(frame, lead) for frame in frames)
    reader = FrameReader()
    found: list[Frame] = []
    position = 0
    while position < len(stream):
        step = chance.randint(1, 40)
        found += reader.feed(stream[position : position + step])
        position += step
    assert found == frames
    assert not reader.damage.frames


@given(st.binary(max_size=600), st.integers(1, 50))
def test_arbitrary_bytes_never_raise_and_never_hide_what_follows(noise: bytes, step: int) -> None:
    reader = FrameReader()
    for start in range(0, len(noise), step):
        reader.feed(noise[start : start + step])
    reader.flush()
    assert reader.feed(GOOD.wire) == [GOOD.frame]


@settings(max_examples=50)
@given(FRAMES, st.integers(0, 2200))
def test_a_stream_cut_anywhere_costs_one_frame(frame: Frame, cut: int) -> None:
    wire = wire_of(frame)
    cut = min(cut, len(wire) - 1)
    assert FrameReader().feed(wire[:cut] + GOOD.wire + GOOD.wire)[-2:] == [GOOD.frame] * 2


@given(st.lists(st.tuples(FRAMES, st.booleans()), min_size=1, max_size=6), st.integers(1, 30))
def test_the_quick_way_reads_what_the_careful_way_reads(frames: list[tuple[Frame, bool]], step: int) -> None:
    stream = b"".join(wire_of(frame) if whole else wire_of(frame)[: len(wire_of(frame)) // 2] for frame, whole in frames)
    quick, careful = FrameReader(), FrameReader()
    careful._quick = lambda buffer, start, end: None  # type: ignore[method-assign]
    assert quick.feed(stream) == careful.feed(stream)
    assert quick.damage == careful.damage


def test_every_command_has_its_shape() -> None:
    assert set(module._SHAPES) == set(Command)
