# SPDX-License-Identifier: GPL-2.0-or-later
"""``python -m nutdrv_py``."""

import sys

from nutdrv_py.cli import main

sys.exit(main())
