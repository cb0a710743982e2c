# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of ``nutdrv_py portfile --help`` besides its options: keys, files, units, test mode."""

from __future__ import annotations

import textwrap

__all__ = ["KEYS", "MANUAL"]

KEYS: tuple[tuple[str, str, str], ...] = (
    ("USERNAME", "", "e-mail address of the Enlighten account"),
    ("PASSWORD", "", "its password"),
    ("SERIAL", "learnt from the gateway", "serial number of the gateway"),
    ("PORT_FILE", "the port of the section in ups.conf, else UPS.dev", "the port file; a relative name is one in STATE_DIR"),
    ("STATE_DIR", "$NUT_STATEPATH", "folder for port file and token that NUT's user may write to"),
    ("TOKEN_FILE", "enphase-UPS.token", "the bare token; a relative name is one in STATE_DIR"),
    ("ENVOY_HOST", "envoy.local", "the gateway: host, host:port or URL"),
    ("POLLFREQ", "60", "seconds between two writes and two full polls on the grid, at least 5; a new status is written at once"),
    ("POLLFREQALERT", "20", "the same off the grid, at least 5"),
    ("POLLINTERVAL", "5", "seconds between two questions for the state of the grid, at least 2; more spares the gateway"),
    ("DISABLE_METERS", "", "any text: the gateway's meters are not asked"),
    ("LOADKWH", "what the batteries can give, else 768", "W per kWh of capacity that mean 100 % load; 0: no ups.load"),
    ("LOGIN_TIMEOUT", "10", "seconds for the cloud, at least 5"),
    ("API_TIMEOUT", "10", "seconds for the gateway, at least 2"),
    ("MAXAGE", "120", "seconds without data after which the file is renamed"),
    ("UPS", "the argument, or the name of the file", "name of the UPS"),
    ("BACKEND", "enphase", "rct for an RCT Power inverter, whose address is HOST"),
    ("HOST", "", "address of the device, for any backend"),
    ("TOKEN", "", "a token of the gateway, fetched by hand"),
    ("DEBUG", "0", "as so many -d"),
    ("VERBOSE", "", "1: as -v"),
    ("ENPHASE_LOGIN", "Enphase's", "where to log in; LOGIN_URL is the same"),
    ("ENPHASE_TOKENS", "Enphase's", "where to fetch the token; TOKEN_URL is the same"),
    ("TEST", "", "1: the test mode"),
    ("TEST_MODE", "", "1: the test mode without answers, for any backend"),
    ("TEST_DELAY", "10", "seconds of each step of TEST_MODE; those of TEST are POLLFREQ's"),
)
"""Keys of the configuration: name, default, meaning. Every option of the backend is one, too, in capitals."""

_HEAD = """\
The configuration is enphase-UPS.conf, rct-UPS.conf or UPS.conf in /etc/nut
(/etc/ups on Fedora), or what -c names. It was written for a shell and is read
as data: quotes, comments, $NAME, ${NAME:-default}; what a shell would run is
refused. Others must not be able to read it, nor to write to its folder. Keys,
and what counts without them:

"""

_TAIL = """
Environment: CONFIG_FILE (as -c), UPS, PORT_FILE, NUT_SYSCONFIG or NUT_CONFPATH
(folder of the configuration), NUT_LOCALSTATE or NUT_STATEPATH (STATE_DIR).

ups.conf:

  [UPS]
      driver = dummy-ups
      port = STATE_DIR/UPS.dev
      mode = dummy-once
      desc = "House battery"

The port file must be there before (touch it, and give it to NUT's user), as
UPS.dev or UPS.dev-nocomms; when both are, the second counts. Without data it is
renamed to UPS.dev-nocomms. These entries are yours when you write them; others
that no program generates stay:

  battery.charge.low  battery.voltage.high  battery.voltage.nominal
  battery.voltage.low  device.mfr  device.model  ups.mfr  ups.model

Units: nutdrv_py-portfile@UPS.service, or your own with
ExecStartPre=nutdrv_py portfile -s %I and ExecStart=nutdrv_py portfile %I.
With -s: 0 with and without data (then the file is renamed, unless it is young
and was written here), 1 for a mistake in the configuration, 2 when no UPS is
named.

Test mode: TEST=1 with TEST_RELAY ("@RELAY_STATE@" in it), TEST_LIVE
("@BATT_SOC@"), TEST_REPORTS, TEST_SECCTRL, TEST_INFO, TEST_SESS and TEST_TOKEN:
what gateway and cloud answer; an empty one is a query that fails. No network is
touched. It goes round: online, nocomms, online, onbatt, lowbatt; now and then
the token ends.

All of it: docs/portfile.md
"""


def _row(name: str, default: str, meaning: str) -> str:
    text = meaning + (f" ({default})" if default else "")
    return textwrap.fill(text, 79, initial_indent=f"  {name:<15} ", subsequent_indent=" " * 18)


MANUAL = _HEAD + "".join(f"{_row(*key)}\n" for key in KEYS) + _TAIL
