#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""``make matrix``: the built package in a chroot of each Debian release, with its NUT and its Python; writes docs/matrix.md.

As root, on a machine with debootstrap. All of it lives in build/matrix: ``RELEASE/base`` (made once by debootstrap),
``RELEASE/tools`` (with the packages of the tests, made once) and the chroots of one run. Everything runs in mount and process
namespaces of its own, which end with it, so nothing is left mounted or running.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from chroots import REPO, SYSTEM, WORK, base, booted, copy, inside, must, remove, sh, tools
from report import DRILLS, INTEGRATION, MOVING, NEWCOMER, PARTS, STORY, SYSTEMD, Outcome, Part, Step, load, table

TABLE = REPO / "docs" / "matrix.md"

RELEASES = ("bookworm", "trixie", "forky")
"""Debian 12, 13 and testing: NUT 2.8.0, 2.8.1 and 2.8.5."""


def lay_out(root: Path, package: Path) -> None:
    """Put the scripts, the package and the tests into a chroot, but not the tree's own modules."""
    source = root / "src"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(exist_ok=True)
    leave = shutil.ignore_patterns("__pycache__")
    for name in ("tests", "drivers", "packaging", "docs"):
        shutil.copytree(REPO / name, source / name, ignore=leave)
    for file in REPO.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, source)
    shutil.copy(package, source / "nutdrv-py.deb")
    # Some tests copy the modules: they get the installed ones.
    (source / "nutdrv_py").symlink_to("/usr/lib/python3/dist-packages/nutdrv_py")


INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends /src/nutdrv-py.deb"


def scripted(name: str, command: Callable[[int], Sequence[str | Path]], log: Path) -> Part:
    """Run a script of this directory; it tells its steps on descriptor 3."""
    part = Part(name)
    began = time.monotonic()
    read, write = os.pipe()
    with log.open("ab") as file:
        process = subprocess.Popen(
            command(write), stdout=file, stderr=file, stdin=subprocess.DEVNULL, pass_fds=(write,), start_new_session=True
        )
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as lines:
            for line in lines:
                result, seconds, title = line.rstrip("\n").split("\t")
                part.steps.append(Step(title, result, float(seconds)))
        code = process.wait()
    if code and not part.count("failed"):
        part.steps.append(Step(f"the script ended with {code}, see its log", "failed", 0.0))
    part.seconds = time.monotonic() - began
    return part


def newcomer(release: str, package: Path, log: Path) -> Part:
    """A fresh system, the package and the README; the booted system has no network, so it is installed before."""
    root = WORK / release / "newcomer"
    copy(base(release, log), root)
    must(inside(root, f"export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq {SYSTEM}"), log)
    lay_out(root, package)
    place = root / "src" / "build" / "deb"
    place.mkdir(parents=True)
    shutil.copy(package, place)
    script = "cd /src && exec packaging/matrix/newcomer.sh"
    part = scripted(NEWCOMER, lambda number: inside(root, f"{script} install 3>&{number}"), log)
    used = _booted(NEWCOMER, root, f"{script} use", log)
    part.steps += used.steps
    part.seconds += used.seconds
    remove(root)
    return part


def _with_tools(release: str, name: str, package: Path, log: Path) -> Path:
    """A chroot with the packages of the tests."""
    root = WORK / release / name
    copy(tools(release, log), root)
    lay_out(root, package)
    return root


def story(release: str, package: Path, log: Path) -> Part:
    """NUT's programs, without systemd."""
    root = _with_tools(release, "story", package, log)
    script = f"{INSTALL} && exec /src/packaging/matrix/story.sh"
    part = scripted(STORY, lambda number: inside(root, f"exec 3>&{number}; {script}"), log)
    remove(root)
    return part


def integration(release: str, package: Path, log: Path) -> Part:
    """The project's own tests, with the installed package in place of the tree."""
    root = _with_tools(release, "integration", package, log)
    part = Part(INTEGRATION)
    began = time.monotonic()
    # The page has nothing to do with NUT's version, and a browser would be half of the chroot.
    pytest = "python3 -m pytest -W default tests/integration --ignore tests/integration/test_page.py"
    how = "-n 2 --dist load -p no:cacheprovider --durations=15 -rs --junitxml result.xml"
    sh(inside(root, f"{INSTALL} && cd /src && exec packaging/matrix/tests.sh {pytest} {how}"), log)
    part.seconds = time.monotonic() - began
    if not (root / "src" / "result.xml").exists():
        part.steps.append(Step("pytest gave no result, see its log", "failed", part.seconds))
        return part
    for case in ElementTree.parse(root / "src" / "result.xml").iter("testcase"):  # noqa: S314 - our own
        kinds = {child.tag for child in case}
        result = "failed" if kinds & {"failure", "error"} else "absent" if "skipped" in kinds else "passed"
        part.steps.append(Step(f"{case.get('classname')}::{case.get('name')}", result, float(case.get("time") or 0)))
    remove(root)
    return part


_drilling = threading.Lock()  # what upsmon does in time is not measured with three times as many processes


