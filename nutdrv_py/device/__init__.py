# SPDX-License-Identifier: GPL-2.0-or-later
"""What a backend is: its contract, its readings, and what backends share. The door for strangers."""
