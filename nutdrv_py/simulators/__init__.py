# SPDX-License-Identifier: GPL-2.0-or-later
"""Simulated devices: stand-ins for the real thing, for tests and for trying the driver without hardware."""
