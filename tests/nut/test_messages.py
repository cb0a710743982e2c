# SPDX-License-Identifier: GPL-2.0-or-later
"""Every sentence of the socket, both ways."""

from __future__ import annotations

import pytest

from nutdrv_py.nut import messages as m
from nutdrv_py.nut.parseconf import Line, Reader

MESSAGES = [
    (m.SetInfo("ups.model", 'a "b" \\c # = d'), b'SETINFO ups.model "a \\"b\\" \\\\c \\# = d"\n'),
    (m.DelInfo("ups.alarm"), b"DELINFO ups.alarm\n"),
    (m.AddEnum("v", "b c"), b'ADDENUM v "b c"\n'),
    (m.DelEnum("v", "b c"), b'DELENUM v "b c"\n'),
    (m.AddRange("v", -1, 99), b"ADDRANGE v -1 99\n"),
    (m.DelRange("v", -1, 99), b"DELRANGE v -1 99\n"),
    (m.SetAux("v", 32), b"SETAUX v 32\n"),
    (m.SetFlags("v", ("RW", "STRING")), b"SETFLAGS v RW STRING\n"),
    (m.AddCmd("load.off"), b"ADDCMD load.off\n"),
    (m.DelCmd("load.off"), b"DELCMD load.off\n"),
    (m.DataOk(), b"DATAOK\n"),
    (m.DataStale(), b"DATASTALE\n"),
    (m.DumpDone(), b"DUMPDONE\n"),
    (m.Pong(), b"PONG\n"),
    (m.Tracking("A-1", 2), b"TRACKING A-1 2\n"),
    (m.Pid(4711), b"PID 4711\n"),
    (m.Goodbye(), b"OK Goodbye\n"),
]

REQUESTS = [
    (b"DUMPALL\n", m.DumpAll()),
    (b"dumpstatus\n", m.DumpStatus()),
    (b"DUMPVALUE ups.status\n", m.DumpValue("ups.status")),
    (b"DUMPVALUE\n", m.Unknown(("DUMPVALUE",))),
    (b"PING foo\n", m.Ping()),
    (b"GETPID\n", m.GetPid()),
    (b"NOBROADCAST\n", m.NoBroadcast()),
    (b"BROADCAST\n", m.Broadcast(True)),
    (b"BROADCAST 0\n", m.Broadcast(False)),
    (b"BROADCAST -1\n", m.Broadcast(False)),
    (b"BROADCAST x\n", m.Broadcast(True)),
    (b"LOGOUT\n", m.Logout()),
    (b"INSTCMD load.off\n", m.InstCmd("load.off")),
    (b"INSTCMD load.off 5\n", m.InstCmd("load.off", "5")),
    (b"INSTCMD load.off TRACKING id\n", m.InstCmd("load.off", None, "id")),
    (b"INSTCMD load.off 5 TRACKING id\n", m.InstCmd("load.off", "5", "id")),
    (b"INSTCMD load.off TRACKING\n", m.InstCmd("load.off", "TRACKING")),
    (b"INSTCMD c a b\n", m.Unknown(("INSTCMD", "c", "a", "b"), "Malformed INSTCMD request")),
    (b"INSTCMD c a=b\n", m.Unknown(("INSTCMD", "c", "a", "=", "b"), "Malformed INSTCMD request")),
    (b"INSTCMD\n", m.Unknown(("INSTCMD",))),
    (b'SET v "b c"\n', m.Set("v", "b c")),
    (b'SET v "8" TRACKING 2DDC\n', m.Set("v", "8", "2DDC")),
    (b'SET v "8" tracking 2DDC\n', m.Set("v", "8", "2DDC")),
    (b'SET v "8" NONSENSE 2DDC\n', m.Unknown(("SET", "v", "8", "NONSENSE", "2DDC"), "Malformed SET request")),
    (b"SET v a=b TRACKING X\n", m.Set("v", "a")),
    (b"SET v\n", m.Unknown(("SET", "v"))),
    (b"FOO bar\n", m.Unknown(("FOO", "bar"))),
    (b"NOBROADCASTPING\n", m.Unknown(("NOBROADCASTPING",))),
    (b"\n", m.Unknown(())),
]


def _line(data: bytes) -> tuple[str, ...]:
    (line,) = Reader().feed(data)
    assert isinstance(line, Line)
    return line.words


@pytest.mark.parametrize(("message", "data"), MESSAGES)
def test_a_message_is_written_as_nut_reads_it_and_read_back(message: m.Message, data: bytes) -> None:
    assert message.encode() == data
    assert m.parse_message(_line(data)) == message


@pytest.mark.parametrize(("data", "request_"), REQUESTS)
def test_a_request_is_read_as_a_c_driver_reads_it(data: bytes, request_: m.Request) -> None:
    assert m.parse_request(_line(data)) == request_


@pytest.mark.parametrize("request_", [r for _, r in REQUESTS if not isinstance(r, m.Unknown)])
def test_a_request_is_written_so_that_it_is_read_back(request_: m.Request) -> None:
    assert m.parse_request(_line(request_.encode())) == request_


def test_half_a_message_is_none() -> None:
    for words in ([], ["SETINFO", "x"], ["ADDRANGE", "x", "1"], ["ADDRANGE", "x", "a", "b"], ["TRACKING", "x", "y"], ["NEVER"]):
        assert m.parse_message(words) is None


def test_a_line_never_exceeds_what_upsd_can_hold() -> None:
    line = m.SetInfo("n" * 40, "#" * 1000).encode()
    assert len(line) < 490
    assert line.endswith(b'"\n')
