# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold for any bytes: targets for a fuzzer, which ``make test`` plays over the small corpus, too."""
