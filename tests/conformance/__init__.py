# SPDX-License-Identifier: GPL-2.0-or-later

# pytest parses a module of a plugin when it is imported; Python 3.11.2 may fail at that while another thread runs
# (CPython issue 106905), so not in the middle of a test.
import nutdrv_py.testing.stories  # noqa: F401
