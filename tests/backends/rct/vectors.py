# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames as inverters and their clients send them, with what they mean.

Made with an independent implementation of the protocol; those marked "captured" were recorded from an inverter.
"""

from __future__ import annotations

from dataclasses import dataclass

from nutdrv_py.protocols.rct.frame import Command, Frame
from nutdrv_py.protocols.rct.payload import Event, Kind, Sample, Series, Value


@dataclass(frozen=True)
class Vector:
    text: str
    frame: Frame
    kind: Kind | None = None
    value: Value | None = None

    @property
    def wire(self) -> bytes:
        return bytes.fromhex(self.text)


READ = Command.READ
ANSWER = Command.RESPONSE


def _read(text: str, oid: int) -> Vector:
    return Vector(text, Frame(READ, oid))


def _answer(text: str, oid: int, payload: str, kind: Kind, value: Value) -> Vector:
    return Vector(text, Frame(ANSWER, oid, bytes.fromhex(payload)), kind, value)


NAME = "PS 6.0 BA3L"

# fmt: off
VECTORS = (
    _read("2b0104959930bf0d65", 0x959930BF),
    _read("2b0104ebc6273715d1", 0xEBC62737),
    _read("2b01047924abd9b262", 0x7924ABD9),
    _read("2b01043623d82a0ff6", 0x3623D82A),
    _read("2b01045f33284ed9d3", 0x5F33284E),
    _read("2b0104400f015b58b4", 0x400F015B),
    _read("2b010493f976ab4448", 0x93F976AB),
    _read("2b01043b7fcd475c52", 0x3B7FCD47),
    _read("2b01048e41fc47f9c6", 0x8E41FC47),
    _read("2b0104a90338809f53", 0xA9033880),
    _read("2b01042545e22d2d3cff", 0x2545E22D),      # escape in the OID
    _read("2b0104db2d2d69ae55ab", 0xDB2D69AE),
    _read("2b0104682cdda12d2bb0", 0x682CDDA1),      # escape in the CRC
    _read("2b010489ee3eb5862d2d", 0x89EE3EB5),
    _answer("2b0508959930bf3f590f868810", 0x959930BF, "3f590f86", Kind.FLOAT, 0.8478931188583374),
    _answer("002b0508959930bf3e97b1919c86", 0x959930BF, "3e97b191", Kind.FLOAT, 0.2962765),       # captured
    _answer("2b05063623d82a0002d02d2b", 0x3623D82A, "0002", Kind.UINT16, 2),
    _answer("2b05063623d82a0003c00a", 0x3623D82A, "0003", Kind.UINT16, 3),
    _answer("2b05055f33284e0d95f1", 0x5F33284E, "0d", Kind.ENUM, 13),
    _answer("2b0505437b81220125b5", 0x437B8122, "01", Kind.BOOL, True),
    _answer("2b050597e203f901ac63", 0x97E203F9, "01", Kind.BOOL, True),
    _answer("2b0505682cdda1039f98", 0x682CDDA1, "03", Kind.ENUM, 3),
    _answer("2b0508400f015bc39a88bca904", 0x400F015B, "c39a88bc", Kind.FLOAT, -309.0682),
    _answer("2b05082545e22d2d4368c009f46a", 0x2545E22D, "4368c009", Kind.FLOAT, 232.75014),        # captured
    _answer("2b05081c4a665f4247f63b8fb3", 0x1C4A665F, "4247f63b", Kind.FLOAT, 49.990459),          # captured
    _answer("2b05083b7fcd4704000000d873", 0x3B7FCD47, "04000000", Kind.UINT32, 1 << 26),
    _answer("2b05087f813d73400000008ce7", 0x7F813D73, "40000000", Kind.UINT32, 1 << 30),
    _answer("2b050870a2af4f00000800c645", 0x70A2AF4F, "00000800", Kind.INT32, 2048),
    _answer("2b0508c0df2978000004ab6064", 0xC0DF2978, "000004ab", Kind.INT32, 1195),
    _answer("2b0506a6c4fd4a002d2be77c", 0xA6C4FD4A, "002b", Kind.UINT16, 43),                      # escaped payload
    _answer("2b0506a6c4fd4a2d2d2d2b97c6", 0xA6C4FD4A, "2d2b", Kind.UINT16, 11563),
    _answer("2b05147924abd930303635413436333134383700000000c464", 0x7924ABD9,
            "30303635413436333134383700000000", Kind.STRING, "0065A4631487"),
    _answer("2b0514ddd1c2d0322e332e353638350000000000000000921a", 0xDDD1C2D0,
            "322e332e353638350000000000000000", Kind.STRING, "2.3.5685"),
    _answer("2b0544ebc62737505320362e30204241334c" + "00" * 53 + "476c", 0xEBC62737,
            NAME.encode().hex() + "00" * 53, Kind.STRING, NAME),
    Vector("2b0600185293b6686553f1006553efd43f0000006553eea83e8000007f0e",
           Frame(Command.LONG_RESPONSE, 0x5293B668, bytes.fromhex("6553f1006553efd43f0000006553eea83e800000")),
           Kind.TIMESERIES, Series(1700000000, (Sample(1699999700, 0.5), Sample(1699999400, 0.25)))),
    Vector("2b06001c6f3876bc6553f1000000005a6553f09c6553f0ce0000000100000000dbc1",
           Frame(Command.LONG_RESPONSE, 0x6F3876BC, bytes.fromhex("6553f1000000005a6553f09c6553f0ce0000000100000000")),
           Kind.EVENT_TABLE, (Event(0x5A, 1699999900, 1699999950, 1, 0),)),
    Vector("2b02085293b6686553f100b9cb", Frame(Command.WRITE, 0x5293B668, bytes.fromhex("6553f100"))),
    Vector("2b02089c8fe559000003e8badc", Frame(Command.WRITE, 0x9C8FE559, bytes.fromhex("000003e8"))),
    Vector("2b0804959930bf4587", Frame(Command.READ_PERIODICALLY, 0x959930BF)),
    Vector("2b410800000001959930bfb01b", Frame(Command.PLANT_READ, 0x959930BF, b"", 1)),
    Vector("2b450c00000001959930bf3f000000424c", Frame(Command.PLANT_RESPONSE, 0x959930BF, b"?\0\0\0", 1), Kind.FLOAT, 0.5),
    Vector("2b46000c00000001959930bf3f000000539b", Frame(Command.PLANT_LONG_RESPONSE, 0x959930BF, b"?\0\0\0", 1),
           Kind.FLOAT, 0.5),
)
# fmt: on

WRONG_CRC = bytes.fromhex("2b050597e203f955bb9b")
"""Captured from an inverter."""

GOOD = VECTORS[14]
"""A frame to follow others: it must be decoded whatever came before."""

MODEM = bytes.fromhex("2b2b2b0d2b2b2bf8") + bytes(19)
CLOUD = b"AT+\r"
BOOTLOADER = bytes.fromhex("50f705ab")
