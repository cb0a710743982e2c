#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The units of the distribution and of this package under the real systemd of the chroot. systemd.sh PACKAGE
# shellcheck source=packaging/matrix/lib.sh
. "$(dirname "$0")/lib.sh"

unit=nut-driver@house.service
# NUT 2.8.0 and 2.8.1 tell systemd no process; the driver's own file does.
main() { pid_of house; }
active() { [ "$(systemctl is-active "$1")" = active ]; }
inactive() { ! active "$1"; }
simulate() {
    systemctl stop simulator 2>/dev/null
    systemd-run --quiet --collect --unit=simulator nutdrv_py simulate rct --listen 127.0.0.1:18899 "$@"
    soon 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/18899'
}
start() {
    systemctl restart nut-driver-enumerator.service
    systemctl start "$unit" && soon 20 active "$unit" && systemctl status --no-pager "$unit" | head -15
}
server() { systemctl restart nut-server && soon 20 shows house ups.status OL; }
reload() {
    local before
    before=$(main)
    # The enumerator sees the change too, and would restart the unit; that is a step of its own.
    systemctl stop nut-driver-enumerator.path nut-driver-enumerator-daemon.service 2>/dev/null
    sed -i 's/desc = .*/pollinterval = 3/' /etc/nut/ups.conf
    if systemctl show -p CanReload "$unit" | grep -q yes; then
        systemctl reload "$unit" || systemctl status --no-pager "$unit"
    else
        # 2.8.0's unit has no ExecReload; this is what later ones do.
        kill -USR1 "$before"
    fi
    soon 10 shows house driver.parameter.pollinterval '^3$' && soon 10 active "$unit" && echo "$before, now $(main)" && [ "$(main)" = "$before" ]
}
restart() {
    local before
    before=$(main)
    systemctl restart "$unit" && soon 20 shows house ups.status OL && [ "$(main)" != "$before" ]
}
enumerated() {
    sed -i 's/pollinterval = .*/pollinterval = 4/' /etc/nut/ups.conf
    systemctl restart nut-driver-enumerator.service
    soon 60 shows house driver.parameter.pollinterval '^4$' && soon 20 active "$unit"
}
killed() {
    local before
    before=$(main)
    kill -KILL "$before"
    soon 60 sh -c "[ \"\$(cat /run/nut/nutdrv_py-house.pid)\" != $before ]" && soon 20 active "$unit" && soon 20 shows house ups.status OL
}
stop() {
    local before began
    before=$(main)
    # A driver that has served for less than its option looks takes longer to end than upsdrvctl from 2.8.1 on waits.
    sleep 8
    began=$(date +%s)
    systemctl stop "$unit" && inactive "$unit" && soon 10 gone "$before" && [ ! -e /run/nut/nutdrv_py-house.pid ] || return 1
    ! journalctl -q -u "$unit" -o cat --no-pager --since "@$began" | grep -iE "Stopping .* failed|FATAL"
}
upgrade() {
    local before
    systemctl start "$unit" && soon 20 shows house ups.status OL || return 1
    before=$(main)
    apt-get install -y -qq --reinstall "$1" && soon 30 shows house ups.status OL && [ "$(main)" != "$before" ]
}
keeper() {
    install -d -o nut -g nut -m 0750 /var/lib/nut/port
    install -o nut -g nut -m 0640 /dev/null /var/lib/nut/port/home.dev
    install -o root -g nut -m 0640 /dev/stdin /etc/nut/enphase-home.conf <<CONF
BACKEND=rct
HOST=127.0.0.1:18899
PORT_FILE=/var/lib/nut/port/home.dev
CONF
    systemctl enable --now nutdrv_py-portfile@home || return 1
    soon 20 grep -q '^ups.status: .*OL' /var/lib/nut/port/home.dev
}
exporters() {
    install -o root -g nut -m 0640 /dev/stdin /etc/rctmon.yml <<CONF
device: {host: 127.0.0.1, port: 18899}
page: {enable: true}
CONF
    systemctl enable --now nutdrv_py-daemon && soon 20 python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:9831/status.json').read()"
}
# What changes when a unit is restarted; its process is not known to the systemd of 2.8.0 and 2.8.1.
running() {
    main
    for service in nutdrv_py-portfile@home nutdrv_py-daemon; do systemctl show -p MainPID --value "$service"; done
}
says_battery() { systemctl show -p StatusText --value "$1" | grep -qw OB; }
upgrade_on_battery() {
    local before said
    simulate --scenario outage && soon 90 shows house ups.status OB || return 1
    soon 60 says_battery nutdrv_py-portfile@home && soon 60 says_battery nutdrv_py-daemon || return 1
    before=$(running)
    said=$(apt-get install -y -qq --reinstall "$1" 2>&1) || return 1
    echo "$said"
    [ "$(grep -c 'does not say that it is on the grid' <<<"$said")" = 3 ] && [ "$(running)" = "$before" ] && shows house ups.status OB || return 1
    # On the grid all three are renewed.
    simulate && soon 60 shows house ups.status OL || return 1
    soon 60 sh -c "! systemctl show -p StatusText nutdrv_py-portfile@home nutdrv_py-daemon | grep -qw OB" || return 1
    apt-get install -y -qq --reinstall "$1" && soon 30 shows house ups.status OL || return 1
    [ -z "$(comm -12 <(running | sort) <(echo "$before" | sort))" ]
}
remove() {
    local before
    before=$(main)
    apt-get remove -y -qq nutdrv-py && soon 10 gone "$before" && inactive "$unit" && inactive nutdrv_py-daemon && inactive nutdrv_py-portfile@home &&
        [ -e /etc/nut/ups.conf ] && [ ! -e /usr/libexec/nutdrv_py ]
}
purge() {
    cp -a /etc/nut /tmp/nut-before
    apt-get purge -y -qq nutdrv-py
    diff -r /etc/nut /tmp/nut-before && [ -e /etc/rctmon.yml ] || return 1
    local left
    left=$(find / -xdev \( -path /proc -o -path /sys -o -path /run/systemd -o -path /var/log -o -path /var/cache -o -path "${0%/*}" -o -path /opt \
        -o -path /src -o -path /tmp \) -prune -o -iname '*nutdrv[_-]py*' -print)
    echo "left: $left"
    [ -z "$left" ]
}

soon 60 sh -c 'systemctl is-system-running | grep -qE "running|degraded"'
configure_nut
# A chroot has no terminals and no devices to make; nothing else is changed.
step "systemd $(systemctl --version | awk 'NR == 1 {print $2}') is up" soon 5 systemctl list-units
step "simulator" simulate
step "nut-driver@ starts ($(systemctl show -p Type --value "$unit"))" start
step "nut-server serves it" server
step "reload keeps the process" reload
step "restart" restart
step "ups.conf changed, nut-driver-enumerator acts" enumerated
step "killed, and started again by systemd" killed
step "stop" stop
step "upgrade of the package restarts the driver" upgrade "$1"
step "nutdrv_py-portfile@ under its protection" keeper
step "nutdrv_py-daemon under its protection" exporters
step "upgrade on battery restarts nothing" upgrade_on_battery "$1"
step "removal stops all" remove
step "purge leaves nothing, /etc/nut is untouched" purge
exit $((failures > 0)) # counted by step
