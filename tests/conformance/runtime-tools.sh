#!/bin/bash
# The validation suite of OCI runtime-tools: builds its programs in DIRECTORY and lists them for
# compare.py. runtime-tools.sh DIRECTORY; without the suite's source it lists nothing, and says why.
#
# The source is $RUNTIME_TOOLS, or comes from Debian: its -dev packages leave validation/ and cmd/ out, so
# the source package's tarball is fetched, which apt's signed index has the checksum of. What the suite
# imports are packages of this Debian; tap/ is ours.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
out=$1
path=github.com/opencontainers/runtime-tools
package=golang-github-opencontainers-runtime-tools
release=trixie  # the same suite wherever this runs
work=$out/runtime-tools-build

skip() {
	echo "runtime-tools: SKIPPED: $1" >&2
	printf '{"suite": "runtime-tools", "skipped": "%s"}\n' "$1" >"$out/runtime-tools.json"
	exit 0
}

# Only the tarball: the archive may have lost the .dsc that `apt-get source` begins with.
fetch() {
	local directory=$out/runtime-tools-source uri file sum
	if [ ! -e "$directory/.done" ]; then
		read -r uri file sum < <("$here/../other-release.sh" "$out/apt-$release" $release deb-src \
			source --print-uris $package | sed -n "s/^'\(.*\)' \(.*\.orig\.tar\.[a-z0-9]*\) [0-9]* /\1 \2 /p")
		[ -n "${sum:-}" ] || return
		/usr/lib/apt/apt-helper download-file "$uri" "$out/$file" "$sum" >&2 || return
		rm -rf "$directory"
		mkdir -p "$directory"
		tar -C "$directory" --strip-components=1 -xf "$out/$file" || return
		touch "$directory/.done"
	fi
	source=$directory
}

source=${RUNTIME_TOOLS:-}
[ -n "$source" ] || fetch || skip "the source of $package could not be had from $release: set RUNTIME_TOOLS to a tree"
if [ ! -d "$source/validation" ] || [ ! -d "$source/cmd/runtimetest" ]; then
	skip "$source has no validation/ and cmd/runtimetest/"
fi

export GOPATH=$work/go:/usr/share/gocode GO111MODULE=off GOFLAGS='' CGO_ENABLED=0 GOCACHE=$work/cache

# A copy, because GOPATH wants the tree at its place. Built once for each state of the source.
stamp=$(find "$source" "$here/tap" -name '*.go' -printf '%P %s %T@\n' | sort | sha256sum)
if [ "$(cat "$work/.stamp" 2>/dev/null)" != "$stamp" ]; then
	rm -rf "$work"
	mkdir -p "$work/go/src/${path%/*}" "$work/go/src/github.com/mndrix" "$work/run" "$work/programs"
	cp -a "$source" "$work/go/src/$path"
	cp -a "$here/tap" "$work/go/src/github.com/mndrix/tap-go"
	go build -o "$work/run/runtimetest" $path/cmd/runtimetest >&2
	go build -o "$work/programs/" $path/validation/... >&2
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
for program in "$work"/programs/*; do
	name=$(basename "$program")
	command=$program
	if [ -n "$foreign" ] && [ "$name" != linux_cgroups_memory ]; then
		# shellcheck disable=SC2016 # $0 is the inner shell's
		command=$(printf 'unshare\t--mount\tsh\t-c\tumount -l /sys/fs/cgroup/memory; exec "$0"\t%s' "$program")
	fi
	printf '%s\t%s\t%s\n' "$name" "$work/run" "$command"
done
