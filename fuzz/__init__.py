# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzzing: each way in which bytes of others reach this package, as a function of bytes that must never raise.

``make fuzz MINUTES=10`` runs all of them under atheris; ``make test`` runs each over its corpus (``fuzz/seeds.py`` and the files
in ``fuzz/corpus``) and over some inputs made anew. ``fuzz/table.py`` is the table of targets, ``fuzz/invariants.py`` says what
must hold in all of them.
"""
