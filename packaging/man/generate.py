#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the man page nutdrv_py(8): ``generate.py FILE``.

The text is in ``nutdrv_py.8.in``, in the layout of NUT's own pages; a line ``@NAME ARGUMENT@`` in it stands for a table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tables import BACKENDS, OPTIONS, Command, Row, backend, commands, core, own, shared

from nutdrv_py import __version__

__all__ = ["page"]

TEMPLATE = Path(__file__).with_name("nutdrv_py.8.in")
CHANGELOG = Path(__file__).parents[1] / "debian" / "changelog"


def escaped(text: str) -> str:
    """Text as roff wants it: no escapes, no control lines, and minus signs that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def sentence(text: str) -> str:
    """Help texts begin small and end without a full stop; a page has sentences."""
    return escaped(text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else "."))


def item(head: str, *lines: str) -> Iterator[str]:
    """A paragraph with a tag; ``head`` is roff already."""
    yield ".TP"
    yield head
    yield from lines


def bold(text: str) -> str:
    """In bold type."""
    return f"\\fB{escaped(text)}\\fR"


def italic(text: str) -> str:
    """In italics."""
    return f"\\fI{escaped(text)}\\fR"


def _row(row: Row) -> Iterator[str]:
    said = [sentence(row.help)]
    if row.required:
        said.append("Required.")
    elif row.flag:
        said.append("A flag, off by default.")
    elif row.default:
        said.append(f"Default: {escaped(row.default)}.")
    yield from item(bold(row.name) if row.flag else f"{bold(row.name)} = {italic('value')}", *said)


def _driver(_: str) -> Iterator[str]:
    for letter, argument, text in OPTIONS:
        yield from item(bold(f"-{letter}") + (f" {italic(argument)}" if argument else ""), sentence(text))


def _core(_: str) -> Iterator[str]:
    for row in core():
        yield from item(bold(row.name) if row.kind == "flag" else f"{bold(row.name)} = {italic('value')}", sentence(row.help))


def _shared(_: str) -> Iterator[str]:
    for row in shared():
        if row.name != "port":
            yield from item(f"{bold(row.name)} = {italic('value')}", sentence(row.help))


def _backend(name: str) -> Iterator[str]:
    # The common ones stand in their own chapter; only a default of its own is repeated here.
    for row in own(name):
        yield from _row(row)


def _description(name: str) -> Iterator[str]:
    yield f"{escaped(backend(name).description)}, version {escaped(backend(name).version)}."


def _commands(_: str) -> Iterator[str]:
    for command in commands():
        yield f".SS {escaped('nutdrv_py ' + command.name)}{_operands(command)}"
        yield sentence(command.help)
        for argument in command.arguments:
            value = f" {italic(argument.metavar)}" if argument.metavar else ""
            head = ", ".join(bold(word) for word in argument.spellings) + value if argument.spellings else value.strip()
            choices = f" One of {escaped(', '.join(argument.choices))}." if argument.choices else ""
            yield from item(head, (sentence(argument.help) if argument.help else "") + choices)


def _operands(command: Command) -> str:
    return "".join(f" {escaped(argument.metavar)}" for argument in command.arguments if not argument.spellings)


def _title(_: str) -> Iterator[str]:
    # Not today's: the same source gives the same page.
    changed = parsedate_to_datetime(CHANGELOG.read_text(encoding="utf-8").partition("\n -- ")[2].split("  ", 1)[1].split("\n")[0])
    yield f'.TH NUTDRV_PY 8 "{changed:%Y-%m-%d}" "nutdrv_py {escaped(__version__)}" "NUT Manual"'


TABLES: Mapping[str, Callable[[str], Iterable[str]]] = {
    "DRIVER": _driver,
    "CORE": _core,
    "SHARED": _shared,
    "OPTIONS": _backend,
    "DESCRIPTION": _description,
    "COMMANDS": _commands,
    "TITLE": _title,
}


def page() -> str:
    """The whole page."""
    lines: list[str] = []
    for line in TEMPLATE.read_text(encoding="ascii").splitlines():
        found = re.fullmatch(r"@([A-Z]+)(?: (\w+))?@", line)
        lines.extend(TABLES[found[1]](found[2] or "") if found else [line])
    missing = [name for name in BACKENDS if f"@OPTIONS {name}@" not in TEMPLATE.read_text(encoding="ascii")]
    if missing:
        raise SystemExit(f"{TEMPLATE.name} has no section for: {', '.join(missing)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(), encoding="utf-8")
