#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A new user with a fresh system, the package and its documentation: from nothing to `upsc`. The steps are those of README.Debian.
# shellcheck source=packaging/matrix/lib.sh
. "$(dirname "$0")/lib.sh"

simulate() {
    nutdrv_py simulate rct >/tmp/section 2>&1 &
    simulator=$!
    soon 20 grep -q Running /tmp/section
}
configure() {
    sed -i 's/^MODE=.*/MODE=standalone/' /etc/nut/nut.conf
    grep -v '^#' /tmp/section | grep -v '^[0-9][0-9]:' >>/etc/nut/ups.conf
}

if [ -z "${OWN_NETWORK:-}" ]; then
    step "apt-get update" apt-get update -qq
    step "apt-get install ./nutdrv-py.deb (with NUT and Python)" apt-get install -y -qq --no-install-recommends "$1"
fi
own_network "$0" "$@"
step "nutdrv_py simulate rct" simulate
step "ups.conf and MODE=standalone" configure
step "upsdrvctl start" upsdrvctl start
step "upsd (systemctl restart nut-server does it)" upsd
step "upsc rct-sim shows OL" soon 20 shows rct-sim ups.status OL
upsc rct-sim 2>/dev/null
step "man nutdrv_py is there" test -e /usr/share/man/man8/nutdrv_py.8.gz
step "upsdrvctl stop" upsdrvctl stop
upsd -c stop
kill "$simulator"
exit $((failures > 0)) # counted by step
