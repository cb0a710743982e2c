# SPDX-License-Identifier: GPL-2.0-or-later
"""The document: page.html with style and scripts put in, and the policy that lets a browser run these and nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
from importlib.resources import files

__all__ = ["Document"]

SCRIPTS = ("words.js", "ups.js", "past.js", "page.js")
"""Parts of the page's one script, in their order."""


class Document:
    """The page with the heading ``title``, ready to be sent."""

    def __init__(self, title: str) -> None:
        style = _part("page.css")
        script = "\n".join(('(() => {\n"use strict";', *map(_part, SCRIPTS), "})();\n"))
        text = _part("page.html")
        self.version = hashlib.sha256("".join((text, style, script)).encode()).hexdigest()[:12]
        """Another one for each text of the page: an open page that sees it change loads itself anew."""
        # The title is last: marks in it are not replaced.
        marks = {"{style}": style, "{script}": script, "{version}": self.version, "{title}": html.escape(title)}
        for mark, filling in marks.items():
            text = text.replace(mark, filling)
        self.body = text.encode()
        self.policy = "; ".join(
            (
                "default-src 'none'",
                f"style-src {_hash(style)}",
                f"script-src {_hash(script)}",
                "connect-src 'self'",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
                "require-trusted-types-for 'script'",
                "trusted-types 'none'",
            )
        )
        """The Content-Security-Policy."""


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
