# SPDX-License-Identifier: GPL-2.0-or-later
"""Magic packets for machines that were shut down in an outage: the section ``wake``. :mod:`.rules` decides."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from nutdrv_py.clock import Clock
from nutdrv_py.core.telemetry import Source
from nutdrv_py.device.reading import Status
from nutdrv_py.exporters.aside import aside
from nutdrv_py.exporters.base import Exporter
from nutdrv_py.exporters.config import Machine, Wake
from nutdrv_py.exporters.wake.memory import MOST, packed, unpacked
from nutdrv_py.exporters.wake.net import answers, send
from nutdrv_py.exporters.wake.rules import Grid, Look, Progress, State, after, asked, progress
from nutdrv_py.log import Trouble, log
from nutdrv_py.machine.files import read, replace

__all__ = ["TICK", "WakeExporter"]

TICK = 5.0
"""Seconds between two looks at the grid; no machine is asked more often."""

SAVE = 2.0
"""Maximum seconds that the start, or a packet, waits for the disk."""

LOW, CHARGE = "battery.charge.low", "battery.charge"


class WakeExporter(Exporter):
    """Asks and wakes the machines of ``options``. ``folder`` keeps a file with those that wait.

    With several sources the grid is back when it is for all of them, and the lowest charge counts.
    """

    def __init__(self, sources: Sequence[Source], options: Wake, clock: Clock, folder: Path) -> None:
        super().__init__(sources)
        self.sent: Counter[str] = Counter({machine.name: 0 for machine in options.machines})
        """Packets since the start, by machine."""
        self._options = options
        self._clock = clock
        self._path = folder / f"nutdrv_py-{quote(self.sources[0].ups, safe='')}.wake"
        self._state = State()
        self._asked: dict[str, float] = {}
        self._saved = b""
        self._trouble = Trouble()
        self._task: asyncio.Task[None] | None = None

    @property
    def progress(self) -> list[Progress]:
        """Return how far each machine is."""
        return progress(self._state, self._look({}), self._options)

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; what is to be remembered is on the disk already."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        await self._restore()
        while True:
            try:
                await self._turn()
            except Exception as error:
                if self._trouble.report("turn", f"internal error in the section wake: {type(error).__name__}"):
                    log.error("please report this:", exc_info=error)
            await self._clock.sleep(TICK)

    async def _turn(self) -> None:
        machines = {machine.name: machine for machine in self._options.machines}
        before = self._look({})
        due = asked(self._state, machines, before.grid, before.at, self._asked)
        told = await asyncio.gather(*(answers(machines[name].answers) for name in due))
        self._asked |= dict.fromkeys(due, before.at)
        old = self._state
        # Looked at again: the grid may have gone while the machines were asked. Nothing is waited for from here to the packet
        # but the disk, for SAVE seconds at most.
        look = self._look(dict(zip(due, told, strict=True)))
        self._state, packets = after(old, look, self._options)
        self._note(old, look)
        await self._save()
        for machine in packets:
            if self._look({}).grid is Grid.ON:
                self._send(machine)

    def _look(self, told: dict[str, bool]) -> Look:
        views = [source.view() for source in self.sources]
        grids = {_grid(view.stale, view.status) for view in views}
        grid = next(grid for grid in (Grid.OFF, Grid.UNKNOWN, Grid.ON) if grid in grids)
        charges = [view.numbers.get(CHARGE) for view in views]
        known = [charge for charge in charges if charge is not None]
        marks = [view.numbers[LOW] for view in views if LOW in view.numbers]
        charge = min(known) if len(known) == len(charges) else None
        return Look(self._clock.monotonic(), grid, charge, max(marks, default=None), told)

    def _send(self, machine: Machine) -> None:
        one, options = self._state.wanted[machine.name], self._options
        log.info("Waking %s: magic packet %d of %d to %s", machine.name, one.sent, options.attempts, options.broadcast)
        self.sent[machine.name] += 1
        try:
            send(machine.mac, options.broadcast, options.port)
        except OSError as error:
            text = f"no magic packet can be sent to {options.broadcast}: {error.strerror}; see wake.broadcast"
            self._trouble.report("send", text)
        else:
            self._trouble.clear("send")

    def _note(self, old: State, look: Look) -> None:
        """Log once what becomes of a machine."""
        for name in old.wanted.keys() - self._state.wanted.keys():
            if look.answers.get(name):
                log.info("%s is up again after the outage", name)
            else:
                log.warning("%s did not wake up within a day after the outage, and is no longer woken", name)
        for name, one in self._state.wanted.items():
            spent = one.sent >= self._options.attempts and one.at is not None and look.at - one.at >= self._options.interval
            if not spent or one.since is not None:
                self._trouble.clear(f"spent {name}")
            else:
                self._trouble.report(
                    f"spent {name}", f"{name} does not wake up after {one.sent} magic packets; see wake on LAN in its BIOS, "
                    "its mac, and wake.broadcast",
                )  # fmt: skip

    async def _restore(self) -> None:
        try:
            async with asyncio.timeout(SAVE):
                data = await aside(lambda: read(self._path, MOST))
            self._state = unpacked(data, self._clock.monotonic(), self._clock.wall())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            why = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
            self._trouble.report("load", f"Machines that wait to be woken are forgotten: {self._path} cannot be used ({why})")
            return
        for name, one in self._state.wanted.items():
            log.info("%s was up in an outage before this start; %d magic packets were sent to it", name, one.sent)

    async def _save(self) -> None:
        wanted = {name: one.sent for name, one in self._state.wanted.items()}
        key = repr((sorted(wanted.items()), self._state.ended is None)).encode()
        if key == self._saved or (not wanted and not self._saved):
            return
        data = packed(self._state, self._clock.monotonic(), self._clock.wall())
        try:
            async with asyncio.timeout(SAVE):
                await aside(lambda: replace(self._path, data))
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else error.strerror
            self._trouble.report("save", f"{self._path} cannot be written ({why}), so a restart forgets which machines to wake")
        else:
            self._saved = key
            self._trouble.clear("save")


def _grid(stale: bool, status: Status) -> Grid:
    if not stale and Status.OB in status:
        return Grid.OFF
    if stale or Status.OL not in status or status & (Status.OFF | Status.FSD):
        return Grid.UNKNOWN
    return Grid.ON
