#!/bin/bash
# The system tests where systemd is PID 1, on cgroup v2.
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/vm/boot.sh"
# shellcheck disable=SC2086 # a word or none
boot systemd 6.1 ${CONEX_VM_ALL:+6.12}
