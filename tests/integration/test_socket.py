# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's socket, byte for byte: what a running driver answers to upsd, to other drivers and to nonsense."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from nutdrv_py.nut import messages as m
from nutdrv_py.process.server import MAX_BACKLOG
from tests.integration.conftest import Lab, alive, wait


def test_ping_in_every_spelling_and_silence_for_nonsense(lab: Lab) -> None:
    lab.start()
    client = lab.client()
    client.silence()
    for request in (b"PING\n", b"ping\r\n", b"PI\x00NG\n", b"PING foo\n", b"PI\\\nNG\n"):
        assert client.ask(request, b"\n") == b"PONG\n"
    for request in (b"\n", b"# x\n", b"FOO\n", b"DUMPVALUE\n", b"SET x\n", b"INSTCMD\n", b"INSTCMD c a b\n", b"NOBROADCASTPING\n"):
        client.send(request)
    assert client.quiet() == b""
    assert client.ask(b"PING\n", b"\n") == b"PONG\n"


def test_a_line_in_pieces_long_words_many_words_and_an_open_quote_do_no_harm(lab: Lab) -> None:
    lab.start()
    client = lab.client()
    client.silence()
    for byte in b"PING\n":
        client.send(bytes([byte]))
        time.sleep(0.01)
    assert client.until(b"PONG\n") == b"PONG\n"
    client.send(b"x" * 600 + b"\n" + b"w " * 40 + b"\nPING\nPING\n")
    assert client.until(b"PONG\nPONG\n") == b"PONG\nPONG\n"
    client.send(b'SET a "never closed\nPING\nPING\n')
    assert client.quiet() == b""
    client.send(b'"\nPING\n')
    assert client.until(b"PONG\n") == b"PONG\n"
    client.send(b'SET a "bare # hash" \nPING\n')
    assert client.until(b"PONG\n") == b"PONG\n"


def test_random_bytes_leave_the_server_answering(lab: Lab) -> None:
    lab.start()
    dice = random.Random(1)
    for _ in range(30):
        client = lab.client()
        client.send(bytes(dice.choice(b'PINGSETUMPALL "#\\\n= \x00\xff') for _ in range(2000)))
        client.close()
    client = lab.client()
    client.send(b"NOBROADCAST\nPING\n")
    assert client.until(b"PONG\n").endswith(b"PONG\n")


def test_a_fresh_stale_driver_dumps_stale_and_no_ok(lab: Lab) -> None:
    lab.say(grid=None)
    lab.start()
    dump = lab.client().ask(b"DUMPALL\n", b"DUMPDONE\n")
    assert dump.startswith(b"DATASTALE\n")
    assert b"DATAOK" not in dump
    assert b"ups.status" not in dump


def test_a_good_driver_dumps_ok_as_the_last_line_but_one(lab: Lab) -> None:
    lab.start()
    dump = lab.client().ask(b"DUMPALL\n", b"DUMPDONE\n")
    assert dump.endswith(b"\nDATAOK\nDUMPDONE\n")
    assert b"DATASTALE" not in dump
    names = [line.split()[1].lower() for line in dump.splitlines() if line.startswith(b"SETINFO")]
    assert names == sorted(names)


def test_dump_and_broadcast_escape_alike_and_send_no_raw_text(lab: Lab) -> None:
    lab.start()
    client = lab.client()
    lab.say(name='a "b" \\c #d=é')
    expected = b'"a \\"b\\" \\\\c \\#d=e"\n'
    client.until(b"SETINFO ups.model " + expected)
    assert b"SETINFO ups.model " + expected in lab.client().ask(b"DUMPALL\n", b"DUMPDONE\n")


