# SPDX-License-Identifier: GPL-2.0-or-later
"""RCT Power: an inverter with a house battery, asked over its serial protocol on TCP port 8899."""
