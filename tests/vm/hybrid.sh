#!/bin/bash
# The system tests where cgroup v1 has some controllers and v2 the others.
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/vm/boot.sh"
boot hybrid 6.1 6.12
