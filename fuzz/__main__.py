# SPDX-License-Identifier: GPL-2.0-or-later
"""``python -m fuzz MINUTES [TARGET...]``: let atheris look for inputs that break a target, for so many minutes in all.

A finding is written to ``build/fuzz/TARGET/``, and the exit code is 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from fuzz.targets import TARGETS, seeds

CORPUS = Path(__file__).parent / "corpus"
BUILD = Path("build") / "fuzz"

LIMITS = ("-max_len=2048", "-timeout=20", "-rss_limit_mb=1024", "-seed=1")

ONE = """
import sys
import atheris
with atheris.instrument_imports(include=["nutdrv_py"]):
    from fuzz.targets import TARGETS
import logging
logging.disable(logging.CRITICAL)
atheris.Setup(sys.argv, TARGETS[{name!r}])
atheris.Fuzz()
"""


def main() -> int:
    """Run each target in a process of its own; returns the exit code."""
    seconds = float(sys.argv[1]) * 60 if len(sys.argv) > 1 else 600.0
    names = sys.argv[2:] or list(TARGETS)
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("atheris is not installed; type: pip install atheris. The corpus is played by: make test")
        return 0
    wrong = False
    for name in names:
        folder = BUILD / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, (target, data) in enumerate(seeds()):
            if target == name:
                (folder / f"seed-{number}").write_bytes(data)
        each = max(1, int(seconds / len(names)))
        words = [f"-max_total_time={each}", *LIMITS, f"-artifact_prefix={folder}/found-"]
        kept = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []
        command = [sys.executable, "-c", ONE.format(name=name), *words, str(folder), *kept]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.findall(r"#(\d+)\s.*cov: (\d+)", done.stderr)
        runs, coverage = found[-1] if found else ("0", "0")
        came = "FOUND" if done.returncode else "nothing found"
        print(f"{name:12} {each:4d} s  {runs:>9} inputs  coverage {coverage:>6}  {came}", flush=True)
        if done.returncode:
            wrong = True
            print(done.stderr[-3000:])
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
