# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may import whom, read from the syntax trees: the core stays pure, a backend stays a plug-in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nutdrv_py"

# module prefix -> what of this package it may import (prefixes); the longest prefix that fits counts
ALLOWED: dict[str, tuple[str, ...]] = {
    "errors": (),
    "clock": (),
    "log": ("errors",),
    "nut": ("nut", "errors"),
    "protocols": ("errors", "protocols"),
    "protocols.mqtt": ("errors", "log", "machine.extras", "protocols"),
    "protocols.modbus": ("errors", "machine.extras", "protocols"),
    "protocols.web": ("core.confined", "errors", "protocols"),
    "machine": ("errors", "machine"),
    "device": ("clock", "device", "errors", "log"),
    "device.backend": ("clock", "device", "errors", "log", "machine.plugins"),
    "device.credentials": ("device", "errors", "log", "machine.private"),
    "device.push": ("clock", "core.confined", "device", "errors", "log"),
    "core": ("clock", "core", "device", "errors", "log", "machine.paths", "nut.kinds", "nut.parseconf", "nut.snapshot", "__version__"),
    "core.confined": (),
    "backends": ("backends", "clock", "core.confined", "device", "errors", "log", "machine", "nut.parseconf", "nut.portfile", "nut.portitems", "protocols"),
    "backends.mapping": (
        "backends.mapping",
        "clock",
        "core.confined",
        "device",
        "errors",
        "log",
        "machine",
        "nut.kinds",
        "protocols",
    ),
    "backends.replay": ("backends", "clock", "device", "errors", "log", "protocols", "recording"),
    "recording": ("errors", "machine.files", "machine.place", "protocols", "recording"),
    "simulators": ("protocols", "simulators"),
    "simulators.nut": ("errors", "machine.launcher", "nut.parseconf"),
    "exporters": (
        "clock",
        "core.telemetry",
        "device.reading",
        "device.storage",
        "errors",
        "exporters",
        "log",
        "machine",
        "nut.kinds",
        "nut.portfile",
        "nut.portitems",
        "protocols",
    ),
    "process": ("clock", "core", "device", "errors", "exporters", "log", "machine", "nut", "process", "__version__"),
    "testing": ("clock", "core", "device", "errors", "log", "machine.paths", "nut", "testing"),
    # The roof for backends outside of this package: it may show anything that they need, and nothing inside stands on it.
    "api": ("clock", "device", "errors", "log", "protocols.web"),
    "cli": ("",),
    "commands": ("",),
    "__main__": ("cli",),
    "__init__": ("device",),
}

# third-party module -> the only places where it may be imported
PLACES: dict[str, tuple[str, ...]] = {
    "httpx": ("backends.enphase", "backends.replay.gateway", "commands.record_enphase", "exporters", "protocols.web"),
    "construct": ("backends.rct", "protocols.rct", "simulators"),
    "yaml": ("backends.mapping.nodes", "simulators", "commands", "exporters.config_file"),
    "asyncio": ("core", "process", "clock", "device.push", "backends", "protocols.modbus", "protocols.mqtt", "exporters", "simulators", "commands", "testing"),
    "socket": ("process", "simulators", "backends.rct.connection", "backends.repeater.line", "commands.check.device", "exporters.web", "exporters.wake.net"),
    "pynut2": ("backends.repeater.line", "commands"),
    "prometheus_client": ("exporters.prometheus",),
    "paho": ("protocols.mqtt",),
    "pymodbus": ("protocols.modbus",),
    "pytest": ("testing.plugin",),
}


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), path


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "nutdrv_py":
                yield from (f"nutdrv_py.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def _within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(prefix == "" or name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize(("module", "path"), list(_modules()))
def test_a_module_imports_only_what_its_layer_may(module: str, path: Path) -> None:
    fitting = [prefix for prefix in ALLOWED if module == prefix or module.startswith(prefix + ".")]
    assert fitting, f"{module} has no row in ALLOWED"
    allowed = ALLOWED[max(fitting, key=len)]
    for name in _imports(path):
        if name.startswith("nutdrv_py."):
            assert _within(name.removeprefix("nutdrv_py."), allowed), f"{module} imports {name}"
        elif name.split(".")[0] in PLACES:
            assert _within(module, PLACES[name.split(".")[0]]), f"{module} imports {name}"


@pytest.mark.parametrize(("module", "path"), [m for m in _modules() if m[0].startswith("nut")])
def test_the_protocol_core_is_pure(module: str, path: Path) -> None:
    assert not {"os", "time", "socket", "asyncio", "logging", "pathlib"} & set(_imports(path))


@pytest.mark.parametrize(("module", "path"), list(_modules()))
def test_each_file_names_its_licence(module: str, path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: GPL-2.0-or-later\n")


@pytest.mark.parametrize(("module", "path"), [m for m in _modules() if m[0] not in ("api", "testing") and not m[0].startswith("testing.")])
def test_the_built_in_code_does_not_stand_on_the_roof(module: str, path: Path) -> None:
    assert "nutdrv_py.api" not in set(_imports(path))


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    names = {path.stem for _, path in _modules()} | {path.parent.name for _, path in _modules()}
    assert not names & {"utils", "util", "helpers", "common", "const", "misc", "manager"}
