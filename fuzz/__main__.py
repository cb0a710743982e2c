# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the targets: ``python -m fuzz --minutes 10 [TARGET ...]``. Each is a process of its own, one after the other.

With atheris (PyPI) the fuzzer follows the coverage; without it the corpus is run and changed at random. The corpus is what
``fuzz.seeds`` makes and the files in ``fuzz/corpus``. What is found on the way is kept in ``build/fuzz/<target>`` and is the
beginning of the next run. An input that fails is written to ``build/fuzz/failed``; ``python -m fuzz --shrink TARGET FILE`` makes
it smaller: put it into ``fuzz/corpus/TARGET`` then. With ``--seed`` each run begins with the corpus alone and has as many inputs
as the target's pace gives for the time, so that it is the same run on each machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz.table import TARGETS, Target

BUILD = Path("build/fuzz")
FAILED = BUILD / "failed"
MOST_MEMORY = 2048
"""MiB of a target's process; a generous alarm."""

_EXECUTIONS = re.compile(r"(?:number_of_executed_units:|^executions:|^Done)\s*(\d+)", re.MULTILINE)

LONGEST = 60
"""Seconds of one input; a generous alarm, because other work may have the machine."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a target: inputs that were run, edges that they have covered (0: not measured), inputs that failed."""

    target: Target
    executions: int
    covered: int
    failed: tuple[Path, ...]


def main() -> int:
    """Run what the command line asks for; 1 when an input failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the package.")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes for all targets together")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers: the same run each time; 0: another")
    parser.add_argument("--one", metavar="TARGET", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--shrink", nargs=2, metavar=("TARGET", "FILE"), help="make an input that fails smaller")
    parser.add_argument("targets", nargs="*", help="these targets alone")
    options = parser.parse_args()
    known = {target.name: target for target in TARGETS}
    if options.shrink:
        return _shrink(known[options.shrink[0]], Path(options.shrink[1]))
    if options.one:
        return _one(known[options.one], options.seconds, options.seed)
    unknown = set(options.targets) - known.keys()
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}; the targets are {', '.join(known)}")
    chosen = [target for target in TARGETS if not options.targets or target.name in options.targets]
    if not importlib.util.find_spec("atheris"):
        print("atheris is not installed: the corpus is run, and changed at random without looking at the coverage", flush=True)
    FAILED.mkdir(parents=True, exist_ok=True)
    total = sum(target.share for target in chosen)
    print(f"{'target':10} {'executions':>10} {'coverage':>9} {'failed':>6}", flush=True)
    results = [_run(target, 60 * options.minutes * target.share / total, options.seed) for target in chosen]
    failed = [path for result in results for path in result.failed]
    print(f"{'all':10} {sum(result.executions for result in results):10} {'':9} {len(failed):6}")
    for path in failed:
        print(f"{path}: see {path}.txt")
    return 1 if failed else 0


def _run(target: Target, seconds: float, seed: int) -> Result:
    """Run a target in a process of its own."""
    before = set(FAILED.iterdir())
    command = [sys.executable, "-m", "fuzz", "--one", target.name, "--seconds", f"{seconds:.0f}", "--seed", str(seed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    failed = tuple(sorted(path for path in set(FAILED.iterdir()) - before if path.suffix != ".txt"))
    if done.returncode and not failed:
        failed = (FAILED / f"{target.name}-start",)
        failed[0].touch()
    for path in failed:
        path.with_name(f"{path.name}.txt").write_text(done.stdout[-20000:])
    executions = [int(count) for count in _EXECUTIONS.findall(done.stdout)]
    covered = [int(count) for count in re.findall(r"cov: (\d+)", done.stdout)]
    result = Result(target, max(executions, default=0), max(covered, default=0), failed)
    print(f"{target.name:10} {result.executions:10} {result.covered or '-':>9} {len(failed):6}  {target.what}", flush=True)
    return result


def _one(target: Target, seconds: float, seed: int) -> int:
    try:
        import atheris
    except ImportError:
        return _at_random(target, seconds, seed)
    with atheris.instrument_imports(include=["nutdrv_py"]):
        function = target.load()
    kept, dictionary = BUILD / (f"seed-{target.name}" if seed else target.name), BUILD / f"{target.name}.dict"
    if seed:
        shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True, exist_ok=True)
    from fuzz.dictionary import words

    found = words(target.name)
    dictionary.write_text(found)
    # Once before: what a first call imports and builds is no coverage of the input.
    function(b"")
    options = [
        f"-max_total_time={max(1, 10 * seconds if seed else seconds):.0f}", f"-max_len={target.longest}", f"-timeout={LONGEST}",
        f"-rss_limit_mb={MOST_MEMORY}", f"-artifact_prefix={FAILED}/{target.name}-", "-print_final_stats=1", "-len_control=0",
    ]  # fmt: skip
    options += [f"-dict={dictionary}"] if found else []
    options += [f"-seed={seed}", f"-runs={target.runs(seconds)}"] if seed else []
    begin = BUILD / f"begin-{target.name}"
    shutil.rmtree(begin, ignore_errors=True)
    begin.mkdir()
    for name, data in target.corpus().items():
        (begin / name).write_bytes(data)
    atheris.Setup(["fuzz", *options, str(kept), str(begin)], function)
    atheris.Fuzz()
    return 0


def _at_random(target: Target, seconds: float, seed: int) -> int:
    """Run the corpus, then change its files at random until the time is over."""
    function, chance = target.load(), random.Random(seed or None)
    inputs = list(target.corpus().values())
    end, executions = time.monotonic() + seconds, 0
    while executions < len(inputs) or (executions < target.runs(seconds) if seed else time.monotonic() < end):
        data = inputs[executions] if executions < len(inputs) else changed(chance, inputs)[: target.longest]
        executions += 1
        try:
            function(data)
        except Exception:
            path = FAILED / f"{target.name}-random-{executions}"
            path.write_bytes(data)
            traceback.print_exc()
            print(f"executions: {executions}")
            return 1
    print(f"executions: {executions}")
    return 0


def changed(chance: random.Random, inputs: list[bytes]) -> bytes:
    """Return an input with some bytes replaced, removed, repeated, or taken from another one."""
    data = bytearray(chance.choice(inputs))
    for _ in range(chance.randint(1, 8)):
        at, end = chance.randint(0, len(data)), chance.randint(0, 16)
        other = chance.choice(inputs)
        start = chance.randint(0, len(other))
        pieces = (chance.randbytes(chance.randint(0, 4)), other[start : start + end], bytes(data[at : at + end]) * 2, b"")
        piece = chance.choice(pieces)
        data[at : at + end if chance.random() < 0.7 else at] = piece
    return bytes(data)


def _shrink(target: Target, path: Path) -> int:
    """Leave pieces out of an input as long as it fails in the same way, and write it back."""
    function, data = target.load(), path.read_bytes()
    wanted = _failure(function, data)
    if wanted is None:
        print(f"{path} does not fail")
        return 1
    size = len(data)
    while size:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if _failure(function, shorter) == wanted:
                data = shorter
            else:
                at += size
        size //= 2
    path.write_bytes(data)
    print(f"{len(data)} bytes: {data!r}\n{wanted}")
    return 0


def _failure(function: Callable[[bytes], None], data: bytes) -> str | None:
    try:
        function(data)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {last.filename}, {last.name}, line {last.lineno}"
    return None


if __name__ == "__main__":
    sys.exit(main())
