# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py new-device``: write the description of a device by asking for it, one question after the other."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nutdrv_py.backends.mapping.description import describe
from nutdrv_py.backends.mapping.sources import Options
from nutdrv_py.errors import ConfigError
from nutdrv_py.machine.paths import layout, paths
from nutdrv_py.machine.place import place

HELP = "write the YAML file of a device for backend = mapping, by asking"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A source: what it is, what is asked for each place (key and question), and what its address is."""

    text: str
    place: tuple[tuple[str, str], ...]
    address: str


@dataclass(frozen=True, slots=True)
class _Source:
    """What follows ``source:``, and what ups.conf needs besides."""

    text: str
    login: bool = False
    certificate: bool = False


KINDS: Mapping[str, _Kind] = {
    "http": _Kind(
        "a web server in the device that answers JSON",
        (("get", "path on the device, such as /api/status"), ("path", "name in the answer, dots between the levels")),
        "HOST or HOST:PORT of the device",
    ),
    "mqtt": _Kind(
        "topics of an MQTT broker",
        (("topic", "topic, such as house/battery/grid"), ("path", "name in its JSON; empty if the message is the word itself")),
        "HOST of the broker",
    ),
    "modbus": _Kind(
        "registers over Modbus TCP",
        (("register", "register, as it is sent, such as 826"),), "HOST of the device",
    ),
    "file": _Kind("a JSON file that another program writes", (("path", "name in the file, dots between the levels"),), ""),
    "command": _Kind(
        "a program on this machine that prints JSON", (("path", "name in what it prints, dots between the levels"),), ""
    ),
}  # fmt: skip

_OPTIONAL = (("mqtt", "path"),)
_GRID = (
    "Where does the device say that the GRID is gone? Not a voltage, not a power, not the battery: the word that changes when\n"
    "the main breaker is off. Without it nothing can be served."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", help="the file to write, such as /etc/nut/my-battery.yaml; without a folder, into NUT's")


def run(args: argparse.Namespace) -> int:
    """Ask, write the file, print what to type next."""
    path = paths().confpath / args.file
    if path.suffix != ".yaml" or path.exists():
        raise ConfigError(f"{path} is there already; give another name" if path.exists() else "give a name that ends with .yaml")
    try:
        name, source, text = _asked()
    except EOFError:
        raise ConfigError("the questions were not answered to the end; nothing is written") from None
    _try(text)
    try:
        with place(path, follow=False) as at:
            fd = at.create(path.name, 0o644)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        # Whatever the umask: the driver's user must be able to read it.
        os.fchmod(fd, 0o644)
        file.write(text)
    address = KINDS[name].address
    print(f"\n{path} is written. In ups.conf:\n\n[mine]\n    driver  = nutdrv_py\n    backend = mapping\n    port    = {path}")
    if address:
        print(f"    address = {address}")
    if source.login:
        secret = path.with_suffix(".conf")
        print(f"    credentials = {secret}\n\nThe login is in that file, which others must not read. Type:\n")
        print(f"    install -m 0640 -o root -g {layout().user} /dev/null {secret}")
        print(f"    editor {secret}    # USERNAME=... and PASSWORD=...")
    if source.certificate:
        print("\nIf no authority has signed the device's certificate, the check shows what to write as certificate =.")
    print("\nThen type: nutdrv_py check mine\nand play an outage by the main breaker before you trust it.")
    return 0


def _asked() -> tuple[str, _Source, str]:
    """Return the kind of source, the source, and the file."""
    for name, kind in KINDS.items():
        print(f"  {name:<7} {kind.text}")
    name = _ask("How is the device asked", lambda answer: answer in KINDS, f"one of {', '.join(KINDS)}")
    source = _source(name)
    device = _ask("What is the device (maker, model)", bool, "a name")
    print(_GRID)
    grid = _place(name)
    on = _words("What does it say while the grid is THERE (several with commas)")
    off = _words("What does it say when the grid is GONE")
    print("Where does it say the charge of the battery? Empty if it does not.")
    charge = _place(name, optional=True)
    lines = [
        f"device: {json.dumps(device)}", "tried: not tried on hardware", "maxage: 60", f"source: {source.text}",
        f"grid: {{{grid}, on: {on}, off: {off}}}",
    ]  # fmt: skip
    if charge:
        scale = _ask("100 % is which number there", lambda answer: _number(answer) > 0, "a number such as 100, 1000 or 1", "100")
        factor = "" if float(scale) == 100 else f", scale: {100 / float(scale):g}"
        lines += ["fields:", f"  battery.charge: {{{charge}{factor}}}"]
    else:
        lines.append(f"no_charge: {json.dumps(_ask('Why is there no charge', bool, 'a reason; nothing will make LB then'))}")
    return name, source, "\n".join(lines) + "\n"


def _source(name: str) -> _Source:
    """Ask how the device is met: encrypted or not, with a login or without."""
    match name:
        case "file":
            return _Source(f"{{file: {json.dumps(_ask('Which file', bool, 'its whole name'))}}}")
        case "command":
            words = shlex.split(_ask("Which program, with its words", _splits, "the whole path of a program, and its words"))
            return _Source(f"{{command: {json.dumps(words)}}}")
        case "modbus":
            return _Source("{modbus: '{address}', unit_id: 1}")
        case "mqtt":
            tls = _yes("Is the connection to the broker encrypted (TLS)")
            ca = _ask("  File with the certificate of its authority; empty: those of the system", _any, "a file") if tls else ""
            text = f"{{mqtt: '{{address}}'{', tls: yes' if tls else ''}{f', ca: {json.dumps(ca)}' if ca else ''}}}"
            return _Source(text, login=_yes("Does the broker want a user and password"))
    tls = _yes("Is it https")
    login = _ask("Does it want a login", lambda answer: answer in _LOGINS, f"one of {', '.join(_LOGINS)}", _LOGINS[0])
    text = f"http: '{'https' if tls else 'http'}://{{address}}'"
    if login == "basic":
        text += ", basic: yes"
    elif login == "form":
        post = _ask("  Path that user and password are posted to, such as /api/login", bool, "a path")
        user = _ask("  Name of the user in what is posted; - if there is none", bool, "a name", "username")
        secret = _ask("  Name of the password in it", bool, "a name", "password")
        token = _ask("  Name of the token in the answer; empty if it sets a cookie", _any, "a name")
        fields = {**({user: "{username}"} if user != "-" else {}), secret: "{password}"}
        form = {"post": post, "json": fields, **({"token": token} if token else {})}
        text += f", login: {json.dumps(form)}"
    return _Source(f"{{{text}}}", login=login != "none", certificate=tls)


_LOGINS = ("none", "basic", "form")


def _any(answer: str) -> bool:
    return True


def _splits(answer: str) -> bool:
    try:
        return bool(shlex.split(answer))
    except ValueError:
        return False


def _yes(question: str) -> bool:
    return _ask(f"{question} (yes, no)", lambda answer: answer in ("yes", "no"), "yes or no", "no") == "yes"


def _number(answer: str) -> float:
    return float(answer) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", answer) else 0.0


def _place(name: str, *, optional: bool = False) -> str:
    """Return the place as the file has it; empty when it is optional and the first answer is."""
    found: list[str] = []
    for index, (key, question) in enumerate(KINDS[name].place):
        may = (name, key) in _OPTIONAL or (optional and index == 0)
        answer = _ask(f"  {question}", lambda answer, may=may: may or bool(answer), "it cannot be empty")  # type: ignore[misc]
        if not answer and optional and index == 0:
            return ""
        if answer:
            found.append(f"{key}: {answer if answer.isdecimal() else json.dumps(answer)}")
    return ", ".join(found)


def _words(question: str) -> str:
    answer = _ask(question, lambda answer: any(part.strip() for part in answer.split(",")), "at least one word")
    return "[" + ", ".join(json.dumps(part.strip()) for part in answer.split(",") if part.strip()) + "]"


def _ask(question: str, right: Callable[[str], object], wanted: str, default: str = "") -> str:
    while True:
        sys.stdout.flush()
        answer = input(f"{question}{f' [{default}]' if default else ''}: ").strip() or default
        if answer.isprintable() and right(answer):
            return answer
        print(f"  {wanted}, please")


def _try(text: str) -> None:
    """Read the file as the driver will. Raises :class:`ConfigError` with its lines when an answer makes no description."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            describe(path, Options(address="192.0.2.1", topic="x", folder=Path(folder)))
        except ConfigError as error:
            raise ConfigError(f"nothing is written: {str(error).replace(str(path), 'line')}\n{text}") from None
