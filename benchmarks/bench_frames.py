# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames per second from a stream as an RCT inverter sends it, payloads decoded, beside rctclient's ReceiveFrame."""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

from rctclient.exceptions import FrameCRCMismatch
from rctclient.frame import ReceiveFrame
from rctclient.registry import REGISTRY
from rctclient.types import Command as TheirCommand
from rctclient.utils import decode_value

from figures import Figure, show
from nutdrv_py.protocols.rct.frame import Command, build, read_request
from nutdrv_py.protocols.rct.objects import BY_OID, OBJECTS
from nutdrv_py.protocols.rct.payload import Cell, Kind, decode, encode
from nutdrv_py.protocols.rct.reader import FrameReader

CHUNK = 512
"""Bytes per read: what a busy inverter delivers at once."""

SIZES = {Kind.STRING: 16}
DAMAGED = 10
"""One answer of so many comes with a wrong CRC in the noisy stream, and an echo of a request before it."""


def stream(count: int, what: str = "scalars") -> bytes:
    """Return answers as a poll brings them; ``cells``: each eighth one is that of a battery module.

    ``noisy``: :data:`DAMAGED`.
    """
    chance = random.Random(1)
    kinds: dict[Kind, Callable[[], object]] = {
        Kind.FLOAT: lambda: chance.uniform(-500, 500),
        Kind.BOOL: lambda: True,
        Kind.ENUM: lambda: 13,
        Kind.UINT8: lambda: 3,
        Kind.UINT16: lambda: 2,
        Kind.UINT32: lambda: chance.getrandbits(32),
        Kind.INT32: lambda: chance.getrandbits(20),
        Kind.STRING: lambda: "0065A4631487",
    }
    rows = [row for row in OBJECTS if row.kind in kinds and row.source == "registry"]
    modules = [row for row in OBJECTS if row.kind is Kind.CELLS and row.source == "registry"]
    picked = [modules[index % len(modules)] if what == "cells" and index % 8 == 0 else rows[index % len(rows)] for index in range(count)]
    kinds[Kind.CELLS] = lambda: [Cell(chance.randrange(20, 30), chance.uniform(3.2, 3.4), 0) for _ in range(24)]
    frames = [build(Command.RESPONSE, row.oid, encode(row.kind, kinds[row.kind](), size=SIZES.get(row.kind, 0)), lead=b"\0") for row in picked]
    if what == "noisy":
        for index in range(0, count, DAMAGED):
            frame = frames[index]
            frames[index] = read_request(rows[0].oid) + frame[:-1] + bytes([frame[-1] ^ 0x80])
    return b"".join(frames)


def ours(data: bytes) -> int:
    """Frames decoded by this package."""
    reader = FrameReader()
    done = 0
    for start in range(0, len(data), CHUNK):
        for frame in reader.feed(data[start : start + CHUNK]):
            if frame.command is Command.RESPONSE:
                decode(BY_OID[frame.oid].kind, frame.payload)
                done += 1
    return done


def theirs(data: bytes) -> int:
    """Frames decoded by rctclient."""
    frame = ReceiveFrame()
    done = 0
    for start in range(0, len(data), CHUNK):
        chunk = data[start : start + CHUNK]
        while chunk:
            try:
                used = frame.consume(chunk)
            except FrameCRCMismatch as error:
                used = error.consumed_bytes
                frame = ReceiveFrame()
            chunk = chunk[used:]
            if frame.complete() and frame.command is not TheirCommand.RESPONSE:
                frame = ReceiveFrame()
            elif frame.complete():
                decode_value(REGISTRY.get_by_id(frame.id).response_data_type, frame.data)
                done += 1
                frame = ReceiveFrame()
    return done


def seconds(work: Callable[[bytes], int], data: bytes, count: int) -> float:
    """Return the processor time that the frames take."""
    began = time.process_time()
    done = work(data)
    # A changed CRC may read as an escape.
    if abs(done - count) > count // 100:
        raise SystemExit(f"{work.__name__} decoded {done} of {count} frames")
    return time.process_time() - began


def ratio(what: str, count: int, rounds: int) -> tuple[float, float, float]:
    """Return the frames in a second of ours and of rctclient's, and the median of how many times more ours are."""
    data = stream(count, what)
    count -= count // DAMAGED if what == "noisy" else 0
    found = [(seconds(ours, data, count), seconds(theirs, data, count)) for _ in range(rounds)]
    mine, other = (count / statistics.median(column) for column in zip(*found, strict=True))
    return mine, other, statistics.median(b / a for a, b in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    for what, aim in (("scalars", 10), ("cells", 8), ("noisy", 8)):
        mine, other, times = ratio(what, args.frames, args.rounds)
        show(Figure(f"frames per second, {what}", f"{mine:.0f}", f"rctclient {other:.0f}", times, f"{aim} times rctclient"))


if __name__ == "__main__":
    main()
