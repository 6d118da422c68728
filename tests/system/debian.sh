#!/bin/bash
# A Debian of three layers, with whiteouts, opaque directories, links across layers, attributes, devices and holes, the
# last one without entries for directories that it doesn't change: what conex_image_unpack makes of it, and what its
# unpacked layers show as overlay's lowers, is what GNU tar makes of the whole; gzip and zstd.
# CONEX_TEST_DEBIAN=full: with compilers, about 1 GB (two minutes); else a small one, 200 MB. Kept in the build directory.
# shellcheck disable=SC2154 # box: of box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
tool=$CX_BUILDDIR/tests/system/image-tool
tree() { /usr/bin/python3 -B "$CX_SRCDIR/tests/system/tree.py" "$@"; }
export CONEX_WORKER=${CONEX_WORKER:-$CX_BUILDDIR/conex-worker}
[ -x "$tool" ] || skip_all "built without images (configure --enable-images)"
[ "$(id -u)" = 0 ] || skip_all "needs root"
for program in mmdebstrap zstd gzip /usr/bin/python3; do
	command -v $program >/dev/null || skip_all "needs $program"
done
if [ -z "${DEBIAN_INSIDE:-}" ]; then
	DEBIAN_INSIDE=1 exec unshare -m --propagation private bash "$0"
fi

# ---- the layers, once ----------------------------------------------------------------------------

size=small packages=python3-minimal,libcap2-bin,iputils-ping
[ "${CONEX_TEST_DEBIAN:-small}" = small ] || size=full packages+=,build-essential,python3,git,ca-certificates,vim,locales,golang-go
cache=$CX_BUILDDIR/images/debian-$size
pax=(--format=posix --xattrs --xattrs-include='user.*' --xattrs-include='trusted.*' --xattrs-include='security.*' --acls --numeric-owner)

# layer NUMBER [bare]: what was changed in $cache/work since $cache/scan.
layer() {
	local number=$1
	/usr/bin/python3 -B "$CX_SRCDIR/tests/system/debian-changes.py" "$cache/work" "$number" &&
		tree scan "$cache/work" "$cache/scan.new" && tree changes "$cache/scan" "$cache/scan.new" "$cache/list" "$cache/gone" "${@:2}" || return
	rm -rf "$cache/whiteouts" && mkdir "$cache/whiteouts" || return
	(cd "$cache/whiteouts" && xargs -0 dirname -z -- <"$cache/gone" | xargs -0 mkdir -p -- && xargs -0 touch -- <"$cache/gone") &&
		tar -cf "$cache/layer$number.tar" "${pax[@]}" --sparse --no-recursion --null -C "$cache/work" --verbatim-files-from \
			-T "$cache/list" -C "$cache/whiteouts" -T "$cache/gone" && mv "$cache/scan.new" "$cache/scan"
}

make_layers() {
	[ ! -e "$cache/done-bare" ] || return 0
	rm -rf "$cache" && mkdir -p "$cache/work" || return
	TMPDIR=$cache mmdebstrap -q --variant=minbase --include=$packages trixie "$cache/layer1.tar" || return
	tar -xpf "$cache/layer1.tar" "${pax[@]:1}" -C "$cache/work" && tree scan "$cache/work" "$cache/scan" &&
		cp "$cache/scan" "$cache/scan1" && layer 2 && layer 3 bare || return
	# what GNU tar makes of all of it
	mkdir "$cache/tar" && tar -c "${pax[@]}" --sparse -C "$cache/work" . | tar -xp "${pax[@]:1}" -C "$cache/tar" &&
		tree scan "$cache/tar" "$cache/scan" && rm -rf "$cache"/{work,tar,whiteouts,list,gone} || return
	for i in 1 2 3; do
		gzip -1 -k "$cache/layer$i.tar" && zstd -q -1 -T0 "$cache/layer$i.tar" || return
	done
	touch "$cache/done-bare"
}

# ---- images of them ------------------------------------------------------------------------------

