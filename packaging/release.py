#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""release.py VERSION: every step of a release up to the tag; nothing is left behind when one of them fails.

The version is written in nutdrv_py/__init__.py; the changelogs of the packages are made from CHANGELOG.md.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from dataclasses import dataclass
from email.utils import format_datetime
from pathlib import Path

MAINTAINER = "The nutdrv_py developers <nut-upsdev@alioth-lists.debian.net>"
UNRELEASED = "unreleased"
INIT = Path("nutdrv_py/__init__.py")
CHANGES = Path("CHANGELOG.md")
DEBIAN = Path("packaging/debian/changelog")
RPM = Path("packaging/rpm/nutdrv_py.spec")
VERSIONS = {
    INIT: r'(?m)^(__version__ = ")[^"]*',
    RPM: r"(?m)^(Version: *).*",
    Path("packaging/selinux/nutdrv_py.te"): r"(?m)^(policy_module\(nutdrv_py, )[^)]*",
    Path("docs/backends/index.md"): r"(?m)^(\| `driver\.version\.internal` \| `)[^`]*",
}
"""Where the version stands: what is before it, and the version itself."""

CHECKS = "make check test"


class Refused(Exception):
    """The release cannot be made; the text is for the person who wants it."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version, and the moment at which it is released."""

    version: str
    at: datetime.datetime

    @property
    def tag(self) -> str:
        """Return the name of the tag."""
        return f"v{self.version}"

    def files(self, tree: Path) -> dict[Path, str]:
        """Return what the files with a version in them hold after the release."""
        text = {path: (tree / path).read_text() for path in (CHANGES, DEBIAN, *VERSIONS)}
        heading = f"## {self.version} ({UNRELEASED})\n"
        if not re.search(re.escape(heading) + r"\s*- ", text[CHANGES]):
            raise Refused(f"{CHANGES} has no chapter '{heading.strip()}' with changes; write it")
        text[CHANGES] = text[CHANGES].replace(heading, f"## {self.version} ({self.at:%Y-%m-%d})\n", 1)
        for path, pattern in VERSIONS.items():
            text[path] = re.sub(pattern, rf"\g<1>{self.version}", text[path])
        first = len(re.findall(r"(?m)^nutdrv-py \(", text[DEBIAN])) == 1 and f"({self.version})" in text[DEBIAN]
        news = "The first package." if first else f"Version {self.version}: see CHANGELOG.md."
        entry = f"nutdrv-py ({self.version}) unstable; urgency=medium\n\n  * {news}\n\n"
        text[DEBIAN] = f"{entry} -- {MAINTAINER}  {format_datetime(self.at)}\n" + ("" if first else "\n" + text[DEBIAN])
        line = f"* {self.at:%a %b %d %Y} {MAINTAINER} - {self.version}-1\n- {news}\n"
        head, _, older = text[RPM].partition("%changelog\n")
        text[RPM] = f"{head}%changelog\n{line}" + ("" if first else "\n" + older)
        return text


def git(tree: Path, *words: str) -> str:
    """Run git in ``tree``; return what it prints."""
    done = subprocess.run(["git", "-C", str(tree), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers, so that versions can be compared."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise Refused(f"{version or 'nothing'} is no version; type three numbers: make release VERSION=1.2.3")
    return tuple(map(int, version.split(".")))


def release(wanted: Release, tree: Path, checks: str) -> None:
    """Make a release in ``tree``: look, write, check, commit, tag. Raises :class:`Refused` with the tree as it was."""
    version = numbers(wanted.version)
    if git(tree, "status", "--porcelain"):
        raise Refused("there are changes that are not committed; commit or stash them first: git status")
    tags = git(tree, "tag", "--list", "v[0-9]*").split()
    if wanted.tag in tags:
        raise Refused(f"{wanted.tag} was released before")
    latest = max((numbers(tag[1:]) for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)), default=())
    if version <= latest:
        raise Refused(f"{wanted.version} is not newer than {'.'.join(map(str, latest))}, which was released last")
    texts = wanted.files(tree)
    before = {path: (tree / path).read_text() for path in texts}
    try:
        for path, text in texts.items():
            (tree / path).write_text(text)
        print(f"{checks} ...", flush=True)
        if subprocess.run(checks, shell=True, cwd=tree, check=False).returncode:  # noqa: S602
            raise Refused(f"the checks have failed; nothing is changed: {checks}")
        git(tree, "commit", "--quiet", "-m", f"Release {wanted.version}", "--", *map(str, texts))
    except BaseException:
        for path, text in before.items():
            (tree / path).write_text(text)
        raise
    git(tree, "tag", "--annotate", "-m", f"nutdrv_py {wanted.version}", wanted.tag)
    print(f"{wanted.tag} is there; look at it: git show {wanted.tag}; then type: git push --follow-tags")


def main() -> int:
    """Make the release that the command line names."""
    parser = argparse.ArgumentParser(description="every step of a release up to the tag")
    parser.add_argument("version")
    parser.add_argument("--tree", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--checks", default=CHECKS, help=f"what must pass before the tag, instead of: {CHECKS}")
    words = parser.parse_args()
    try:
        release(Release(words.version, datetime.datetime.now(datetime.UTC)), words.tree, words.checks)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
