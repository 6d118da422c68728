#!/bin/bash
# The system tests where cgroup v2 is alone, with all controllers.
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/vm/boot.sh"
boot v2 6.1 6.12