# layout SUFFIX MEDIA: in $box/SUFFIX
layout() {
	mkdir -p "$box/$1/blobs/sha256"
	/usr/bin/python3 - "$cache" "$box/$1" "$@" <<-'PYTHON'
		import hashlib, json, os, platform, sys
		cache, top, suffix, media = sys.argv[1:]
		def file_digest(path):
		    with open(path, "rb") as file:
		        digest = hashlib.sha256()
		        while block := file.read(1 << 20):
		            digest.update(block)
		        return digest.hexdigest()
		def add(kind, data=None, path=None):
		    name = hashlib.sha256(data).hexdigest() if data else file_digest(path)
		    if data:
		        with open(f"{top}/blobs/sha256/{name}", "wb") as file:
		            file.write(data)
		    else:

		        os.link(path, f"{top}/blobs/sha256/{name}") if os.stat(path).st_dev == os.stat(top).st_dev else __import__("shutil").copy(path, f"{top}/blobs/sha256/{name}")
		    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + name,
		            "size": os.stat(f"{top}/blobs/sha256/{name}").st_size}
		tars = [f"{cache}/layer{i}.tar" for i in (1, 2, 3)]
		diff_ids = ["sha256:" + file_digest(path) for path in tars]
		arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
		config = add("config.v1+json", json.dumps({"os": "linux", "architecture": arch, "config": {},
		             "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode())
		layers = [add("layer.v1.tar+" + media, path=path + "." + suffix) for path in tars]
		manifest = add("manifest.v1+json", json.dumps({"schemaVersion": 2, "config": config, "layers": layers,
		               "mediaType": "application/vnd.oci.image.manifest.v1+json"}).encode())
		with open(f"{top}/index.json", "w") as file:
		    json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
		with open(f"{top}/oci-layout", "w") as file:
		    file.write('{"imageLayoutVersion": "1.0.0"}')
		with open(f"{top}/diff_ids", "w") as file:
		    file.write("\n".join(digest[7:] for digest in diff_ids) + "\n")
	PYTHON
}

brought() {
	layout "$1" "$2" && "$tool" "$box/store-$1" import debian:13 "$box/$1"
}

unpacked() {
	"$tool" "$box/store-$1" unpack debian:13 "$box/tree-$1" && tree compare "$box/tree-$1" "$cache/scan" && rm -rf "$box/tree-$1"
}

# The lowest layer alone, and all of them.
mounted() {
	local lower='' id
	while read -r id; do
		lower=$(echo "$box/store-$1/layers/$id"-*/root)${lower:+:$lower}
	done <"$box/$1/diff_ids"
	tree compare "${lower##*:}" "$cache/scan1" || return
	mkdir -p "$box/mounted" && mount -t overlay overlay -o "lowerdir=$lower" "$box/mounted" || return
	tree compare "$box/mounted" "$cache/scan" || { umount "$box/mounted"; return 1; }
	umount "$box/mounted"
}

# Out again, as tar, which another store takes and which becomes the same tree.
again() {
	"$tool" "$box/store-$1" export debian:13 - 2>"$box/digest" | "$tool" "$box/store-again" import debian:13 - >"$box/digest.again" &&
		cmp "$box/digest" "$box/digest.again" && "$tool" "$box/store-again" unpack debian:13 "$box/tree-again" &&
		tree compare "$box/tree-again" "$cache/scan"
}

box=$(mktemp -d /tmp/conex-box-XXXXXX)
trap 'rm -rf --one-file-system "$box"' EXIT
make_layers >"$box/log" 2>&1 || {
	[ -e "$cache/layer1.tar" ] || skip_all "mmdebstrap makes no Debian here: $(tail -n 1 "$box/log")"
	sed 's/^/# /' "$box/log"
	echo "not ok 1 - the layers are made"
	echo 1..1
	exit 1
}
for form in gz:gzip zst:zstd; do
	suffix=${form%:*}
	check "${form#*:}: brought" brought "$suffix" "${form#*:}"
	check "${form#*:}: unpacked into one tree" unpacked "$suffix"
	check "${form#*:}: layers as overlay's lowers" mounted "$suffix"
	[ "$suffix" = zst ] || check "${form#*:}: exported and brought again" again "$suffix"
	rm -rf "$box/store-$suffix" "$box/store-again" "$box/tree-again" "${box:?}/$suffix"
done
finish
