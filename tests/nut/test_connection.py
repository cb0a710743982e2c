# SPDX-License-Identifier: GPL-2.0-or-later
"""One client of the socket without the socket."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.nut import messages as m
from nutdrv_py.nut.connection import Connection, answer, encode
from nutdrv_py.nut.snapshot import Snapshot, Variable

SNAPSHOT = Snapshot({"ups.status": Variable("OL")}, frozenset({"load.off"}), stale=False)


def _talk(connection: Connection, data: bytes) -> bytes:
    return b"".join(encode(answer(request, SNAPSHOT, 42)) for request in connection.receive(data))


def test_a_conversation_is_answered_in_order() -> None:
    said = _talk(Connection(), b"NOBROADCAST\nPING\nGETPID\nDUMPSTATUS\nFOO\nLOGOUT\n")
    assert said == b'PONG\nPID 42\nSETINFO ups.status "OL"\nDATAOK\nDUMPDONE\nOK Goodbye\n'


def test_the_status_of_stale_data_is_blank_for_upsdrvctl_and_there_for_who_asks_for_the_variable() -> None:
    stale = replace(SNAPSHOT, stale=True)
    said = [encode(answer(request, stale, 42)) for request in (m.DumpStatus(), m.DumpValue("ups.status"))]
    assert said == [b"DATASTALE\nDUMPDONE\n", b'DATASTALE\nSETINFO ups.status "OL"\nDUMPDONE\n']


def test_broadcasts_are_on_until_they_are_switched_off() -> None:
    connection = Connection()
    assert connection.broadcast
    list(connection.receive(b"NOBROADCAST\n"))
    assert not connection.broadcast
    list(connection.receive(b"BROADCAST 0\n"))
    assert not connection.broadcast
    list(connection.receive(b"BROADCAST\n"))
    assert connection.broadcast


def test_set_and_instcmd_are_the_callers_and_have_no_answer_here() -> None:
    assert _talk(Connection(), b'SET a "1" TRACKING x\nINSTCMD load.off TRACKING y\n') == b""


def test_a_parse_error_costs_one_line() -> None:
    (bad, ping) = Connection().receive(b'SET a "x # y"\nPING\n')
    assert isinstance(bad, m.Unknown)
    assert bad.reason.startswith("Parse error on sock")
    assert ping == m.Ping()


@given(st.lists(st.binary(max_size=80), max_size=12))
def test_after_any_bytes_a_closed_quote_and_a_new_line_ping_is_answered(pieces: list[bytes]) -> None:
    connection = Connection()
    for piece in pieces:
        _talk(connection, piece)
    # Whatever state the bytes left behind (an escape, a quote, a comment, half a word), this ends it.
    assert _talk(connection, b' "\n"\n\nPING\n').endswith(b"PONG\n") or _talk(connection, b'"\nPING\n').endswith(b"PONG\n")
