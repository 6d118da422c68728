#!/bin/bash
# Conformance of conex-oci beside runc and crun: run.sh BUILD [--short] [spec|runtime-tools|engines] (as root).
# BUILD has conex-oci; what comes out is in BUILD/conformance. `./bootstrap conformance` calls this.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
build=$(readlink -f "$1")
shift
out=$build/conformance
export PYTHONDONTWRITEBYTECODE=1

short='' suite=''
for word in "$@"; do
	case $word in
	--short) short=1 suite=spec ;;
	spec | runtime-tools | engines) suite=$word ;;
	*) echo "conformance: $word is none of --short, spec, runtime-tools, engines" >&2; exit 2 ;;
	esac
done
if [ "$(id -u)" != 0 ]; then
	echo "conformance: root is needed (mounts, cgroups)" >&2
	exit 77
fi
mkdir -p "$out"

runtimes=()
for name in runc crun; do
	path=$(command -v $name) && runtimes+=(--runtime "$name=$path")
done
runtimes+=(--runtime "conex-oci=$build/conex-oci")

compare() { # suite, more options; the programs come on standard input
	local title=$1
	shift
	"$here/private.sh" /usr/bin/python3 "$here/compare.py" --name "$title" "${runtimes[@]}" \
		--json "$out/$title.json" --logs "$out/$title" --expected "$here/expected.md" "$@"
}

run_spec() {
	local only=()
	[ -z "$short" ] || mapfile -t only < <(grep -v '^#' "$here/short.list")
	RUNTIME=none /usr/bin/python3 "$here/spec" | while read -r name; do
		printf '%s\t%s\t/usr/bin/python3\t%s\t%s\n' "$name" "$out" "$here/spec" "$name"
	done | compare spec --only "${only[@]}"
}

run_runtime_tools() {
	"$here/runtime-tools.sh" "$out" >"$out/runtime-tools.list" || return
	[ ! -s "$out/runtime-tools.list" ] || compare runtime-tools --mute --limit 120 <"$out/runtime-tools.list"
}

run_engines() {
	local name
	for name in podman docker containerd; do
		printf '%s\t%s\t%s\n' "$name" "$out" "$here/engines/$name.sh"
	done | compare engines --limit 900
}

status=0
case $suite in
spec) run_spec || status=1 ;;
runtime-tools) run_runtime_tools || status=1 ;;
engines) run_engines || status=1 ;;
*)
	run_spec || status=1
	run_runtime_tools || status=1
	run_engines || status=1
	;;
esac
exit $status
