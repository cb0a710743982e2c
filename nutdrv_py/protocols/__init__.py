# SPDX-License-Identifier: GPL-2.0-or-later
"""Protocols of devices, used by backends, simulators and recordings alike."""
