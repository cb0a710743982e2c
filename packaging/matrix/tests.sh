#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tests.sh COMMAND...: the tests on a loopback interface of their own; those of several releases run at a time.
# shellcheck source=packaging/matrix/lib.sh
. "$(dirname "$0")/lib.sh"
own_network "$0" "$@"
exec "$@"
