# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: driver mode when the first argument is an option, else one of the commands."""

from __future__ import annotations

import os
import sys

from nutdrv_py import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

COMMANDS = (
    "portfile",
    "daemon",
    "check",
    "status",
    "scan",
    "record",
    "simulate",
    "demo",
    "backends",
    "new-device",
    "new-backend",
    "install",
)
"""Commands in the order of ``--help``; each is a module of :mod:`nutdrv_py.commands`, with _ for -."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv`` (the program's own by default); returns the exit code."""
    _open_standard_streams()
    words = list(sys.argv if argv is None else argv)
    if words[1:2] == ["-c"] and "daemon" in words[3:]:
        # RctMon's order: rctmon -c config.yml daemon.
        words.remove("daemon")
        words.insert(1, "daemon")
    if len(words) > 1 and words[1].startswith("-") and words[1] not in ("--help", "--version"):
        if argv is None:
            # Before anything else is imported: what goes on imports it again.
            from nutdrv_py.process.interpreter import adopt_name

            adopt_name(words)
        # Commands are not imported here: a driver stays small.
        from nutdrv_py.process.start import main as driver_mode

        return driver_mode(words)
    return _command(words)


def _open_standard_streams() -> None:
    """Open what was closed at the start (``>&-``) on /dev/null: its number would be given to a socket, which prints reach."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null == number:
                os.set_inheritable(null, True)
            else:
                os.dup2(null, number)
                os.close(null)
    # Open until the process ends, as those that Python opens itself.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _command(words: Sequence[str]) -> int:
    import argparse
    import importlib

    from nutdrv_py.errors import NutdrvError

    parser = argparse.ArgumentParser(
        prog=os.path.basename(words[0]),
        description="NUT driver in Python for house batteries. With -a NAME it is a driver (see -h); else one of these commands:",
    )
    parser.add_argument("--version", action="version", version=f"nutdrv_py {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    modules = {}
    for name in COMMANDS:
        module = modules[name] = importlib.import_module(f"nutdrv_py.commands.{name.replace('-', '_')}")
        module.configure(commands.add_parser(name, help=module.HELP, description=module.HELP))
    args = parser.parse_args(words[1:])
    try:
        code = int(modules[args.command].run(args))
        sys.stdout.flush()
        return code
    except NutdrvError as error:
        print(f"{parser.prog} {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has enough (head, less); what is still to be written, also at the end of Python, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
