#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# NUT's own programs against the packaged driver, started as root and running as NUT's user, without systemd.
# shellcheck source=packaging/matrix/lib.sh
. "$(dirname "$0")/lib.sh"
own_network "$0" "$@"

simulate() {
    if [ -n "${simulator:-}" ]; then kill "$simulator"; wait "$simulator"; fi
    nutdrv_py simulate rct --listen 127.0.0.1:18899 "$@" >/tmp/simulator.log 2>&1 &
    simulator=$!
    soon 20 grep -q Running /tmp/simulator.log
}
owner() { [ "$(ps -o user= -p "$(pid_of house)")" = nut ]; }
name() { [ "$(basename "$(readlink "/proc/$(pid_of house)/exe")")" = nutdrv_py ]; }
plain_status() { upsdrvctl status | tee /dev/stderr | grep -q "^house.*RESPONSIVE" && ! upsdrvctl status | grep -q NOT_RESPONSIVE; }
set_low() { upsrw -s battery.charge.low=25 -u admin -p matrix -w house@localhost && soon 10 shows house battery.charge.low '^25$'; }
command() {
    upscmd -l house | tee /dev/stderr | grep -q driver.reload && upscmd -u admin -p matrix -w house driver.reload
}
stop() { local pid; pid=$(pid_of house) && upsdrvctl stop && soon 10 gone "$pid" && [ ! -e /run/nut/nutdrv_py-house.pid ]; }
refused() {
    # The output stays on: a house battery cannot cut it, and upsdrvctl must not say that it did.
    local said
    said=$(upsdrvctl shutdown 2>&1) && return 1
    echo "$said"
    grep -qi "not supported" <<<"$said"
}
outage() {
    simulate --scenario outage --speed 10
    soon 60 shows house ups.status OB && soon 90 shows house ups.status OL || return 1
    # upsmon must have seen it too: a driver that ends while upsmon believes in OB is a dead UPS to it.
    sleep 3
    [ ! -e /tmp/SHUTDOWNCMD ]
}
low_battery() {
    # Nothing of what was done to the driver since the outage may have been one for upsmon.
    [ ! -e /tmp/SHUTDOWNCMD ] || { echo "upsmon has shut down already"; return 1; }
    simulate --scenario low-battery --speed 10
    soon 200 test -e /tmp/SHUTDOWNCMD
}
renewed() {
    # What an upgrade of Python does: another file under the same name, while the driver runs in the old one.
    local pid
    pid=$(pid_of house)
    rm /usr/libexec/nutdrv_py/nutdrv_py
    dpkg-trigger --no-await /usr/bin/python3 && dpkg --triggers-only --pending
    [ -x /usr/libexec/nutdrv_py/nutdrv_py ] && stop && upsdrvctl start && soon 10 shows house ups.status OL
}

configure_nut
step "simulator of an RCT inverter" simulate
step "upsdrvctl start" upsdrvctl start
step "the driver runs as user nut" owner
step "the process is called nutdrv_py" name
step "upsd" upsd
step "upsc shows OL" soon 20 shows house ups.status OL
if upsdrvctl -h 2>&1 | grep -q status; then
    step "upsdrvctl status" plain_status
else
    absent "upsdrvctl status" "this NUT has none"
fi
step "upsrw sets battery.charge.low" set_low
step "upscmd driver.reload" command
if upsdrvctl -h 2>&1 | grep -q -- '-c '; then
    step "upsdrvctl -c reload" upsdrvctl -c reload
else
    absent "upsdrvctl -c reload" "this NUT has none"
fi
step "upsmon" upsmon
step "upsmon lets an outage pass" outage
step "upsdrvctl shutdown is refused" refused
step "upsdrvctl stop" stop
step "upsdrvctl start again" upsdrvctl start
step "upsc shows OL again" soon 60 shows house ups.status OL
step "an upgrade of Python" renewed
step "Home Assistant's library and pynut2" python3 "$(dirname "$0")/clients.py"
step "upsmon shuts down on a low battery" low_battery
upsmon -c stop
upsd -c stop
upsdrvctl stop
kill "$simulator"
exit $((failures > 0)) # counted by step
