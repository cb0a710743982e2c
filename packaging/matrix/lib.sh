# SPDX-License-Identifier: GPL-2.0-or-later
# Read by the scripts that run in a chroot. Each step ends in one line on descriptor 3: result, seconds, title, separated by tabs.
# shellcheck shell=bash

set -u
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
failures=0

# own_network "$0" ARGUMENTS...: go on with a loopback interface of one's own, so that all ports are free.
own_network() {
    if [ -z "${OWN_NETWORK:-}" ]; then
        OWN_NETWORK=yes exec unshare --net "$@"
    fi
    python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS: up and running'
}

# step TITLE COMMAND...: run it, with its output on stdout, and tell how it went.
step() {
    local title=$1 began result=passed
    shift
    began=$(date +%s.%N)
    echo "=== $title"
    if ! "$@"; then
        result=failed
        failures=$((failures + 1))
    fi
    printf '%s\t%.1f\t%s\n' "$result" "$(echo "$(date +%s.%N) $began" | awk '{print $1 - $2}')" "$title" >&3
    echo "=== $result: $title"
}

# absent TITLE REASON: a step that this release does not have.
absent() { printf 'absent\t0\t%s (%s)\n' "$1" "$2" >&3; }

# soon SECONDS COMMAND...: try until it succeeds.
soon() {
    local deadline=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "did not come true: $*"
            "$@"
            # Where systemd runs, it knows what happened in that time.
            [ ! -d /run/systemd/system ] || journalctl --no-pager -n 80 -o short-precise
            return 1
        fi
        sleep 0.3
    done
}

shows() { upsc "$1" "$2" 2>/dev/null | grep -q -- "$3"; }
pid_of() { cat "/run/nut/nutdrv_py-$1.pid"; }
gone() { ! kill -0 "$1" 2>/dev/null; }

# A NUT on loopback as an administrator sets it up: configuration of the packages, with a section for the simulator.
configure_nut() {
    sed -i 's/^MODE=.*/MODE=standalone/' /etc/nut/nut.conf
    install -m 0640 -o root -g nut /dev/stdin /etc/nut/upsd.users <<USERS
[admin]
    password = matrix
    actions = SET
    instcmds = ALL
    upsmon primary
USERS
    install -m 0640 -o root -g nut /dev/stdin /etc/nut/upsmon.conf <<MONITOR
MONITOR house@localhost 1 admin matrix primary
MINSUPPLIES 1
POLLFREQ 1
POLLFREQALERT 1
HOSTSYNC 1
DEADTIME 15
FINALDELAY 0
SHUTDOWNCMD "/bin/touch /tmp/SHUTDOWNCMD"
POWERDOWNFLAG /run/nut/killpower
MONITOR
    install -m 0640 -o root -g nut /dev/stdin /etc/nut/ups.conf <<UPS
[house]
    driver = nutdrv_py
    port = 127.0.0.1:18899
    backend = rct
    desc = "Simulated inverter"
UPS
}
