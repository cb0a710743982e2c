# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py demo``: an outage, seen by upsc and upsmon, with nothing at stake.

A simulated house, this driver started by the real upsdrvctl, the real upsd and the real upsmon, all on loopback and in a
scratch directory. upsmon's SHUTDOWNCMD writes a file.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nutdrv_py.errors import NutdrvError
from nutdrv_py.simulators import enphase, rct
from nutdrv_py.simulators.nut import Stage, find_program
from nutdrv_py.simulators.running import RunningDevice

__all__ = ["configure", "run"]

HELP = "show an outage as upsc and upsmon see it, on loopback, with a simulated house"

UPS = "house"

SPEED = 25.0
"""The house's clock against ours: a charge lasts seconds instead of minutes."""

LOOKS = 8.0
"""Seconds after which a driver ends at once: its option looks, and one more."""

PATIENCE = 45.0
"""Seconds the demo waits for each step before it says what went wrong."""


@dataclass(frozen=True, slots=True)
class _Device:
    """What the demo knows of a device: how it is simulated and configured, and what its story says of it."""

    title: str
    cut: str
    """What happens at the device when the grid fails."""
    make: Callable[[], RunningDevice[Any]]
    section: Callable[[Any], Mapping[str, str]]
    begin: Mapping[str, Any]
    epilogue: str
    credentials: Callable[[Any], str] = lambda simulator: ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--backend", choices=tuple(_DEVICES), default="enphase", help="which device to simulate")
    parser.add_argument("--keep", action="store_true", help="leave the scratch directory behind")


class _Screen:
    def __init__(self) -> None:
        self._began = time.monotonic()
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._bold, self._plain = ("\033[1m", "\033[0m") if colour else ("", "")

    def title(self, text: str) -> None:
        print(f"\n{self._bold}{text}{self._plain}", flush=True)

    def line(self, text: str) -> None:
        print(f"  {time.monotonic() - self._began:5.1f} s  {text}", flush=True)

    def plain(self, text: str) -> None:
        print(f"           {text}", flush=True)


