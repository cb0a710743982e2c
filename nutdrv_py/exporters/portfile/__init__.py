# SPDX-License-Identifier: GPL-2.0-or-later
"""The port file that NUT's ``dummy-ups`` reads, kept up to date.

dummy-ups never expires what it has read, so the file is taken away (renamed to ``<file>-nocomms``) when the data are stale and
when nothing updates it any more.
"""

from nutdrv_py.exporters.portfile.file import PortFile, abandon, take_away, young
from nutdrv_py.exporters.portfile.writer import Writer

__all__ = ["PortFile", "Writer", "abandon", "take_away", "young"]
