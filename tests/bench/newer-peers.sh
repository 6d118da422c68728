#!/bin/bash
# Programs of a newer Debian, with their own libraries, as a tree that bench-oci and bench-image enter:
# newer-peers.sh DIRECTORY PACKAGE... makes DIRECTORY/tree. Nothing is installed.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
directory=$1
shift
release=trixie version=13

# shellcheck disable=SC1091 # the machine's
if [ "$(. /etc/os-release && echo "${VERSION_ID%%.*}")" -ge $version ]; then
	echo "newer-peers: this system is as new as Debian $version: its own $* are measured" >&2
	exit
fi
[ ! -e "$directory/tree/.done" ] || exit 0
rm -rf "$directory/tree"
mkdir -p "$directory/tree"
"$here/../other-release.sh" "$directory/apt" $release deb \
	install --yes --download-only --no-install-recommends "$@" >&2
for package in "$directory"/apt/cache/archives/*.deb; do
	dpkg-deb -x "$package" "$directory/tree"
done
for link in bin lib lib64 sbin; do
	mkdir -p "$directory/tree/usr/$link"
	ln -s "usr/$link" "$directory/tree/$link"
done
mkdir -p "$directory"/tree/{dev,proc,root,run,sys,tmp,var/tmp}
touch "$directory/tree/.done"
