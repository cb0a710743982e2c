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
from rctclient.utils import decode_value

from nutdrv_py.protocols.rct.frame import Command, FrameReader, build
from nutdrv_py.protocols.rct.objects import BY_OID, OBJECTS
from nutdrv_py.protocols.rct.payload import Kind, decode, encode

CHUNK = 512
"""Bytes per read: what a busy inverter delivers at once."""

SIZES = {Kind.STRING: 16}


def stream(count: int) -> bytes:
    """Answers for the objects that are asked all the time, and the odd string, in the order a poll brings them."""
    chance = random.Random(1)
    kinds = {
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
    picked = [rows[index % len(rows)] for index in range(count)]
    return b"".join(
        build(Command.RESPONSE, row.oid, encode(row.kind, kinds[row.kind](), size=SIZES.get(row.kind, 0)), lead=b"\0") for row in picked
    )


def ours(data: bytes) -> int:
    """Frames decoded by this package."""
    reader = FrameReader()
    done = 0
    for start in range(0, len(data), CHUNK):
        for frame in reader.feed(data[start : start + CHUNK]):
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
            if frame.complete():
                decode_value(REGISTRY.get_by_id(frame.id).response_data_type, frame.data)
                done += 1
                frame = ReceiveFrame()
    return done


def rate(work: Callable[[bytes], int], data: bytes, count: int) -> float:
    began = time.perf_counter()
    done = work(data)
    if done != count:
        raise SystemExit(f"{work.__name__} decoded {done} of {count} frames")
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    data = stream(args.frames)
    found = [(rate(ours, data, args.frames), rate(theirs, data, args.frames)) for _ in range(args.rounds)]
    mine, other = (statistics.median(column) for column in zip(*found, strict=True))
    ratio = statistics.median(a / b for a, b in found)
    print(f"frames with decoded payloads: {args.frames} frames, {len(data)} bytes, median of {args.rounds}")
    print(f"  nutdrv_py  {mine:10.0f} frames/s")
    print(f"  rctclient  {other:10.0f} frames/s")
    print(f"  ratio      {ratio:10.1f}")


if __name__ == "__main__":
    main()