def drills(release: str, package: Path, log: Path) -> Part:
    """The drills at each phase of upsmon's look; a step is a row with all its phases."""
    root = _with_tools(release, "drills", package, log)
    part = Part(DRILLS)
    must(inside(root, INSTALL), log)
    with _drilling:
        began = time.monotonic()
        results = "DRILLS=all DRILLS_TABLE=/src/drills.txt DRILLS_RESULTS=/src/drills.json"
        pytest = "python3 -m pytest -W default tests/drills -p no:cacheprovider"
        sh(inside(root, f"cd /src && exec packaging/matrix/tests.sh env {results} {pytest}"), log)
        part.seconds = time.monotonic() - began
    table_file = root / "src" / "drills.txt"
    if not table_file.exists():
        part.steps.append(Step("pytest gave no result, see its log", "failed", part.seconds))
        return part
    shutil.copy(table_file, log.with_suffix(".txt"))
    # `make matrix` gives docs/reliability.md a column of it.
    shutil.copy(root / "src" / "drills.json", WORK / release)
    steps: dict[str, Step] = {}
    for word, name, seconds in re.findall(r"^(green|red) +(.*?) \| .* \| ([0-9.]+) s$", table_file.read_text(), re.MULTILINE):
        step = steps.setdefault(name, Step(name, "passed", 0.0))
        step.seconds = max(step.seconds, float(seconds))
        step.result = "failed" if word == "red" else step.result
    part.steps += steps.values()
    remove(root)
    return part


def systemd(release: str, package: Path, log: Path) -> Part:
    """The units, by the chroot's own systemd."""
    root = _with_tools(release, "systemd", package, log)
    must(inside(root, INSTALL), log)
    part = _booted(SYSTEMD, root, "exec /src/packaging/matrix/systemd.sh /src/nutdrv-py.deb", log)
    remove(root)
    return part


def moving(release: str, package: Path, log: Path) -> Part:
    """The pages on moving, typed beside the chroot's own systemd."""
    root = _with_tools(release, "moving", package, log)
    must(inside(root, INSTALL), log)
    part = _booted(MOVING, root, "exec /src/packaging/matrix/moving.sh /src/docs", log)
    remove(root)
    return part


def _booted(name: str, root: Path, script: str, log: Path) -> Part:
    """Run a script beside the chroot's own systemd."""
    try:
        with booted(root, log) as init:
            enter = ["nsenter", "-t", str(init), "-a", "bash", "-c"]
            return scripted(name, lambda number: [*enter, f"{script} 3>&{number}"], log)
    except TimeoutError:
        return Part(name, steps=[Step("systemd cannot be booted on this machine", "absent", 0.0)])


RUN: dict[str, Callable[[str, Path, Path], Part]] = {
    NEWCOMER: newcomer, STORY: story, SYSTEMD: systemd, MOVING: moving, DRILLS: drills, INTEGRATION: integration
}  # fmt: skip


def run(release: str, package: Path, parts: Sequence[str]) -> Outcome:
    """All parts on one release."""
    logs = WORK / release / "log"
    logs.mkdir(parents=True, exist_ok=True)
    kept = WORK / release / "result.json"
    outcome = Outcome(release)
    root = tools(release, logs / "make")
    ask = "dpkg-query -W -f '${Version}\\n' nut-server; python3 -V; SYSTEMD_COLORS=0 systemctl --version"
    said = subprocess.run(inside(root, ask), capture_output=True, text=True, check=True).stdout.split()
    outcome.nut, outcome.python, outcome.systemd = said[0], said[2], said[4]
    for name in parts:
        log = logs / name
        log.unlink(missing_ok=True)
        part = RUN[name](release, package, log)
        outcome.parts[name] = part
        # Another run may have done other parts meanwhile.
        dataclasses.replace(outcome, parts={**load(kept, release).parts, name: part}).save(kept)
        counts = f"{part.count('passed')} passed, {part.count('failed')} failed"
        print(f"{release}: {name}: {counts}, {part.seconds:.0f} s", flush=True)
        for step in part.steps:
            if step.result == "failed":
                print(f"    failed: {step.title}; see {log}", flush=True)
    return outcome


def main() -> int:
    """Run it; 1 when anything failed."""
    parser = argparse.ArgumentParser(description="The package in a chroot of each Debian release; writes docs/matrix.md.")
    parser.add_argument("--release", action="append", choices=RELEASES, help="only this one; may be repeated")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=3, help="releases at a time (default: %(default)s)")
    args = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("make matrix needs root: for chroots and namespaces. Type: sudo make matrix")
    if shutil.which("debootstrap") is None:
        raise SystemExit("make matrix needs debootstrap. Type: apt-get install debootstrap")
    packages = sorted((REPO / "build" / "deb").glob("nutdrv-py_*_all.deb"))
    if not packages:
        raise SystemExit("there is no package yet. Type: make deb")
    WORK.mkdir(parents=True, exist_ok=True)
    releases = args.release or RELEASES
    parts = [name for name in PARTS if name in (args.part or PARTS)]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        outcomes = list(pool.map(lambda release: run(release, packages[-1], parts), releases))
    # What was not run now is shown as it was run last.
    known = [load(WORK / release / "result.json", release) for release in RELEASES]
    TABLE.write_text(table([outcome for outcome in known if outcome.parts], packages[-1].name.split("_")[1]), encoding="utf-8")
    print(f"written: {TABLE}")
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
