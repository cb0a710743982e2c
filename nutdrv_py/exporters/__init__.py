# SPDX-License-Identifier: GPL-2.0-or-later
"""Where readings go besides upsd: one module each, importing what it needs only when it is used.

An exporter never holds up a poll, never ends the process, and never shows an old value as new.
"""
