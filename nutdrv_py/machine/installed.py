# SPDX-License-Identifier: GPL-2.0-or-later
"""How this program was installed: what to type for more of it depends on that."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

__all__ = ["Manager", "packaged"]

Manager = Literal["debian", "rpm"]

DEBIAN = Path("/usr/lib/python3/dist-packages")
"""Debian keeps this directory for its packages (Debian Python Policy, 2.5)."""


def packaged() -> Manager | None:
    """Return the distribution's package manager that installed this program and owns its files; None for pip."""
    if DEBIAN in Path(__file__).resolve().parents:
        return "debian"
    # Imported here: it takes 10 ms and a MiB, and a driver asks only for a sentence about what is missing.
    from importlib import metadata

    try:
        # Packages of Fedora write it there (PEP 627).
        said = metadata.distribution("nutdrv_py").read_text("INSTALLER") or ""
    except metadata.PackageNotFoundError:
        return None
    return "rpm" if said.strip() == "rpm" else None
