#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/moving-from-enphase-monitor.md and docs/moving-from-rctmon.md typed as they stand, both ways, on the systemd of the chroot, with a
# real dummy-ups, upsd and upsmon. moving.sh DOCS. In place of the script and of RctMon stand units that do what matters for moving.
# shellcheck source=packaging/matrix/lib.sh
. "$(dirname "$0")/lib.sh"

docs=$1
page=$docs/moving-from-enphase-monitor.md
gateway=127.0.0.1:18443
down=/run/nut/SHUTDOWNCMD

# typed HEADING FIRST LAST: run the commands of these console blocks under the heading, as they are printed.
typed() {
    python3 - "$page" "$@" >/tmp/typed.sh <<'PY'
import re, sys
page, heading, first, last = sys.argv[1:]
text = open(page, encoding="utf-8").read().split(f"\n## {heading}\n")[1].split("\n## ")[0]
blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
for block in blocks[int(first) - 1 : int(last)]:
    for line in (line[2:] for line in block.splitlines() if line.startswith("$ ")):
        # What goes on until Ctrl-C, beside a second terminal.
        print(f"timeout --signal=INT 20 {line} &\nsleep 8" if line.startswith("nutdrv_py daemon") else line)
        print("wait" if line.startswith("curl") else "")
PY
    cat /tmp/typed.sh
    bash -e /tmp/typed.sh
}

simulate() {
    systemctl stop gateway 2>/dev/null
    systemd-run --quiet --collect --unit=gateway nutdrv_py simulate enphase --listen "$gateway" "$@"
    soon 20 bash -c "exec 3<>/dev/tcp/${gateway/:/\/}"
}

# What ups.conf says of [home]: dummy-ups, or the driver.
section() {
    if [ "$1" = dummy-ups ]; then
        printf '[home]\n    driver = dummy-ups\n    mode = dummy-once\n    port = /var/lib/nut/home.dev\n'
    else
        python3 - "$page" <<'PY'
import re, sys
block = re.search(r"^```ups\.conf\n(.*?)^```$", open(sys.argv[1], encoding="utf-8").read(), re.MULTILINE | re.DOTALL)[1]
print(re.sub(r"port( *)= .*", r"port\1= 127.0.0.1:18443", block) + "    login_url = https://127.0.0.1:18443/login/login.json\n    token_url = https://127.0.0.1:18443/tokens")
PY
    fi | install -m 0640 -o root -g nut /dev/stdin /etc/nut/ups.conf
}
export -f section
export page

