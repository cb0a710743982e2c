#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A new user with a fresh system and README.md, whose chapter "Install it" is typed line by line.
# newcomer.sh install: up to the package. newcomer.sh use: the rest, under systemd. Run where build/deb is.
# shellcheck source=packaging/matrix/lib.sh
. "$(dirname "$0")/lib.sh"

lines() { sed -n '/^## Install it/,/^## Use/s/^    //p' README.md | sed 's/  *# .*//'; }

# It must not hold the descriptor on which the end of this script is waited for.
simulate() { eval "$1" 3>&-; }

while read -r line; do
    case $1/$line in
        install/"apt install "*)
            step "apt-get update" apt-get update -qq
            step "$line" eval "${line/apt install/apt-get install -y -qq}"
            ;;
        # The package is what is tried; it was built before.
        */"make deb" | use/"apt install "* | install/*) ;;
        use/*"&") step "$line" simulate "$line" ;;
        # upsd has the data a moment after the driver.
        use/upsc*) step "$line" soon 20 eval "$line" && upsc house ;;
        use/*) step "$line" eval "$line" ;;
    esac
done < <(lines)
mapfile -t simulators < <(jobs -p)
[ ${#simulators[@]} = 0 ] || kill "${simulators[@]}"
exit $((failures > 0)) # counted by step
