#!/bin/bash
# The images that the suite beside this script asks for: a PostgreSQL and a Redis of Debian's packages, as apt on this machine
# finds them (Debian 12 has 15 and 7.0, Debian 13 has 17 and 8.0, whatever the names say), on one layer that they share.
#	images.sh [POSTGRES [REDIS]]      names; else postgres:16 and redis:7. Exit status 69: apt can't fetch them
# The packages are unpacked, not installed: no script of theirs runs, nothing of this machine changes but the store, where the
# program conex puts them ($CONEX is another one, with its options).
set -euo pipefail
export LC_ALL=C
umask 022
postgres=${1:-postgres:16} redis=${2:-redis:7}
read -ra conex <<<"${CONEX:-conex}"
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
mkdir -p "$work"/{apt/archives/partial,lists/partial,layout/blobs/sha256}

# ---- packages, and what they depend on -------------------------------------------------------------

: >"$work/nothing"              # is installed, as apt is to see it
apt=(-qq -y -o Dir::Cache="$work/apt" -o Dir::State::status="$work/nothing" -o Debug::NoLocking=1 -o APT::Install-Recommends=0
	-o APT::Sandbox::User=root)
base=(base-files base-passwd bash coreutils dash grep libc-bin sed usr-is-merged)
names() {
	apt-get "${apt[@]}" -s install "${base[@]}" "$@" | sed -n 's/^Inst \([^ ]*\).*/\1/p' | sort
}
fetch() {
	names >"$work/base" && names postgresql | comm -13 "$work/base" - >"$work/postgres" &&
		names redis-server | comm -13 "$work/base" - >"$work/redis" &&
		apt-get "${apt[@]}" --download-only install "${base[@]}" postgresql redis-server
}
# This machine's lists of packages may be old, or none: then with new ones, which it doesn't get.
if ! fetch 2>/dev/null; then
	apt+=(-o Dir::State::lists="$work/lists")
	apt-get "${apt[@]}" update && fetch || exit 69
fi

# ---- trees and their layers ------------------------------------------------------------------------

# Into $tree: the packages of a list, without what only people read.
unpack() {
	local name
	tree=$work/tree-$1
	mkdir -p "$tree"/{etc,run,usr/{bin,sbin,lib,lib64},var}
	for name in bin sbin lib lib64; do ln -s usr/$name "$tree/$name"; done
	ln -s ../run "$tree/var/run"
	while read -r name; do
		dpkg-deb --fsys-tarfile "$work/apt/archives/$name"_*.deb |
			tar -x -C "$tree" --keep-directory-symlink --exclude='./usr/share/'{doc,info,man,locale}'/*'
	done <"$work/$1"
}

# user NAME HOME DIRECTORY...: which are its own
user() {
	local directory
	{ cat "$work/tree-base/etc/passwd" && echo "$1:x:999:999::$2:/bin/sh"; } >"$tree/etc/passwd"
	{ cat "$work/tree-base/etc/group" && echo "$1:x:999:"; } >"$tree/etc/group"
	for directory in "${@:2}"; do
		mkdir -p "$tree$directory"
		chown -R 999:999 "$tree$directory"
	done
}

# Puts a file among the blobs; says "digest":...,"size":... of it.
blob() {
	local digest
	digest=$(sha256sum "$1")
	digest=${digest%% *}
	printf '"digest":"sha256:%s","size":%d' "$digest" "$(stat -c %s "$1")"
	mv "$1" "$work/layout/blobs/sha256/$digest"
}

type=application/vnd.oci.image
layer() { # $tree becomes {layer}
	tar --format=posix --numeric-owner --sort=name -C "$tree" -cf "$work/layer" .
	printf '{"mediaType":"%s",%s}' $type.layer.v1.tar "$(blob "$work/layer")"
}

# image NAME CONFIG LAYER...: into the store
image() {
	local diff_ids=() one
	for one in "${@:3}"; do
		diff_ids+=("$(grep -o '"sha256:[^"]*"' <<<"$one")")
	done
	printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":[%s,%s]}}' \
		"$(dpkg --print-architecture)" "$2" "${diff_ids[@]}" >"$work/config"
	printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s",%s},"layers":[%s,%s]}' $type.manifest.v1+json \
		$type.config.v1+json "$(blob "$work/config")" "${@:3}" >"$work/manifest"
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s",%s}]}' $type.manifest.v1+json "$(blob "$work/manifest")" \
		>"$work/layout/index.json"
	printf '{"imageLayoutVersion":"1.0.0"}' >"$work/layout/oci-layout"
	"${conex[@]}" import "$work/layout" "$1"
}

unpack base
mkdir -p "$tree"/{dev,proc,sys,tmp}
chmod 1777 "$tree/tmp"
for name in passwd group; do cp "$tree/usr/share/base-passwd/$name.master" "$tree/etc/$name"; done
below=$(layer)

unpack redis
user redis /data
image "$redis" '{"User":"redis","WorkingDir":"/data","Env":["PATH=/usr/bin:/bin"],"ExposedPorts":{"6379/tcp":{}},
	"Cmd":["redis-server","--protected-mode","no"]}' "$below" "$(layer)"

unpack postgres
user postgres /var/lib/postgresql /var/lib/postgresql/data /run/postgresql
programs=$(cd "$tree" && echo usr/lib/postgresql/*/bin)
# As the official image's: the superuser has the password that the environment says.
install -m 755 /dev/stdin "$tree/usr/bin/entrypoint" <<'SH'
#!/bin/sh -e
if [ "$1" = postgres ]; then
	password=$(printf %s "${POSTGRES_PASSWORD:?is to be set}" | sed "s/'/''/g")
	echo "alter user postgres password '$password';" | postgres --single -j -F postgres >/dev/null
fi
exec "$@"
SH
# The data directory is a layer, too: a start takes a quarter of a second instead of one and a half.
install -m 755 /dev/stdin "$tree/usr/bin/make-data" <<'SH'
#!/bin/sh -e
initdb -U postgres --auth-local=trust --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8 --no-sync
echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
SH
image "$postgres" '{"User":"postgres","Env":["PATH=/'"$programs"':/usr/bin:/bin","PGDATA=/var/lib/postgresql/data"],
	"Entrypoint":["/usr/bin/entrypoint"],"Cmd":["postgres"],"ExposedPorts":{"5432/tcp":{}},"StopSignal":"SIGINT"}' \
	"$below" "$(layer)"
maker=images-$$
"${conex[@]}" run --name $maker "$postgres" make-data >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
"${conex[@]}" commit $maker "$postgres"
"${conex[@]}" rm $maker
