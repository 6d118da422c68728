#!/bin/bash
# The system tests where systemd is PID 1, on cgroup v2.
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/vm/boot.sh"
boot systemd 6.1 6.12
