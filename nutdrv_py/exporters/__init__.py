# SPDX-License-Identifier: GPL-2.0-or-later
"""Where readings go besides upsd: one module each, importing what it needs only when it is used."""