def test_one_value_status_pid_and_goodbye(lab: Lab) -> None:
    lab.start()
    client = lab.client()
    client.silence()
    assert client.ask(b"DUMPSTATUS\n", b"DUMPDONE\n") == b'SETINFO ups.status "OL"\nDATAOK\nDUMPDONE\n'
    assert client.ask(b"DUMPVALUE Battery.Charge\n", b"DUMPDONE\n") == b'SETINFO battery.charge "87"\nDATAOK\nDUMPDONE\n'
    assert client.ask(b"DUMPVALUE nothing\n", b"DUMPDONE\n") == b"DATAOK\nDUMPDONE\n"
    assert client.ask(b"GETPID\n", b"\n") == f"PID {lab.pid}\n".encode()
    assert client.ask(b"LOGOUT\n", b"\n") == b"OK Goodbye\n"
    assert client.eof(1)


def test_set_and_instcmd_answer_only_with_an_id_and_after_the_broadcast(lab: Lab) -> None:
    lab.start()
    client = lab.client()
    client.send(b'SET ups.delay.shutdown "26" TRACKING ABC-1\n')
    lines = client.until(b"TRACKING ABC-1 0\n")
    assert b'SETINFO ups.delay.shutdown "26"\n' in lines
    client.silence()
    table = [
        (b'SET ups.status "OB" TRACKING a\n', b"TRACKING a 2\n"),
        (b'SET no.such "1" TRACKING a\n', b"TRACKING a 1\n"),
        (b'SET ups.delay.shutdown "601" TRACKING a\n', b"TRACKING a 2\n"),
        (b'SET ups.id "%s" TRACKING a\n' % (b"x" * 21), b"TRACKING a 2\n"),
        (b'SET ups.id "a b #" TRACKING a\n'.replace(b"#", b"\\#"), b"TRACKING a 0\n"),
        (b"SET driver.debug -1 TRACKING b\n", b"TRACKING b 0\n"),
        (b"SET driver.debug foo TRACKING b\n", b"TRACKING b 2\n"),
        (b"SET driver.flag.allow_killpower junk TRACKING d\n", b"TRACKING d 0\n"),
        (b"INSTCMD driver.killpower TRACKING e\n", b"TRACKING e 2\n"),
        (b"INSTCMD DRIVER.EXIT TRACKING k\n", b"TRACKING k 1\n"),
        (b"INSTCMD test.battery.start TRACKING f\n", b"TRACKING f 0\n"),
        (b"INSTCMD test.battery.start 5 TRACKING f\n", b"TRACKING f 0\n"),
        (b"INSTCMD load.off TRACKING g\n", b"TRACKING g 3\n"),
        (b"INSTCMD no.such TRACKING g\n", b"TRACKING g 1\n"),
    ]
    for request, reply in table:
        assert client.ask(request, b"\n") == reply, request
    for request in (b'SET ups.delay.shutdown "27"\n', b"INSTCMD test.battery.start\n", b'SET a "1" NONSENSE x\n'):
        client.send(request)
    assert client.quiet() == b""
    # upsd never seeds its ids, so the same one comes again after each of its restarts.
    for _ in range(3):
        assert client.ask(b'SET ups.delay.shutdown "28" TRACKING same\n', b"\n") == b"TRACKING same 0\n"


def test_nobroadcast_is_silence_and_broadcast_ends_it(lab: Lab) -> None:
    lab.start()
    client = lab.client()
    client.silence()
    lab.say(soc=50)
    assert client.quiet(1.5) == b""
    client.send(b"BROADCAST 1\n")
    lab.say(soc=49)
    client.until(b'SETINFO battery.charge "49"\n')


def test_driver_exit_says_so_and_leaves_nothing_behind(lab: Lab) -> None:
    lab.start()
    pid = lab.pid
    client = lab.client()
    client.send(b"INSTCMD driver.exit TRACKING z\n")
    said = client.until(b"TRACKING z 0\n") + client.until(b'SETINFO driver.state "cleanup.exit"\n')
    assert said.index(b"TRACKING z 0") < said.index(b"cleanup.exit")
    assert client.eof(5)
    wait(lambda: not alive(pid))
    assert not lab.socket.exists()
    assert not lab.pid_file.exists()


