#!/bin/bash
# The system tests where there is only cgroup v1.
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/vm/boot.sh"
# Not on 6.12: Debian builds it without v1's memory and cpuset controllers.
boot v1 6.1
