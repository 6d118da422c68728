#!/bin/bash
# The system tests where cgroup v1 has some controllers and v2 the others.
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/vm/boot.sh"
# shellcheck disable=SC2086 # a word or none
boot hybrid 6.1 ${CONEX_VM_ALL:+6.12}
