# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of the process: a NUT driver's start, service and end."""
