#!/bin/bash
# apt-get with the packages of another Debian release, in lists and directories of its own: the machine's
# apt stays as it is. other-release.sh DIRECTORY RELEASE deb|deb-src APT-GET'S WORDS ...
# The archive is the one that the machine's apt has for Debian's main, and so is the key to it.
set -euo pipefail
directory=$1 release=$2 kind=$3
shift 3

targets=(apt-get indextargets 'Identifier: Packages' 'Component: main' 'Origin: Debian' 'Label: Debian')
uri=$("${targets[@]}" --format '$(REPO_URI)' | head -n 1)
[ -n "$uri" ] || { echo "other-release: this machine's apt knows no Debian archive" >&2; exit 1; }

mkdir -p "$directory"/{lists/partial,cache/archives/partial}
directory=$(readlink -f "$directory")
line="$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $release main"
options=(-q -o Dir::Etc::sourcelist="$directory/sources.list" -o Dir::Etc::sourceparts=-
	-o Dir::State::lists="$directory/lists" -o Dir::Cache="$directory/cache"
	-o Dir::State::status=/dev/null -o APT::Sandbox::User=root -o Acquire::Languages=none)
if [ "$(cat "$directory/sources.list" 2>/dev/null)" != "$line" ] || [ ! -e "$directory/.updated" ]; then
	rm -f "$directory/.updated"
	echo "$line" >"$directory/sources.list"
	apt-get "${options[@]}" update >&2
	touch "$directory/.updated"
fi
exec apt-get "${options[@]}" "$@"
