#!/bin/bash
# What we export, others take: skopeo, umoci, podman, buildah; and what they write, we import: by the same digests, and
# it runs.
# shellcheck disable=SC2154 # box: of box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
tool=$CX_BUILDDIR/tests/system/image-tool
export CONEX_WORKER=${CONEX_WORKER:-$CX_BUILDDIR/conex-worker}
[ -x "$tool" ] || skip_all "built without images (configure --enable-images)"
for program in skopeo umoci podman buildah /usr/bin/python3; do
	command -v $program >/dev/null || skip_all "needs $program"
done
make_box
# Nothing of the machine's is met: settings, stores, the home directory.
export HOME=$box/home XDG_RUNTIME_DIR=$box/run TMPDIR=$box/tmp
unset REGISTRY_AUTH_FILE DOCKER_CONFIG CONTAINERS_STORAGE_CONF
mkdir -p "$HOME" "$box"/{run,tmp,none,archives}
cat >"$box/storage.conf" <<-CONF
	[storage]
	driver = "vfs"
	graphroot = "$box/graph"
	runroot = "$box/graph-run"
CONF
export CONTAINERS_STORAGE_CONF=$box/storage.conf
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$box/policy.json"
copy() { skopeo --policy "$box/policy.json" --registries.d "$box/none" copy --quiet "$@"; }
pod() { podman --root "$box/graph" --runroot "$box/graph-run" --storage-driver vfs --cgroup-manager cgroupfs --events-backend none "$@"; }
builder() { buildah --root "$box/graph" --runroot "$box/graph-run" --storage-driver vfs "$@"; }
image() { "$tool" "$box/store" "$@"; }
/usr/bin/python3 -B "$CX_SRCDIR/tests/system/image-archives.py" /bin/busybox "$box/archives" || exit 1
digest=$(cat "$box/archives/digest")
runs=$'77\n78\n/srv\nfrom the image\nnew\nkept\nnew'      # what it says when it is run
file="$box/image.tar"

