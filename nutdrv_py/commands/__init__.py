# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person types: one module each, with ``HELP``, ``configure(parser)`` and ``run(args) -> exit code``."""
