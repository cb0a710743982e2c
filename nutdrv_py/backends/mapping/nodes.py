# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a YAML file into nodes that know their line. Scalars stay the words that they are: ``on`` is no boolean here.

Nothing of the file is run, built or fetched: tags, anchors and aliases are refused, and no Python object is made of it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from nutdrv_py.errors import ConfigError, word
from nutdrv_py.machine.private import read_trusted

__all__ = ["Node", "read_nodes"]

MOST_BYTES = 64 * 1024
"""Maximum bytes of a file; a long device has some thousand."""

DEEPEST = 8
"""Maximum levels of a file; a device needs five."""

LONGEST = 400
"""Maximum characters of one word."""

_SECRET = frozenset({"password", "passwd", "token", "secret", "auth_pass"})


@dataclass(frozen=True, slots=True)
class Node:
    """A mapping, a list or a word of the file ``file``, at ``line``. Each reader raises :class:`ConfigError` with both."""

    file: str
    line: int
    word: str | None = None
    list: tuple[Node, ...] | None = None
    pairs: tuple[tuple[Node, Node], ...] | None = None

    def fail(self, sentence: str) -> ConfigError:
        """Return the error that names the place."""
        return ConfigError(f"{self.file}:{self.line}: {sentence}")

    def entries(self, known: Iterable[str] | None = None) -> dict[str, Node]:
        """Return the entries of a mapping by name; with ``known`` no other name is allowed."""
        if self.pairs is None:
            raise self.fail("names with values are needed here, one a line: name: value")
        allowed = None if known is None else sorted(known)
        found: dict[str, Node] = {}
        for key, value in self.pairs:
            name = key.text()
            if name in found:
                raise key.fail(f"{word(name)} is there twice; leave one of them")
            if allowed is not None and name not in allowed:
                if name.lower() in _SECRET:
                    raise key.fail("no secret belongs here; put it into the file that credentials = in ups.conf names")
                near = difflib.get_close_matches(name, allowed, n=1)
                hint = f"did you mean {near[0]}?" if near else f"write one of: {', '.join(allowed)}"
                raise key.fail(f"{word(name)} is not known here; {hint}")
            found[name] = value
        return found

    def items(self) -> tuple[Node, ...]:
        """Return the items of a list; a single word or mapping is a list of one."""
        return (self,) if self.list is None else self.list

    def text(self) -> str:
        """Return the word as it is written; never empty."""
        if self.pairs is not None and len(self.pairs) == 1 and self.pairs[0][1].word == "":
            raise self.fail(f'put it into quotes: "{{{self.pairs[0][0].word}}}"')
        if self.word is None:
            raise self.fail("one word or number is needed here")
        text = self.word.strip()
        if not text or len(text) > LONGEST or not text.isprintable():
            raise self.fail(f"a text of 1 to {LONGEST} printable characters is needed here")
        return text

    def number(self, low: float, high: float) -> float:
        """Return a number from ``low`` to ``high``, both included; whole ones may be written 0x1F."""
        text = self.text()
        try:
            value = float(int(text, 16)) if re.fullmatch(r"[+-]?0[xX][0-9a-fA-F]+", text) else float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise self.fail(f"a number from {low:g} to {high:g} is needed here")
        return value

    def integer(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        value = self.number(low, high)
        if value != int(value):
            raise self.fail("a whole number is needed here")
        return int(value)

    def flag(self) -> bool:
        """Return yes or no."""
        text = self.text().lower()
        if text not in ("yes", "true", "on", "no", "false", "off"):
            raise self.fail("write yes or no")
        return text in ("yes", "true", "on")

    def choice(self, known: Iterable[str]) -> str:
        """Return one of the words ``known``."""
        text, allowed = self.text(), sorted(known)
        if text not in allowed:
            near = difflib.get_close_matches(text, allowed, n=1)
            raise self.fail(f"write one of: {', '.join(allowed)}" + (f"; did you mean {near[0]}?" if near else ""))
        return text


def read_nodes(path: Path) -> Node:
    """Return the file as nodes. Raises :class:`ConfigError` with file and line."""
    try:
        text = read_trusted(path, MOST_BYTES).decode()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; port = names a YAML file or a shipped device") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8") from None
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
            if anchor is not None or tag is not None:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise ConfigError(f"{path}:{line}: YAML's anchors (&, *) and tags (!) are not taken here; "
                                  "put a word that begins so into quotes")  # fmt: skip
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{path}:{line}: this is not YAML; look for a missing blank after a colon, or quotes") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ConfigError(f"{path} is not YAML that can be used") from None
    if root is None:
        raise ConfigError(f"{path} is empty; type: nutdrv_py backends mapping")
    return _node(str(path), root, 0)


def _node(file: str, node: yaml.Node, depth: int) -> Node:
    line = node.start_mark.line + 1
    if depth > DEEPEST:
        raise ConfigError(f"{file}:{line}: more than {DEEPEST} levels are not taken; write it flatter")
    if isinstance(node, yaml.ScalarNode):
        return Node(file, line, word=node.value)
    if isinstance(node, yaml.SequenceNode):
        return Node(file, line, list=tuple(_node(file, item, depth + 1) for item in node.value))
    pairs = tuple((_node(file, key, depth + 1), _node(file, value, depth + 1)) for key, value in node.value)
    return Node(file, line, pairs=pairs)
