#!/bin/bash
# Runs tests in a virtual machine with a kernel and a layout of cgroups that this machine hasn't:
#	tests/vm/run.sh LAYOUT [-k SERIES] [TEST...]      system/limits, or tests/system/limits; default: tests.list
#	tests/vm/run.sh LAYOUT [-k SERIES] bench/bench-cgroup   a benchmark, quickly: `make bench` before
#	tests/vm/run.sh LAYOUT [-k SERIES] --shell        a shell in it; exit powers off
# LAYOUT is v2, v1, hybrid or systemd; SERIES 6.1 (the default) or 6.12. From a build tree, or with CX_BUILDDIR.
# What it boots comes from fetch.sh; results are TAP. CONEX_VM_CACHE: where that is (build/vm).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
CX_BUILDDIR=${CX_BUILDDIR:-$([ -e conex-undo ] && pwd || echo "$top/build")}
cache=${CONEX_VM_CACHE:-$CX_BUILDDIR/vm}
patience=${CONEX_VM_PATIENCE:-800}             # seconds for all tests of one machine

usage() {
	sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
	exit 2
}

# Why no machine can be had, or nothing.
missing() { # SERIES
	if ! command -v qemu-system-x86_64 >/dev/null || ! command -v cpio >/dev/null; then
		echo "no qemu-system-x86_64 or no cpio here"
	elif [ ! -e "$cache/kernel-$1/version" ]; then
		echo "no kernel $1 here: tests/vm/fetch.sh gets it"
	elif [ ! -e "$cache/debian.img" ]; then
		echo "no Debian tree here: tests/vm/fetch.sh makes it"
	fi
}

# The second disk: tests, the programs that they call, libraries that Debian's tree hasn't, and the kernel's modules.
stage() { # SCRATCH SERIES
	local tree=$1/conex.tree program name
	mkdir -p "$tree"/{lib,build/tests/{unit,system,bench},build/examples}
	mkdir "$tree/tests"
	cp -a "$top/tests/run" "$top/tests/vm" "$top/tests/check" "$top/tests/cases" "$top/tests/system" "$tree/tests/"
	rm -f "$tree"/tests/system/*.[ch]
	for program in "$CX_BUILDDIR"/{conex-oci,conex-undo,conex-worker,tests/bench/bench-cgroup,{examples,tests/system,tests/unit}/*}; do
		[ -f "$program" ] && [ -x "$program" ] || continue
		name=${program#"$CX_BUILDDIR/"}
		# libtool's wrapper scripts stand before the programs that use the shared library
		[ ! -x "${program%/*}/.libs/${program##*/}" ] || program=${program%/*}/.libs/${program##*/}
		strip -o "$tree/build/$name" "$program"
	done
	cp -L "$CX_BUILDDIR"/.libs/libconex.so.? "$tree/lib/"
	[ ! -d "$CX_BUILDDIR/demo-rootfs" ] || cp -a "$CX_BUILDDIR/demo-rootfs" "$tree/build/"
	{ find "$tree/build" -type f -exec ldd {} + 2>/dev/null || true; } |         # it fails at static programs
		sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u | xargs -r cp -Lt "$tree/lib"
	cp -a "$cache/kernel-$2/on-demand/lib/modules" "$tree/"
	cp -L /usr/lib/*/libcgroup.so.[1-3] "$tree/lib/" 2>/dev/null || true                # loaded by bench-cgroup
	truncate -s 512M "$1/conex.img"
	/sbin/mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1 -d "$tree" "$1/conex.img"
	rm -rf "$tree"
}

# The first file system with its PID 1: a second archive behind the first one.
make_initrd() { # SERIES SCRATCH
	mkdir "$2/first"
	cp "$here/initrd" "$2/first/init"
	(cd "$2/first" && echo init | cpio -o -H newc -R 0:0 --quiet) | cat "$cache/kernel-$1/initrd" - >"$2/initrd"
}

# One thread emulates both processors: with one for each a machine once stood still for good, its timers too, when
# the host was busy; and it takes no longer.
# boot DIRECTORY LAYOUT SERIES TESTS QEMU'S-OPTIONS...
boot() {
	local scratch=$1 layout=$2 kernel=$cache/kernel-$3 tests=$4
	shift 4
	TMPDIR=$scratch timeout --foreground -k 5 $((patience + 60)) qemu-system-x86_64 \
		-accel tcg,thread=single -cpu max -smp 2 -m 1024 -nographic -nodefaults -no-reboot \
		-kernel "$kernel/vmlinuz" -initrd "$scratch/initrd" \
		-append "console=ttyS0 quiet panic=-1 systemd.mask=getty.target systemd.mask=serial-getty@ttyS0.service root=/dev/vda rw psi=1 conex.layout=$layout conex.patience=$patience conex.tests=$tests" \
		-drive "file=$cache/debian.img,format=raw,if=virtio,snapshot=on" \
		-drive "file=$scratch/conex.img,format=raw,if=virtio,snapshot=on" "$@"
}

# Numbers the tests of all programs through, and puts layout, kernel and program before their names.
renumber() { # PREFIX
	awk -v prefix="$1" '
		/^# program / { program = $3; sub(/^system\//, "", program); next }
		/^# end/ { ended = 1; next }
		/^1\.\.0/ { sub(/^1\.\.0/, ""); print "ok " ++n " - " prefix program $0; next }
		/^1\.\.[0-9]+$/ { next }
		/^(not )?ok [0-9]+ / {
			state = $1 == "not" ? "not ok" : "ok"
			sub(/^(not )?ok [0-9]+ (- )?/, "")
			print state " " ++n " - " prefix program " " $0
			next
		}
		/^#/ { print; next }
		{ print "# " $0 }
		END {
			if (!ended) { print "not ok " ++n " - " prefix "ended before its tests did (" program ")" }
			print "1.." n
		}'
}

layout=${1:-} series=6.1 shell='' names=()
case $layout in v2 | v1 | hybrid | systemd) shift ;; *) usage ;; esac
while [ $# -gt 0 ]; do
	case $1 in
	-k) series=$2 && shift ;;
	--shell) shell=1 ;;
	-*) usage ;;
	*) name=${1##*tests/} && names+=("$name") ;;
	esac
	shift
done
where=all
[ "$layout $series" != "v2 6.1" ] || where='all|one'
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(sed -nE "s/^($where) //p" "$here/tests.list")

why=$(missing "$series")
[ -z "$why" ] || { echo "1..0 # SKIP $why"; exit 0; }
scratch=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
stage "$scratch" "$series"
make_initrd "$series" "$scratch"
if [ -n "$shell" ]; then
	boot "$scratch" "$layout" "$series" shell -serial mon:stdio
	exit
fi
log=$cache/$layout-$series.console
tests=$(IFS=, && echo "${names[*]}")
status=0
boot "$scratch" "$layout" "$series" "$tests" -serial "file:$log" -serial stdio </dev/null |
	renumber "$layout, Linux $series: " | tee "$scratch/results" || status=$?
if grep -q '^not ok' "$scratch/results"; then
	echo "# the console's last words ($log):"
	tail -n 15 "$log" | tr -d '\r' | sed 's/^/# /'
	status=1
fi
exit $status
