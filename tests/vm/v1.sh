#!/bin/bash
# The system tests where there is only cgroup v1.
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/vm/boot.sh"
boot v1 6.1 6.12
