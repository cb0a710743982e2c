# SPDX-License-Identifier: GPL-2.0-or-later
"""From a Reading to a Snapshot: the same for every device."""
