# Sourced by the tests that call conex-oci: box.sh, a state directory, and bundles.
# shellcheck shell=bash
# shellcheck disable=SC2154 # box: of box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
make_box
# shellcheck disable=SC2034 # me: for the scripts
me=oci$$ # no two runs share an id

oci() {
	"$CX_BUILDDIR/conex-oci" --root "$box/state" "$@"
}
# The same as a program.
printf '#!/bin/sh\nexec "%s/conex-oci" --root "%s/state" "$@"\n' "$CX_BUILDDIR" "$box" >"$box/oci_"
chmod +x "$box/oci_"
PATH=$box:$PATH
subreaper() {
	/usr/bin/python3 -B "$CX_SRCDIR/tests/system/subreaper.py" "$@"
}

# bundle NAME LAYER [TOOL]: TOOL's template (conex-oci's) with the layer's process, linux and others.
bundle() {
	mkdir "$box/$1"
	(cd "$box/$1" && if [ "${3:-}" = runc ]; then runc spec; else oci spec; fi) || return
	python3 - "$box/$1/config.json" "$box/root" "$2" <<-'PYTHON'
		import json, sys
		path, root, layer = sys.argv[1:]
		def merge(a, b):
		    for k, v in b.items():
		        a[k] = merge(a[k], v) if isinstance(v, dict) and isinstance(a.get(k), dict) else v
		    return a
		with open(path) as f:
		    spec = json.load(f)
		merge(spec, {"root": {"path": root, "readonly": False}, "process": {"terminal": False}})
		with open(path, "w") as f:
		    json.dump(merge(spec, json.loads(layer)), f)
	PYTHON
}
args() {        # args PROGRAM ARGUMENT...: as a layer
	python3 -c 'import json, sys; print(json.dumps({"process": {"args": sys.argv[1:]}}))' "$@"
}

# status ID: of the state's JSON
status() {
	oci state "$1" | sed -n 's/^ *"status": "\(.*\)",$/\1/p'
}
is() {
	[ "$(status "$1")" = "$2" ] || {
		echo "$1 is $(status "$1"), not $2"
		return 1
	}
}
comes_to_be() {
	local i
	for ((i = 0; i < 500; i++)); do
		[ "$(status "$1")" != "$2" ] || return 0
		sleep 0.02
	done
	is "$1" "$2"
}

# The program of bundle "loop" has set its traps.
waits_for_up() {
	local i
	for ((i = 0; i < 500; i++)); do
		! grep -q up "$box/out" 2>/dev/null || return 0
		sleep 0.02
	done
	return 1
}

# fails WORDS COMMAND...: with 1, saying so in one line
fails() {
	local words=$1 said
	shift
	said=$(becomes 1 "$@" 2>&1) || {
		echo "$said"
		return 1
	}
	has "$said" "$words" && [ "$(wc -l <<<"$said")" = 1 ]
}

# v1 or v2, whichever has the file
limit() {       # limit ID V1FILE V2FILE
	cat /sys/fs/cgroup/*/conex/"$1"/"$2" 2>/dev/null || cat /sys/fs/cgroup{,/unified}/conex/"$1"/"$3" 2>/dev/null
}
