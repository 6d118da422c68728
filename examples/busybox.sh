#!/bin/bash
# The image that README's first program runs: this machine's busybox with a link for each thing that it can do, as an OCI
# layout in a tar. busybox.sh FILE. The same busybox
# (and gzip) gives the same bytes, whoever makes it, and when.
set -euo pipefail
export LC_ALL=C
umask 022
to=$(realpath -m "${1:?usage: busybox.sh FILE}")
busybox=$(command -v busybox) || { echo "busybox.sh: no busybox here: install busybox-static" >&2; exit 1; }
case $(uname -m) in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) architecture=$(uname -m) ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ---- the tree --------------------------------------------------------------------------------------

tree() { # directory
	local path up
	mkdir -p "$1"/{bin,dev,etc,home,proc,root,run,sbin,sys,tmp,usr/bin,usr/sbin,var/tmp}
	cp "$busybox" "$1/bin/busybox"
	while read -r path; do
		[ "$path" != bin/busybox ] && [ "$path" != linuxrc ] || continue
		up=${path//[^\/]/}
		mkdir -p "$1/${path%/*}"
		case $path in
		bin/*) ln -s busybox "$1/$path" ;;
		*) ln -s "${up//\//../}bin/busybox" "$1/$path" ;;
		esac
	done < <("$busybox" --list-full)
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
	chmod 755 "$1" "$1/bin/busybox"
	chmod 700 "$1/root"
	chmod 1777 "$1/tmp" "$1/var/tmp"
}

# Nothing in it of who made it, or when.
archive() { # directory, file
	tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$1" -cf "$2" .
}

# ---- the layout ------------------------------------------------------------------------------------

layout=$work/layout
mkdir -p "$layout/blobs/sha256"

# Puts a file among the blobs; says "digest":...,"size":... of it.
blob() {
	local digest
	digest=$(sha256sum "$1")
	digest=${digest%% *}
	printf '"digest":"sha256:%s","size":%d' "$digest" "$(stat -c %s "$1")"
	mv "$1" "$layout/blobs/sha256/$digest"
}

tree "$work/tree"
archive "$work/tree" "$work/layer"
diff_id=$(sha256sum "$work/layer")
gzip -n -9 "$work/layer"
layer=$(blob "$work/layer.gz")
printf '{"created":"1970-01-01T00:00:00Z","architecture":"%s","os":"linux","config":{"Env":["PATH=%s"],"Cmd":["sh"]},%s}' \
	"$architecture" /usr/sbin:/usr/bin:/sbin:/bin \
	"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:${diff_id%% *}\"]}" >"$work/config"
type=application/vnd.oci.image
printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s",%s},"layers":[{"mediaType":"%s",%s}]}' \
	$type.manifest.v1+json $type.config.v1+json "$(blob "$work/config")" $type.layer.v1.tar+gzip "$layer" >"$work/manifest"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s",%s,"annotations":{"%s":"latest"}}]}' \
	$type.manifest.v1+json "$(blob "$work/manifest")" org.opencontainers.image.ref.name >"$layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
archive "$layout" "$work/image"
mv "$work/image" "$to"
