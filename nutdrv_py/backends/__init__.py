# SPDX-License-Identifier: GPL-2.0-or-later
"""The backends that come with the driver; others come through entry points."""
