#!/bin/bash
# The validation suite of OCI runtime-tools: builds its programs in DIRECTORY and lists them for
# compare.py. runtime-tools.sh DIRECTORY; without the suite's source it lists nothing, and says why.
#
# The source is $RUNTIME_TOOLS, or that of Debian's -dev package, if it has the suite: that of
# Debian 12 leaves validation/ and cmd/ out.
set -euo pipefail
out=$1
path=github.com/opencontainers/runtime-tools
source=${RUNTIME_TOOLS:-/usr/share/gocode/src/$path}

if [ ! -d "$source/validation" ] || [ ! -d "$source/cmd/runtimetest" ]; then
	why="$source has no validation/ and cmd/runtimetest/: set RUNTIME_TOOLS to a source tree that has them"
	echo "runtime-tools: SKIPPED: $why" >&2
	printf '{"suite": "runtime-tools", "skipped": "%s"}\n' "$why" >"$out/runtime-tools.json"
	exit 0
fi

work=$out/runtime-tools-build
export GOPATH=$work/go:/usr/share/gocode GO111MODULE=off GOFLAGS='' CGO_ENABLED=0 GOCACHE=$work/cache

# A copy, because GOPATH wants the tree at its place. Built once for each state of the source.
stamp=$(find "$source" -name '*.go' -printf '%P %s %T@\n' | sort | sha256sum)
if [ "$(cat "$work/.stamp" 2>/dev/null)" != "$stamp" ]; then
	rm -rf "$work"
	mkdir -p "$work/go/src/${path%/*}" "$work/run" "$work/rootfs"
	cp -a "$source" "$work/go/src/$path"
	go build -o "$work/run/runtimetest" $path/cmd/runtimetest >&2
	for program in "$work/go/src/$path"/validation/*/; do
		name=$(basename "$program")
		[ "$name" = util ] || go build -o "$work/run/$name.t" "$path/validation/$name" >&2
	done
	mkdir -p "$work"/rootfs/{bin,dev,etc,proc,root,sys,tmp,usr,var}
	cp "$(command -v busybox)" "$work/rootfs/bin/busybox"
	"$work/rootfs/bin/busybox" --list | while read -r name; do
		[ "$name" = busybox ] || ln -s busybox "$work/rootfs/bin/$name"
	done
	cp "$work/run/runtimetest" "$work/rootfs/"
	tar -C "$work/rootfs" -czf "$work/run/rootfs-$(go env GOARCH).tar.gz" .
	echo "$stamp" >"$work/.stamp"
fi

# Most programs name no cgroup, or a relative one, and runc then takes its own for the parent: where this
# session's memory is somebody's group, that is not ours to work in, and the hierarchy isn't there.
foreign=''
! grep -q ':memory:/.' /proc/self/cgroup || foreign=1
for program in "$work"/run/*.t; do
	name=$(basename "$program" .t)
	command=$program
	if [ -n "$foreign" ] && [ "$name" != linux_cgroups_memory ]; then
		# shellcheck disable=SC2016 # $0 is the inner shell's
		command=$(printf 'unshare\t--mount\tsh\t-c\tumount -l /sys/fs/cgroup/memory; exec "$0"\t%s' "$program")
	fi
	printf '%s\t%s\t%s\n' "$name" "$work/run" "$command"
done
