"""One program a name: RUNTIME=/path/to/runtime python3 tests/conformance/spec NAME; no name: lists them."""
import sys

sys.dont_write_bytecode = True
import oci
import cgroups
import hooks
import lifecycle
import mounts
import namespaces
import process
import security

MODULES = (lifecycle, hooks, process, namespaces, mounts, security, cgroups)   # in this order

if len(sys.argv) > 1:
    sys.exit(oci.run(sys.argv[1]))
print("\n".join(oci.PROGRAMS))