def test_a_client_that_never_reads_is_cut_off_and_the_others_are_served(lab: Lab) -> None:
    lab.start()
    deaf, other = lab.client(), lab.client()
    other.silence()
    worst = 0.0
    deaf.sock.setblocking(False)
    sent = 0
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            sent += deaf.sock.send(b"DUMPALL\n" * 20)
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            break
        began = time.monotonic()
        assert other.ask(b"PING\n", b"\n") == b"PONG\n"
        worst = max(worst, time.monotonic() - began)
    else:
        raise AssertionError(f"not cut off after {sent} bytes of requests")
    assert worst < 1
    assert MAX_BACKLOG < 64 << 20


def test_a_client_that_leaves_without_a_word_costs_nothing(lab: Lab) -> None:
    lab.start()
    for _ in range(50):
        client = lab.client()
        client.send(b"DUMPALL\n")
        client.close()
    before = _cpu(lab.pid)
    time.sleep(1.5)
    assert _cpu(lab.pid) - before < 30  # of 150 hundredths of a second


def _cpu(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_four_hundred_variables_reach_a_reader_that_pauses(labs: Callable[..., Lab]) -> None:
    """A C driver cuts such a reader off after 278 lines."""
    lab = labs()
    lab.configure(*(f"override.experimental.v{n} = {n}" for n in range(400)))
    lab.start()
    client = lab.client()
    client.send(b"DUMPALL\n")
    time.sleep(3)
    dump = client.until(b"DUMPDONE\n")
    for n in range(400):
        assert f'SETINFO experimental.v{n} "{n}"\n'.encode() in dump


def test_a_sibling_is_asked_as_nuts_own_tools_do(lab: Lab) -> None:
    lab.start()
    client = lab.client()
    assert client.ask(b"NOBROADCAST\nPING\n", b"PONG\n").endswith(b"PONG\n")
    client.send(b"INSTCMD driver.exit TRACKING 11111111-2222\n")
    assert client.until(b"TRACKING 11111111-2222 0\n")
    wait(lambda: not lab.socket.exists())


def test_the_socket_file_of_a_successor_is_left_alone(lab: Lab) -> None:
    lab.start()
    pid = lab.pid
    lab.socket.unlink()
    lab.socket.write_text("a successor's")
    lab.pid_file.write_text("999999999\n")
    import os

    os.kill(pid, signal.SIGTERM)
    wait(lambda: not alive(pid))
    assert lab.socket.read_text() == "a successor's"
    assert lab.pid_file.exists()
    lab.pid_file.unlink()


def test_a_reload_keeps_the_connection_and_the_data(lab: Lab) -> None:
    lab.start()
    client = lab.client()
    lab.configure("override.battery.packs = 3", "debug_min = 1")
    client.send(b"INSTCMD driver.reload-or-error TRACKING r\n")
    said = client.until(b"TRACKING r 0\n")
    assert b'SETINFO battery.packs "3"\n' in said
    assert b'SETINFO driver.state "reloading"\n' in said
    assert b"DATASTALE" not in said
    lab.configure("group = root", "nonsense = 1")
    assert client.ask(b"INSTCMD driver.reload-or-error TRACKING s\n", b"TRACKING s 2\n")
    assert client.ask(b"PING\n", b"PONG\n")


def test_messages_of_a_dump_are_known_to_our_own_reader(lab: Lab) -> None:
    lab.start()
    client = lab.client()
    found = client.messages(client.ask(b"DUMPALL\n", b"DUMPDONE\n"))
    assert None not in found
    assert m.SetFlags("ups.id", ("RW", "STRING")) in found
    assert m.SetAux("ups.id", 20) in found
    assert m.AddRange("ups.delay.shutdown", 0, 600) in found
    assert m.AddCmd("driver.reload-or-error") in found
    assert m.AddCmd("driver.exit") not in found
