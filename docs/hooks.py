# SPDX-License-Identifier: GPL-2.0-or-later
"""For mkdocs: links to files beside docs/ (``../ups.conf.example``) work on the site too, because these files come along."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent

FOLDER = "sources"
"""Where on the site they stand."""

_OUTSIDE = re.compile(r"\]\((?:\.\./)+([\w./-]+)(#[\w-]+)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn such a link into one to the copy; a file that is not there keeps its link, and mkdocs warns."""
    up = page.file.src_uri.count("/")

    def moved(found: re.Match[str]) -> str:
        name = found[1]
        outside = found[0].count("../") == up + 1 and (REPO / name).is_file()
        return f"]({'../' * up}{FOLDER}/{name}.txt)" if outside else found[0]

    return _OUTSIDE.sub(moved, markdown)


def on_files(files: Any, *, config: Any) -> Any:
    """Add the files that pages link to."""
    from mkdocs.structure.files import File

    names = set()
    for page in files.documentation_pages():
        text = Path(page.abs_src_path).read_text(encoding="utf-8")
        names.update(found[1] for found in _OUTSIDE.finditer(text) if (REPO / found[1]).is_file())
    for name in sorted(names):
        files.append(File.generated(config, f"{FOLDER}/{name}.txt", content=(REPO / name).read_text(encoding="utf-8")))
    return files
