# SPDX-License-Identifier: GPL-2.0-or-later
"""NUT's formats and protocol as pure functions and values: no sockets, no files, no clock, no logging."""