config_of() {           # the config's digest of a layout's or archive's manifest, by skopeo
	skopeo inspect --raw "$1" | grep -o '"config": *{[^}]*' | grep -o 'sha256:[0-9a-f]*'
}
# taken FILE|DIRECTORY NAME DIGEST: imports; it has this digest, and runs.
taken() {
	local is
	is=$(image import "$2" "$1") && [ "$is" = "$3" ] && is=$(image run "$2") && [ "$is" = "$runs" ] && image delete "$2" && return
	echo "taken $1: $is"
	return 1
}
# alike FILE|DIRECTORY NAME: imports; config and layers are those of the image that we exported, and it runs.
alike() {
	local is
	image import "$2" "$1" && image export "$2" "$box/alike/" && [ "$(config_of "oci:$box/alike:${2#*:}")" = "$config" ] &&
		rm -rf "$box/alike" && is=$(image run "$2") && [ "$is" = "$runs" ] && image delete "$2" && return
	echo "alike $1: $is"
	return 1
}

ours() {
	image import app:one "$box/archives/layout.tar" && image export app:one "$file" && image export app:one "$box/layout/" &&
		config=$(config_of "oci:$box/layout:one") && [ -n "$config" ]
}
check "exported" ours

# ---- what we export --------------------------------------------------------------------------------

by_skopeo() {
	local from
	for from in "oci-archive:$file:one" "oci-archive:$file" "oci:$box/layout:one"; do
		rm -rf "$box/copied"
		copy "$from" "oci:$box/copied:one" || return
		diff -r "$box/copied/blobs" "$box/layout/blobs" || return
	done
	# Docker's archives have plain layers, and the same config
	copy "docker-archive:$file:app:one" "docker-archive:$box/docker.tar:app:one" || return
	[ "$(config_of "docker-archive:$box/docker.tar")" = "$config" ]
}
check "skopeo reads it: as OCI's archive and layout, and as Docker's archive" by_skopeo

by_umoci() {
	local listed
	listed=$(umoci ls --layout "$box/layout") && [ "$listed" = one ] && umoci stat --image "$box/layout:one" >/dev/null &&
		umoci unpack --image "$box/layout:one" "$box/bundle" && image unpack app:one "$box/tree" &&
		touch -d @0 "$box/tree" "$box/bundle/rootfs" &&         # of which no layer says anything
		/usr/bin/python3 -B "$CX_SRCDIR/tests/system/tree.py" compare "$box/tree" "$box/bundle/rootfs"
}
check "umoci unpacks it to what we unpack" by_umoci

by_podman() {
	local said
	said=$(pod load -i "$file" 2>&1) && has "$said" 'docker.io/library/app:one' || return
	said=$(pod load <"$file" 2>&1) && has "$said" 'docker.io/library/app:one' || return
	[ "sha256:$(pod image inspect -f '{{.Id}}' app:one)" = "$config" ] && [ "$(pod image inspect -f '{{.Digest}}' app:one)" = "$digest" ]
}
check "podman load" by_podman

by_buildah() {
	local container said
	container=$(builder from --pull-never docker.io/library/app:one) || return
	said=$(cat "$(builder mount "$container")/srv/new") && [ "$said" = new ] && builder umount "$container" >/dev/null &&
		said=$(builder from --signature-policy "$box/policy.json" "oci-archive:$file") &&
		builder config --env "HELLO=by buildah" "$container" && builder commit -q --format oci "$container" "oci-archive:$box/built.tar:built:1"
}
check "buildah from, and commit" by_buildah

# ---- what others write -----------------------------------------------------------------------------

from_skopeo() {
	taken "$box/copied" name:1 "$digest" || return
	copy "oci:$box/layout:one" "oci-archive:$box/theirs.tar:any/name:v2" && taken "$box/theirs.tar" name:1 "$digest" || return
	# layers are plain in Docker's archives: another manifest of the same config
	alike "$box/docker.tar" app:one
}
check "skopeo's layouts and archives" from_skopeo

from_podman() {
	pod save --format oci-archive -o "$box/podman.tar" app:one && alike "$box/podman.tar" app:one || return
	pod save --format docker-archive -o "$box/podman-docker.tar" app:one && alike "$box/podman-docker.tar" app:one || return
	pod save --format oci-dir -o "$box/podman" app:one && alike "$box/podman" app:one || return
	pod tag app:one other:two && pod save --format docker-archive --multi-image-archive -o "$box/podman-two.tar" app:one other:two &&
		alike "$box/podman-two.tar" other:two
}
check "podman save" from_podman

from_buildah() {
	local said
	image import built:1 "$box/built.tar" && said=$(image run built:1) && has "$said" '^by buildah$' '^new$'
}
check "buildah's image" from_buildah

from_umoci() {
	local said
	umoci config --image "$box/copied:one" --tag two --config.env "HELLO=by umoci" || return
	umoci unpack --image "$box/copied:two" "$box/bundle2" && echo added >"$box/bundle2/rootfs/srv/added" && rm "$box/bundle2/rootfs/srv/kept" &&
		umoci repack --image "$box/copied:two" "$box/bundle2" || return
	image import any:two "$box/copied" && said=$(image run any:two) && has "$said" '^by umoci$' '^added$' && ! grep -qx kept <<<"$said" || return
	taken "$box/copied" any:one "$digest"
}
check "umoci's layout, of two images one" from_umoci

# Several platforms: what was chosen is what others choose.
platforms() {
	local here other
	here=$(cat "$box/archives/digest") other=$(cat "$box/archives/other.digest")
	rm -rf "$box/both"
	mkdir "$box/both" && tar -xf "$box/archives/platforms.tar" -C "$box/both" || return
	taken "$box/both" name:1 "$here" || return
	PLATFORM=$(skopeo inspect --raw "oci:$box/both@1" >/dev/null 2>&1; uname -m | sed 's/x86_64/arm64/; t; s/.*/amd64/') \
		image import name:1 "$box/both" | grep -qx "$other"
}
check "of several platforms" platforms

# zstd: what skopeo packs so
from_zstd() {
	image import plain:one "$box/docker.tar" && image export plain:one "$box/plain/" &&
		copy --dest-compress --dest-compress-format zstd "oci:$box/plain:one" "oci:$box/zstd:one" &&
		has "$(ls "$box/zstd/blobs/sha256" | while read -r f; do head -c 4 "$box/zstd/blobs/sha256/$f" | od -An -tx1; done)" '28 b5 2f fd' &&
		alike "$box/zstd" app:one
}
check "zstd" from_zstd
check 'nothing is mounted' sh -c "! grep '$box' /proc/self/mountinfo"
finish
