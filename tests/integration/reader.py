# SPDX-License-Identifier: GPL-2.0-or-later
"""Types what a page of the documentation says, on a NUT of its own, and compares what comes with what the page shows."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from nutdrv_py.simulators.nut import free_port
from tests.integration.conftest import Watched, wait

BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PATIENCE = 15.0
"""Seconds in which a command must print what the page says; an outage is looked at twice."""


class Reader:
    """Types what a block holds. Paths, ports and the section are those of the scratch NUT."""

    def __init__(self, folder: Path, *, environ: Mapping[str, str] = MappingProxyType({})) -> None:
        self.stage = Watched({"driver": "nutdrv_py"}, ups="mine", environ=environ)
        self.folder = folder
        self.port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []

    def here(self, text: str) -> str:
        text = re.sub(r"/tmp/(battery|solar)\b", rf"{self.folder}/\1", text)
        return text.replace("/etc/nut", f"{self.stage.folder}/etc").replace("8000", str(self.port))

    def listens(self) -> bool:
        """Whether the device of the page can be reached."""
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def write(self, name: str, text: str) -> None:
        path = self.stage.folder / "etc" / name
        path.write_text(text)
        path.chmod(0o640)

    def section(self, text: str) -> None:
        path = self.stage.folder / "etc" / "ups.conf"
        self.write("ups.conf", path.read_text().partition("[mine]")[0] + self.here(text))

    def type(self, command: str) -> str:
        if command.endswith("&"):
            words = command.removesuffix("&").split()
            environ = self.stage.environment()
            self.processes.append(subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            wait(self.listens, 20)
            return ""
        if command == "kill %1":
            self.processes[0].terminate()
            self.processes[0].wait(10)
            return ""
        if command.startswith("upsc "):
            return self.stage.upsc(*command.split()[2:]).stdout
        if command.startswith("upsdrvctl start"):
            self.stage.start()
            self.stage.upsd()
            return "Network UPS Tools\n"
        if command.startswith("nutdrv_py"):
            command = f"{self.stage.folder}/bin/{command}"
        done = subprocess.run(command, shell=True, env=self.stage.environment(), capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def console(self, text: str) -> None:
        """Type each command; what the page shows of its output must come, line by line, in that order."""
        for part in re.split(r"^\$ ", self.here(text), flags=re.MULTILINE)[1:]:
            command, *wanted = part.splitlines()
            lines = [line.strip() for line in wanted if line != "..."]
            end = time.monotonic() + PATIENCE
            while not _in_order(lines, output := self.type(command)):
                assert time.monotonic() < end, f"{command} printed {output!r}"
                time.sleep(0.3)

    def page(self, text: str) -> None:
        """Type each block; there must be enough of them to see that the page was found."""
        typed = 0
        for kind, block in BLOCK.findall(text):
            match kind:
                case "yaml":
                    self.write("my-battery.yaml", block)
                case "ups.conf":
                    self.section(block)
                case "console":
                    self.console(block)
                case _:
                    pytest.fail(f"a block of the kind {kind!r} cannot be typed")
            typed += 1
        assert typed >= 6

    def close(self) -> None:
        self.stage.close()
        for process in self.processes:
            process.kill()
            process.wait(10)


def _in_order(wanted: list[str], output: str) -> bool:
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    return all(any(" ".join(line.split()) in found for found in lines) for line in wanted)
