# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py.api`` is a promise: its names and signatures are written down in api-1.txt, and change only with it.

To renew the file after a change that is meant, type: ``python -m tests.test_api``
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nutdrv_py import api
from tests.conftest import REPO

FILE = Path(__file__).with_name(f"api-{api.API_VERSION}.txt")
STABILITY = (REPO / "docs" / "stability.md").read_text(encoding="utf-8")


def _default(value: object) -> str:
    return value.__name__ if inspect.isfunction(value) else re.sub(r" at 0x[0-9a-f]+|<factory>", "...", repr(value))


def _signature(function: Any) -> str:
    parts, star = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        kind = parameter.annotation
        shown = "" if kind is parameter.empty else f": {kind if isinstance(kind, str) else getattr(kind, '__name__', kind)}"
        parts.append(f"{parameter.name}{shown}" + ("" if parameter.default is parameter.empty else f" = {_default(parameter.default)}"))
    told = getattr(function, "__annotations__", {}).get("return")
    return f"({', '.join(parts)})" + (f" -> {told}" if isinstance(told, str) and told != "None" else "")


def _members(kind: type) -> Iterator[str]:
    if issubclass(kind, enum.Enum):
        yield "values: " + " ".join(kind.__members__)
    elif dataclasses.is_dataclass(kind):
        for item in dataclasses.fields(kind):
            default = "" if item.default is dataclasses.MISSING else f" = {_default(item.default)}"
            yield f"{item.name}: {item.type}{default if item.default_factory is dataclasses.MISSING else ' = ...'}"
    elif not getattr(kind, "_is_protocol", False) and any("__init__" in vars(owner) for owner in kind.__mro__ if owner.__module__.startswith("nutdrv_py")):
        yield f"__init__{_signature(kind.__init__)}"
    shown: dict[str, str] = {}
    members = (
        set(kind.__members__) if issubclass(kind, enum.Enum) else {item.name for item in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    )
    for owner in (owner for owner in kind.__mro__ if owner.__module__.startswith("nutdrv_py")):
        for name, value in vars(owner).items():
            if name.startswith("_") or name in shown or name in members:
                continue
            if isinstance(value, property):
                shown[name] = f"{name}: {value.fget.__annotations__['return'] if value.fget else ''}"
            elif isinstance(value, classmethod | staticmethod):
                shown[name] = f"{name}{_signature(value.__func__)} ({type(value).__name__})"
            elif inspect.isfunction(value):
                abstract = " (abstract)" if getattr(value, "__isabstractmethod__", False) else ""
                shown[name] = ("async " if inspect.iscoroutinefunction(value) else "") + f"{name}{_signature(value)}{abstract}"
            elif not inspect.isclass(value) and not inspect.ismemberdescriptor(value):
                shown[name] = f"{name} = {_default(value)}"
    yield from sorted(shown.values())


def listing() -> str:
    """All of it, as text."""
    lines = [f"# nutdrv_py.api, version {api.API_VERSION}: renewed by python -m tests.test_api"]
    for name in sorted(api.__all__):
        value = getattr(api, name)
        if inspect.isclass(value):
            bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
            lines += [f"{name}({bases})", *(f"    {line}" for line in _members(value))]
        elif inspect.isfunction(value):
            lines.append(f"{name}{_signature(value)}")
        else:
            lines.append(f"{name} = {value}" if name == "API_VERSION" else name)
    return "\n".join(lines) + "\n"


def test_nothing_of_the_promise_has_changed_unsaid() -> None:
    before, now = set(FILE.read_text().splitlines()), listing()
    changed = sorted(before.symmetric_difference(now.splitlines()))
    assert FILE.read_text() == now, (
        "nutdrv_py.api has changed:\n" + "\n".join(changed) + "\nIf that is meant: a name that goes or changes must have warned for two "
        "minor releases (docs/stability.md) and raises API_VERSION; what is new is a line in CHANGELOG.md. Then type: python -m tests.test_api"
    )


def test_each_name_is_there_and_has_words() -> None:
    for name in api.__all__:
        value = getattr(api, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert (value.__doc__ or "").strip(), name


@pytest.mark.parametrize("name", ["Reading", "PushBackend", "WebClient"])
def test_a_stranger_gets_each_by_from_import(name: str) -> None:
    code = f"from nutdrv_py.api import {name}; print({name}.__name__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, cwd=REPO).returncode == 0


def test_what_is_not_there_is_refused_with_a_sentence() -> None:
    with pytest.raises(AttributeError, match="stability"):
        _ = api.Snapshot


def test_the_roof_loads_no_library_that_a_backend_may_not_need() -> None:
    code = textwrap.dedent("""
        import sys, nutdrv_py.api
        print(sorted({"httpx", "construct", "yaml", "paho", "pymodbus"} & set(sys.modules)))
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO)
    assert done.stdout.strip() == "[]"


def test_the_page_of_the_promise_names_the_version_and_each_name() -> None:
    assert f"version {api.API_VERSION}" in STABILITY
    assert set(re.findall(r"`([A-Za-z_]+)`", STABILITY.split("## What is in it")[1].split("\n## ")[0])) >= set(api.__all__) - {"API_VERSION"}


if __name__ == "__main__":
    FILE.write_text(listing())