script_runs() {
    sed -i 's/^MODE=.*/MODE=standalone/' /etc/nut/nut.conf
    install -m 0640 -o root -g nut /dev/stdin /etc/nut/upsd.users <<<$'[admin]\n    password = matrix\n    upsmon primary'
    install -m 0640 -o root -g nut /dev/stdin /etc/nut/upsmon.conf <<MONITOR
MONITOR home@localhost 1 admin matrix primary
MINSUPPLIES 1
POLLFREQ 1
POLLFREQALERT 1
HOSTSYNC 1
DEADTIME 15
FINALDELAY 0
SHUTDOWNCMD "/bin/touch $down"
POWERDOWNFLAG /run/nut/killpower
MONITOR
    install -m 0640 -o root -g nut /dev/stdin /etc/nut/enphase-home.conf <<CONF
# as the script reads it
ENVOY_HOST="$gateway"
USERNAME='demo@example.org' # the account
PASSWORD="demo-password"     # and its password
SERIAL=122333444455
STATE_DIR=/var/lib/nut
PORT_FILE=home.dev
ENPHASE_LOGIN=https://$gateway/login/login.json
ENPHASE_TOKENS=https://$gateway/tokens
CONF
    install -D -m 0755 /dev/stdin /usr/local/libexec/enphase-monitor <<'SCRIPT'
#!/bin/bash
# Writes the file as the script does: in place, with what it generates, again and again (dummy-ups compares whole seconds).
. "/etc/nut/enphase-${!#}.conf"
while
    printf 'ups.status: OL\nbattery.charge: 77\ninput.current: 15.63\nups.location: cellar\n' > "$STATE_DIR/$PORT_FILE"
    [ "$1" != -s ]
do sleep 5; done
SCRIPT
    cat >/etc/systemd/system/enphase-monitor@.service <<'UNIT'
[Unit]
PartOf=nut-driver.target
Before=nut-driver@%i.service
[Service]
User=nut
ExecStartPre=/usr/local/libexec/enphase-monitor -s %I
ExecStart=/usr/local/libexec/enphase-monitor %I
Type=exec
Restart=always
RestartSec=30
[Install]
WantedBy=nut-driver@%i.service
UNIT
    install -o nut -g nut -m 0640 /dev/null /var/lib/nut/home.dev
    section dummy-ups
    systemctl daemon-reload
    systemctl restart nut-driver-enumerator.service
    systemctl enable --now enphase-monitor@home
    systemctl start nut-driver@home && systemctl restart nut-server && systemctl restart nut-monitor
    soon 60 shows home input.current 15.63
}
ours_keeps() {
    typed "The port file" 1 1 || return 1
    soon 30 shows home ups.model "IQ Gateway" && shows home ups.status OL && shows home ups.location cellar && ! shows home input.current 15.63
}
# The keeper dies, or is started again, in an outage: dummy-ups keeps its file, and upsmon has nothing to say.
outage() {
    local turn
    rm -f "$down"
    simulate --scenario outage && soon 90 shows home ups.status OB || return 1
    for turn in $(seq 20); do
        if [ $((turn % 4)) = 0 ]; then
            systemctl restart "$1@home"
        else
            systemctl kill --signal=KILL "$1@home"
        fi
        sleep 4
        [ -e /var/lib/nut/home.dev ] || echo "turn $turn: the file is away"
        shows home ups.status OB || echo "turn $turn: $(upsc home ups.status 2>&1)"
    done | tee /tmp/turns
    sleep 20
    [ ! -s /tmp/turns ] && [ ! -e "$down" ] && shows home ups.status OB && return
    journalctl --no-pager -n 300 -o short-precise
    return 1
}
with_a_short_restart() {
    sed -i 's/^RestartSec=.*/RestartSec=1/' /etc/systemd/system/enphase-monitor@.service && systemctl daemon-reload && outage enphase-monitor
}
own_unit() {
    simulate && soon 120 shows home ups.status OL || return 1
    systemctl disable --now enphase-monitor@home && systemctl start nutdrv_py-portfile@home && soon 60 shows home ups.status OL || return 1
    outage nutdrv_py-portfile || return 1
    simulate && soon 120 shows home ups.status OL || return 1
    systemctl stop nutdrv_py-portfile@home && [ ! -e /var/lib/nut/home.dev ] && systemctl enable --now enphase-monitor@home && soon 60 shows home ups.status OL
}
back_to_the_script() {
    simulate && soon 120 shows home ups.status OL || return 1
    typed "The port file" 2 2 || return 1
    soon 60 shows home input.current 15.63 && ! grep -q "nutdrv_py\|ups.model" /var/lib/nut/home.dev && shows home ups.location cellar
}
to_the_driver() {
    editor() { section driver; }
    export -f editor
    typed "The driver" 1 3 || return 1
    grep -qx 'USERNAME=demo@example.org' /etc/nut/enphase-login.conf && soon 30 shows home driver.name nutdrv_py && soon 30 shows home ups.status OL &&
        typed "The driver" 4 4
}
and_back() {
    section dummy-ups
    typed "The driver" 5 5 || return 1
    soon 60 shows home driver.name dummy-ups && soon 30 shows home input.current 15.63
}

# RctMon: what its service serves here is nothing but the sentence that it runs.
rctmon() {
    page=$docs/moving-from-rctmon.md
    systemd-run --quiet --collect --unit=inverter nutdrv_py simulate rct --listen 127.0.0.1:8899
    printf '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/rctmon.service
    printf 'device:\n  host: 127.0.0.1\nprometheus:\n  enable: true\n  exposition: true\n' >/etc/rctmon.yml
    systemctl daemon-reload && systemctl enable --now rctmon && soon 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8899' || return 1
    typed "As before, without NUT" 1 3 || return 1
    soon 30 sh -c 'curl -s http://127.0.0.1:9831/metrics | grep -q "^rctmon_device_up.* 1"' && [ "$(systemctl is-active rctmon)" = inactive ] || return 1
    typed "As before, without NUT" 4 4 && [ "$(systemctl is-active rctmon)" = active ] && ! curl -s http://127.0.0.1:9831/metrics
}

soon 60 sh -c 'systemctl is-system-running | grep -qE "running|degraded"'
step "a gateway is simulated" simulate
step "the script and dummy-ups serve the UPS" script_runs
step "typed: nutdrv_py portfile in the script's place" ours_keeps
step "killed and restarted 20 times in an outage: upsd serves OB, upsmon stays" with_a_short_restart
step "the same with the unit of the package" own_unit
step "typed: back to the script" back_to_the_script
step "typed: to the driver" to_the_driver
step "typed: back to dummy-ups" and_back
step "typed: from RctMon to the daemon, and back" rctmon
exit $((failures > 0)) # counted by step
