# SPDX-License-Identifier: GPL-2.0-or-later
"""A device's conversation in a file, with whatever names a person or a house replaced.

:mod:`~nutdrv_py.recording.standins` replaces one text by another of the same form, :mod:`~nutdrv_py.recording.rules` decides what
of a gateway's answers may stay, :mod:`~nutdrv_py.recording.gateway` and :mod:`~nutdrv_py.recording.inverter` make lines of a
conversation, :mod:`~nutdrv_py.recording.file` writes and reads them. ``nutdrv_py record`` and ``backend = replay`` use it.
"""
