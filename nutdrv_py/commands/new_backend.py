# SPDX-License-Identifier: GPL-2.0-or-later
"""``nutdrv_py new-backend``: write an installable package with a backend that works, to be changed into one for your device."""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Mapping
from pathlib import Path

from nutdrv_py import __version__
from nutdrv_py.device.backend import names
from nutdrv_py.errors import ConfigError

__all__ = ["HELP", "configure", "files", "run"]

HELP = "write a package with a backend of your own, its tests and a fake device"

TEMPLATE = Path(__file__).with_name("template")

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""Names that are good for a module, a distribution, a class and ``backend =`` alike."""

LONGEST = 32

# fmt: off
FILES: Mapping[str, str] = {   # in the package: in the template
    "pyproject.toml":             "pyproject.toml.in",
    "README.md":                  "README.md.in",
    "LICENSE.md":                 "LICENSE.md.in",
    ".gitignore":                 "gitignore.in",
    ".github/workflows/test.yml": "ci.yml.in",
    "@MODULE@/__init__.py":       "backend.py.in",
    "@MODULE@/fake.py":           "fake.py.in",
    "@MODULE@/py.typed":          "",
    "tests/test_@NAME@.py":       "test.py.in",
}
# fmt: on


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", help="what backend = is to be: small letters, digits and _, such as my_battery")
    parser.add_argument("--directory", type=Path, metavar="D", help="folder to make (default: nutdrv-py-NAME, here)")


def run(args: argparse.Namespace) -> int:
    """Write the package and print what to type next."""
    written = files(args.name)
    folder: Path = args.directory or Path(f"nutdrv-py-{args.name.replace('_', '-')}")
    try:
        folder.mkdir()
    except FileExistsError:
        raise ConfigError(f"{folder} is there already and is left as it is; give another --directory") from None
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}; give another --directory") from None
    for name, text in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    print(f"{folder} is written: {len(written)} files. Next:\n")
    print(f"    cd {folder}\n    pip install -e '.[test]'\n    python -m pytest\n    nutdrv_py backends {args.name}\n")
    print("Then read its README.md: the device in it is made up.")
    return 0


def files(name: str) -> dict[str, str]:
    """Return the files of the package by their names. Raises :class:`ConfigError` for a name that cannot be one."""
    if not NAME.fullmatch(name) or len(name) > LONGEST or keyword.iskeyword(name):
        raise ConfigError(
            f"{name[:40]!a} cannot be the name of a backend; take small letters, digits and single _ between them, "
            f"at most {LONGEST}, such as my_battery"
        )
    if name in names():
        raise ConfigError(f"there is a backend {name} already; take another name")
    words = {
        "NAME": name, "BACKEND": name, "MODULE": f"nutdrv_py_{name}", "DISTRIBUTION": f"nutdrv-py-{name.replace('_', '-')}",
        "CLASS": "".join(part.capitalize() for part in name.split("_")), "VERSION": __version__,
    }  # fmt: skip

    def filled(text: str) -> str:
        return re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], text)

    text = _text("backend.py.in") + _text("fake.py.in")
    used = re.findall(r"^(?:    |from .* import |class )([A-Za-z]+)\b", text, re.MULTILINE)
    if keyword.iskeyword(words["CLASS"]) or words["CLASS"] in used:
        raise ConfigError(f"the class of {name} would be {words['CLASS']}, which is something else; take another name")
    return {filled(at): filled(_text(of)) if of else "" for at, of in FILES.items()}


def _text(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8")
