# SPDX-License-Identifier: GPL-2.0-or-later
"""Stories that the real upsd and upsmon play with this driver; docs/upsmon.md says what upsmon does in each of them."""
