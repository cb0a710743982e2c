# SPDX-License-Identifier: GPL-2.0-or-later
"""How this machine is set up: paths, packages, files that hold secrets."""
