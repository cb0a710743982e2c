# SPDX-License-Identifier: GPL-2.0-or-later
"""RCT Power's serial protocol: frames, payloads, objects."""
