# SPDX-License-Identifier: GPL-2.0-or-later
"""Simulated devices: they replace the hardware, for tests and for trying the driver without hardware."""