_SHOWN = (
    "ups.status", "battery.charge", "battery.charge.low", "battery.runtime", "battery.charger.status", "ups.load",
    "ups.realpower", "input.voltage", "input.realpower", "output.voltage", "experimental.grid.state",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Show the story; 0 when every step was seen."""
    device = _DEVICES[args.backend]
    screen = _Screen()
    for name in ("upsd", "upsmon", "upsc", "upsdrvctl"):
        find_program(name)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    signal.signal(signal.SIGHUP, lambda number, frame: sys.exit(128 + number))
    print(f"nutdrv_py demo: {device.title}, and the real upsdrvctl, upsd, upsc and upsmon.")
    print(f"All of it runs on 127.0.0.1 and in a scratch directory; time in the house runs {SPEED:g} times as fast as yours.")
    with device.make() as running, _stage(device, running, keep=args.keep) as stage:
        running.set(**device.begin)
        try:
            _tell(screen, stage, running, device)
        except _Missed as error:
            screen.line(f"FAILED: {error}")
            for name in ("upsd", "upsmon"):
                with contextlib.suppress(OSError):
                    print(f"--- {name}:", (stage.folder / "log" / name).read_text(errors="replace")[-2000:])
            return 1
    print(device.epilogue)
    return 0


@contextlib.contextmanager
def _stage(device: _Device, running: RunningDevice[Any], *, keep: bool) -> Iterator[Stage]:
    stage = Stage({"driver": "nutdrv_py", **device.section(running.sim)}, ups=UPS)
    text = device.credentials(running.sim)
    if text:
        secret = stage.folder / "etc" / "credentials"
        secret.touch(mode=0o600)
        secret.write_text(text, encoding="utf-8")
    try:
        yield stage
    finally:
        stage.close(keep=keep)
        if keep:
            print(f"\nThe scratch directory is left in {stage.folder}")


class _Missed(NutdrvError):
    pass


def _wait(what: str, test: object, *, patience: float = PATIENCE) -> float:
    began = time.monotonic()
    assert callable(test)
    while not test():
        if time.monotonic() - began > patience:
            raise _Missed(f"{what} did not come within {patience:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - began


def _tell(screen: _Screen, stage: Stage, running: RunningDevice[Any], device: _Device) -> None:
    screen.title("1. On the grid")
    started = stage.upsdrvctl("start", stage.ups)
    if started.returncode != 0:
        raise _Missed(f"upsdrvctl start ended with {started.returncode}:\n{started.stdout}{started.stderr}")
    screen.line("$ upsdrvctl start house     (the driver is in the background, its first data are there)")
    stage.upsd()
    _wait("the first answer of upsd", lambda: "OL" in stage.variables().get("ups.status", ""))
    screen.line("$ upsc house")
    found = stage.variables()
    for name in _SHOWN:
        if name in found:
            screen.plain(f"{name}: {found[name]}")
    screen.plain(f"... and {len(found) - len(_SHOWN)} more")
    monitor = stage.upsmon()
    time.sleep(1)
    watched = monitor.poll() is None
    if watched:
        screen.line("upsmon watches; its SHUTDOWNCMD only writes a file here")
    else:
        said = (stage.folder / "log" / "upsmon").read_text(errors="replace").strip().splitlines() or ["nothing"]
        reason = next((line for line in said if "already running" in line or line.startswith("Can not")), said[-1])
        screen.line(f'upsmon ended at once, so the demo shows all but its shutdown; it said: "{reason.strip()}"')
    time.sleep(2)

    screen.title("2. The grid fails")
    running.set(grid="outage")
    took = _wait("OB", lambda: "OB" in stage.upsc("ups.status").stdout)
    status = stage.upsc("ups.status").stdout.strip()
    screen.line(f"upsc says {status}, {took:.1f} s after {device.cut} (pollinterval here: 2 s)")

    screen.title("3. The battery carries the house")
    last = ("", "")
    began = time.monotonic()
    while True:
        found = stage.variables()
        charge, status = found.get("battery.charge", "?"), found.get("ups.status", "")
        if (charge, status) != last:
            seconds = int(found.get("battery.runtime", "0"))
            watts = found.get("ups.realpower", "?")
            screen.line(f"charge {charge:>3} %   runtime {seconds // 60:3d} min   load {watts} W   {status}")
            last = charge, status
        if "LB" in status:
            break
        if time.monotonic() - began > PATIENCE:
            raise _Missed("LB did not come")
        time.sleep(0.4)

    screen.title("4. Low battery: upsmon shuts the host down")
    screen.line(f"LB at {found['battery.charge']} % (battery.charge.low is {found['battery.charge.low']})")
    if watched:
        took = _wait("SHUTDOWNCMD", stage.shutdown_file.exists)
        screen.line(f"upsmon called SHUTDOWNCMD {took:.1f} s later: a real server would be down safely by now")

    screen.title("5. The grid returns")
    running.set(grid="on", pv=4800)
    took = _wait("OL", lambda: "OL" in stage.upsc("ups.status").stdout)
    screen.line(f"upsc says {stage.upsc('ups.status').stdout.strip()}, {took:.1f} s after the grid came back")
    if watched:
        screen.plain("FSD is upsd's own note of the shutdown; it keeps it until it is restarted")
    # upsdrvctl from 2.8.1 on waits 5 s and kills; the driver lets upsmon see for longer that the outage is over.
    time.sleep(LOOKS)
    stopped = stage.upsdrvctl("stop", stage.ups)
    if stopped.returncode != 0:
        raise _Missed(f"upsdrvctl stop ended with {stopped.returncode}: {stopped.stderr}")
    screen.line("$ upsdrvctl stop house")


def _enphase_section(simulator: enphase.GatewaySimulator) -> Mapping[str, str]:
    return {
        "port": simulator.host_port,
        "backend": "enphase",
        "serial": simulator.serial,
        "credentials": "credentials",
        "tokenfile": "token",
        "login_url": simulator.login_url,
        "token_url": simulator.token_url,
        "pollinterval": "2",
        "pollfreq": "5",
        "desc": "Simulated house battery",
    }


_ENPHASE_EPILOGUE = """
For your own gateway, as root, in the folder of this README:

    python3 -m venv /opt/nutdrv_py && /opt/nutdrv_py/bin/pip install .
    /opt/nutdrv_py/bin/nutdrv_py install             # puts the driver where upsdrvctl looks
    cat >> /etc/nut/ups.conf <<END
    [home]
        driver      = nutdrv_py
        port        = envoy.local                    # better: the gateway's fixed address
        backend     = enphase
        credentials = enphase-home.conf              # in /etc/nut, mode 0640, owner root:nut
        desc        = "House battery"
    END
    install -m 0640 -o root -g nut /dev/null /etc/nut/enphase-home.conf
    editor /etc/nut/enphase-home.conf                # USERNAME=... and PASSWORD=... of the Enphase app
    editor /etc/nut/nut.conf                         # MODE=standalone, or upsd does not start
    upsdrvctl start home && systemctl restart nut-server && upsc home"""

_RCT_EPILOGUE = """
For your own inverter, as root, in the folder of this README:

    python3 -m venv /opt/nutdrv_py && /opt/nutdrv_py/bin/pip install .
    /opt/nutdrv_py/bin/nutdrv_py install             # puts the driver where upsdrvctl looks
    cat >> /etc/nut/ups.conf <<END
    [home]
        driver      = nutdrv_py
        port        = 192.168.1.50                   # the inverter's fixed address
        backend     = rct
        desc        = "House battery"
    END
    editor /etc/nut/nut.conf                         # MODE=standalone, or upsd does not start
    upsdrvctl start home && systemctl restart nut-server && upsc home"""

_DEVICES: Mapping[str, _Device] = {
    "enphase": _Device(
        title="a simulated house with two Enphase batteries",
        cut="the gateway's relay opened",
        make=lambda: enphase.RunningSimulator(
            dataclasses.replace(enphase.load_scenario("demo"), timeline=()), speed=SPEED
        ),
        section=_enphase_section,
        begin={"soc": 34, "grid": "on"},
        epilogue=_ENPHASE_EPILOGUE,
        credentials=lambda simulator: f"USERNAME={simulator.username}\nPASSWORD={simulator.password}\n",
    ),
    "rct": _Device(
        title="a simulated house with an RCT Power inverter, its battery and a Power Switch",
        cut="the grid was lost",
        make=lambda: rct.RunningInverter(dataclasses.replace(rct.load_scenario("demo"), timeline=()), speed=SPEED),
        section=lambda simulator: {
            "port": simulator.host_port, "backend": "rct", "pollinterval": "2", "desc": "Simulated house battery",
        },
        begin={"soc": 23, "grid": "on", "reclose_seconds": 60},
        epilogue=_RCT_EPILOGUE,
    ),
}  # fmt: skip
