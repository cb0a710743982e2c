# SPDX-License-Identifier: GPL-2.0-or-later
"""Many clients: seconds until the last one has a change, and until PONG while the device hangs, a flood comes, all of them dump."""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator

from figures import Figure, p99, show, spread
from stage import LIMIT, PEER, Scene, ask, scene

COUNTS = (1, 10, 100)
AIM = "p99 below 20 ms"


def broadcast(found: Scene, ups: str, clients: list[socket.socket], rounds: int) -> list[float]:
    """Return the seconds from a change of the file to the last of the clients having it."""
    taken = []
    # It ends as it began, with OL.
    for index in range(rounds + rounds % 2):
        status = ("OB", "OL")[index % 2]
        # dummy-ups takes two changes in one second for one.
        time.sleep(1.1)
        found.file(ups, 60, status)
        began = time.monotonic()
        for client in clients:
            ask(client, b"", f'ups.status "{status}'.encode())
        taken.append(time.monotonic() - began)
    return taken


def pongs(line: socket.socket, count: int) -> list[float]:
    """Return the seconds to each PONG."""
    taken = []
    for _ in range(count):
        began = time.monotonic()
        ask(line, b"PING\n", b"PONG\n")
        taken.append(time.monotonic() - began)
        time.sleep(0.01)
    return taken


@contextlib.contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do work again and again in a thread meanwhile."""
    ended = threading.Event()

    def again() -> None:
        # dummy-ups may drop its clients.
        with contextlib.suppress(OSError):
            while not ended.is_set():
                work()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LIMIT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--pings", type=int, default=200)
    args = parser.parse_args()
    with scene() as found:
        for ups in ("ours", PEER):
            path = found.file(ups, 60)
            driver = {"driver": "dummy-ups", "mode": "dummy-once"} if ups == PEER else {"driver": "nutdrv_py", "backend": "dummy"}
            found.section(ups, **driver, port=str(path))
            found.start(ups)
        running = found.device("rct", "rct")
        found.start("rct")
        crowd: dict[str, list[socket.socket]] = {"ours": [], PEER: []}
        for count in COUNTS:
            taken = {}
            for ups, clients in crowd.items():
                while len(clients) < count:
                    clients.append(found.connect(ups))
                    ask(clients[-1], b"DUMPALL\n", b"DUMPDONE\n")
                taken[ups] = broadcast(found, ups, clients, args.rounds)
            ours, peer = taken["ours"], taken[PEER]
            ratio, name = statistics.median(ours) / statistics.median(peer), f"change to the last of {count} clients"
            show(Figure(name, spread(ours, "ms", 1000), f"dummy-ups {spread(peer, 'ms', 1000)}", ratio))
        lines = {ups: found.connect(ups) for ups in ("ours", PEER, "rct")}
        noise = {ups: found.connect(ups) for ups in ("ours", PEER)}

        def all_dump(ups: str) -> None:
            for client in crowd[ups]:
                client.sendall(b"DUMPALL\n")
            for client in crowd[ups]:
                ask(client, b"", b"DUMPDONE\n")

        def flood(ups: str) -> None:
            noise[ups].sendall(b"x" * 1023 + b"\n")
            time.sleep(0)

        for name, work in (("100 clients dump", all_dump), ("a client floods", flood)):
            taken, peer_words = {}, ""
            for ups in ("ours", PEER):
                try:
                    with beside(lambda work=work, ups=ups: work(ups)):  # type: ignore[misc]
                        taken[ups] = pongs(lines[ups], args.pings)
                except OSError as error:
                    peer_words = f"dummy-ups: {error}"
            if PEER in taken:
                peer_words = f"dummy-ups {spread(taken[PEER], 'ms', 1000)}"
            ratio = p99(taken["ours"]) / p99(taken[PEER]) if PEER in taken else None
            show(Figure(f"PING to PONG while {name}", spread(taken["ours"], "ms", 1000), peer_words, ratio, AIM))
        running.set(silent=True)
        show(Figure("PING to PONG while the device hangs", spread(pongs(lines["rct"], args.pings), "ms", 1000), "", None, AIM))


if __name__ == "__main__":
    main()
