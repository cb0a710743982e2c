# SPDX-License-Identifier: GPL-2.0-or-later
"""Look for known vulnerabilities of the components of a bill of materials: ``packaging/audit.py FILE``.

pip-audit asks PyPI's database. What it cannot look up it only notes, so this counts: unless all was looked up, it is no audit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def main() -> int:
    """Return 0 when all components were looked up and none is vulnerable."""
    components = json.loads(Path(sys.argv[1]).read_text())["components"]
    pinned = "".join(f"{component['name']}=={component['version']}\n" for component in components)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pinned)
        file.flush()
        tool = Path(sys.executable).with_name("pip-audit")
        command = [tool, "-r", file.name, "--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = {"dependencies": []}
    sentence, code = verdict(len(components), report)
    print(sentence)
    return code


def verdict(wanted: int, report: Mapping[str, Any]) -> tuple[str, int]:
    """Return a sentence on a report of pip-audit over so many components, and the exit code."""
    looked_up = [row for row in report.get("dependencies", ()) if "skip_reason" not in row]
    vulnerable = [(row["name"], row["version"], vuln["id"]) for row in looked_up for vuln in row.get("vulns", ())]
    if vulnerable:
        return "Vulnerable: " + ", ".join(f"{name} {version} ({id_})" for name, version, id_ in vulnerable), 1
    if len(looked_up) < wanted:
        return (
            f"Of {wanted} components {len(looked_up)} could be looked up: the database of vulnerabilities cannot be reached from "
            "here, or does not know the rest. This is no audit; run it where https://pypi.org can be reached."
        ), 2
    return f"No vulnerability of the {wanted} components is known.", 0


if __name__ == "__main__":
    sys.exit(main())
