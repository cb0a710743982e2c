# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the bill of materials (CycloneDX 1.6, JSON) of the package with its extra ``all``: ``packaging/sbom.py FILE``.

The package is installed into an environment of its own, so that all that pip brings along is in it, and no tool of the tests is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TREE = Path(__file__).resolve().parent.parent
INSTALLERS = frozenset({"pip", "setuptools", "wheel"})
"""What an environment begins with; the package does not use it."""


def main() -> None:
    """Write the file that the command line names."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "bin", "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{TREE}[all]"]
        installed = subprocess.run(install, capture_output=True, text=True, check=False)
        if installed.returncode:
            sys.exit(f"The package cannot be installed into an environment of its own:\n{installed.stderr}")
        tool = Path(sys.executable).with_name("cyclonedx-py")
        command = [tool, "environment", python, "--output-reproducible", "--sv", "1.6", "--of", "JSON"]
        made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    document = completed(json.loads(made))
    target.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{target}: nutdrv_py {document['metadata']['component']['version']} and {len(document['components'])} components")


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document of an environment with the package as what it is about, and without the installers."""
    components = [component for component in document["components"] if component["name"] not in INSTALLERS]
    own = next(component for component in components if component["name"].replace("-", "_") == "nutdrv_py")
    # Where it was built is nobody's business.
    subject = {name: value for name, value in own.items() if name not in ("externalReferences", "properties")}
    subject["type"] = "application"
    rest = [component for component in components if component is not own]
    kept = {component["bom-ref"] for component in components}
    dependencies = [
        {**row, "dependsOn": [ref for ref in row.get("dependsOn", ()) if ref in kept]}
        for row in document.get("dependencies", ())
        if row["ref"] in kept
    ]
    metadata = {**document.get("metadata", {}), "component": subject}
    return {**document, "metadata": metadata, "components": rest, "dependencies": dependencies}


if __name__ == "__main__":
    main()
