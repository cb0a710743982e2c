# SPDX-License-Identifier: GPL-2.0-or-later
"""A NUT driver's command line (NUT drivers/main.c, man nutupsdrv).

:mod:`getopt`, not argparse: clusters such as ``-DDFF``, ``-aname``, exit code 1 and a stop at the first operand are what
upsdrvctl and administrators rely on.
"""

from __future__ import annotations

import getopt
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from nutdrv_py.errors import ConfigError
from nutdrv_py.process.upsconf import Entry

__all__ = ["COMMANDS", "OPTIONS", "Arguments", "parse", "usage"]

# fmt: off
OPTIONS: tuple[tuple[str, str, str], ...] = (   # letter, argument, help
    ("V", "",          "print version, then exit"),
    ("L", "",          "print the list of options of this driver, then exit"),
    ("a", "id",        "autoconfig using ups.conf section <id>"),
    ("s", "id",        "configure directly from the command line, as <id>; needs -x"),
    ("i", "int",       "poll interval in seconds"),
    ("c", "command",   "send <command> to the running driver: reload-or-error, reload, reload-or-exit, exit"),
    ("P", "pid",       "send the signal for -c to that process instead"),
    ("D", "",          "raise debugging level; repeat for more; stays in the foreground"),
    ("d", "int",       "dump the data to stdout after <int> updates, then exit"),
    ("q", "",          "raise the log level threshold"),
    ("h", "",          "print this help, then exit"),
    ("k", "",          "force shutdown of the load"),
    ("F", "",          "stay in the foreground; -FF also saves a pid file"),
    ("B", "",          "go to the background even with debugging"),
    ("r", "directory", "chroot; refused, an interpreter cannot do it"),
    ("u", "user",      "switch to <user> when started as root"),
    ("g", "group",     "set the group of the socket"),
    ("x", "var=val",   "set an option as a line of ups.conf would"),
)
# fmt: on
_GETOPT = "".join(letter + (":" if argument else "") for letter, argument, _ in OPTIONS)

COMMANDS = ("reload-or-error", "exit", "reload", "reload-or-exit")
"""``-c`` takes any prefix; the first that fits wins, so ``reload`` means ``reload-or-error``, as in main.c."""


@dataclass(slots=True)
class Arguments:
    """The parsed command line."""

    ups: str | None = None
    use_conf: bool = True
    before: list[Entry] = field(default_factory=list)
    after: list[Entry] = field(default_factory=list)
    command: str | None = None
    pid: int | None = None
    debug: int = 0
    dump: int = 0
    quiet: int = 0
    foreground: int = 0
    background: bool = False
    killpower: bool = False
    user: str | None = None
    group: str | None = None
    show: str | None = None

    @property
    def in_foreground(self) -> bool:
        """Return whether the process stays in the foreground: -F, -D or -d, unless -B."""
        return not self.background and bool(self.foreground or self.debug or self.dump)

    @property
    def debug_level(self) -> int:
        """Return the debug level wished for: -D, else ``NUT_DEBUG_LEVEL`` (which does not keep the process in the foreground)."""
        text = os.environ.get("NUT_DEBUG_LEVEL", "")
        return self.debug or (int(text) if text.isdigit() else 0)

    @property
    def save_pid(self) -> bool:
        """Return whether a pid file is written: in the background, or with -FF."""
        return not self.in_foreground or self.foreground >= 2


def parse(argv: Sequence[str], progname: str) -> Arguments:
    """Return the arguments after the program's name. Raises :class:`ConfigError` with main.c's own sentences."""
    try:
        pairs, rest = getopt.getopt(list(argv), _GETOPT)
    except getopt.GetoptError as error:
        what = "option requires an argument" if "requires argument" in error.msg else "invalid option"
        raise ConfigError(f"{progname}: {what} -- '{error.opt}'\nError: unknown option -?. Try -h for help.") from None
    args = Arguments()
    for flag, value in pairs:
        _apply(args, flag[1], value)
    if rest:
        raise ConfigError("Error: too many non-option arguments. Try -h for help.")
    return args


def _apply(args: Arguments, letter: str, value: str) -> None:
    match letter:
        case "a" | "s":
            if args.ups is not None:
                raise ConfigError("Error: options '-a id' and '-s id' are mutually exclusive and single-use only.")
            args.ups = value
            args.use_conf = letter == "a"
        case "x":
            name, equals, content = value.partition("=")
            entry = Entry(name.strip(), content.strip() if equals else None, f"-x {name.strip()}")
            (args.before if args.ups is None else args.after).append(entry)
        case "i":
            if not value.isdigit() or int(value) < 1:
                raise ConfigError(f"Error: command-line: invalid pollinterval: {value}")
            (args.before if args.ups is None else args.after).append(Entry("pollinterval", value, "-i"))
        case "c":
            found = next((command for command in COMMANDS if value and command.startswith(value)), None)
            if found is None:
                raise ConfigError(f"Error: unknown argument to option -c: {value!r}; use one of {', '.join(COMMANDS)}")
            args.command = found
        case "P":
            if not value.isdigit() or int(value) < 2:
                raise ConfigError(f"Error: {value!r} is not a process id (option -P)")
            args.pid = int(value)
        case "d":
            if not value.isdigit():
                raise ConfigError(f"Error: option -d needs a number of updates, not {value!r}")
            args.dump = int(value)
        case "r":
            raise ConfigError("Error: -r (chroot) is not possible: the interpreter and its modules would be out of reach")
        case "u":
            args.user = value
        case "g":
            args.group = value
        case "D":
            args.debug += 1
        case "F":
            args.foreground += 1
        case "B":
            args.background = True
        case "q":
            args.quiet += 1
        case "k":
            args.killpower = True
        case _:
            args.show = args.show or letter


def usage(progname: str) -> str:
    """Return the text of ``-h``, without the backend's options."""
    lines = [f"usage: {progname} (-a <id>|-s <id>) [OPTIONS]", ""]
    for letter, argument, text in OPTIONS:
        shown = f"-{letter}" + (f" <{argument}>" if argument else "")
        lines.append(f"  {shown:<16} - {text}")
    return "\n".join(lines)
