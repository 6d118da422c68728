#!/bin/bash
# Other people's tools: what buildah, podman and skopeo push we pull and run; what we push skopeo, umoci and podman read.
# shellcheck disable=SC2154 # box, plain ...: of remote-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/remote-box.sh"
needs umoci umoci buildah buildah podman podman
cat >"$box/storage.conf" <<-END
	[storage]
	driver = "vfs"
	graphroot = "$box/storage"
	runroot = "$box/run-storage"
END
cat >"$box/containers.conf" <<-END
	[containers]
	log_driver = "k8s-file"
	[engine]
	cgroup_manager = "cgroupfs"
	events_logger = "file"
	tmp_dir = "$box/run-podman"
END
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$box/policy.json"
export CONTAINERS_STORAGE_CONF=$box/storage.conf CONTAINERS_CONF=$box/containers.conf BUILDAH_ISOLATION=chroot
trap 'podman rm --all --force --time 0 >/dev/null 2>&1; cleanup' EXIT

gone() {
	rm -rf --one-file-system "$box/store"
}
said="77 78 /srv from the image new kept new "
ran() {         # ran NAME: it says what the image of the archive says
	[ "$(conex run "$1" | tr '\n' ' ')" = "$said" ]
}

# ---- ours, read by others ----------------------------------------------------------------------

have "$plain/ours:1" && conex --plain push "$plain/ours:1" >"$box/said"

by_umoci() {
	local is
	copy --src-tls-verify=false "docker://$plain/ours:1" "oci:$box/layout:latest" || return
	umoci unpack --image "$box/layout:latest" "$box/bundle" >/dev/null || return
	is=$(cd "$box/bundle/rootfs" && ls srv && cat srv/new && stat -c %a srv && readlink bin/cat) || return
	[ "$(tr '\n' ' ' <<<"$is")" = "kept new new 775 busybox " ] || { echo "$is"; return 1; }
	has "$(cat "$box/bundle/config.json")" '"HELLO=from the image"' '"cwd": *"/srv"' '"uid": *77'
}
check "by umoci" by_umoci

by_podman() {
	podman pull --quiet --tls-verify=false --signature-policy "$box/policy.json" "$plain/ours:1" || return
	[ "$(podman inspect --type image --format '{{.Digest}}' "$plain/ours:1")" = "$digest" ] || return
	has "$(podman inspect --type image "$plain/ours:1")" '"HELLO=from the image"' '"WorkingDir": "/srv"' '"org.example.x": "y"'
}
check "by podman" by_podman

by_buildah() {
	local mount container
	container=$(buildah from --quiet --tls-verify=false --signature-policy "$box/policy.json" "$plain/ours:1") || return
	mount=$(buildah mount "$container") && [ "$(cat "$mount/srv/new")" = new ] && [ ! -e "$mount/srv/gone" ]
	becomes 0 buildah rm "$container"
}
check "by buildah" by_buildah

# ---- theirs, pulled and run --------------------------------------------------------------------

# built NAME OPTION...: by buildah, on our image, with a file more and one less
built() {
	local container name=$1
	shift
	container=$(buildah from --quiet --tls-verify=false --signature-policy "$box/policy.json" "$plain/ours:1") || return
	echo theirs >"$box/theirs"
	buildah copy --quiet "$container" "$box/theirs" /srv/theirs && rm -f "$(buildah mount "$container")/srv/kept" &&
		buildah config --cmd "cat theirs; ls" --entrypoint '["/bin/sh", "-c"]' "$container" &&
		buildah commit --quiet --signature-policy "$box/policy.json" "$container" "$name" || return
	buildah rm "$container" >/dev/null
	buildah push --quiet --tls-verify=false --signature-policy "$box/policy.json" "$@" "$name" "docker://$plain/$name"
}
from_buildah() {
	local name options
	for name in plain docker zstd; do
		case $name in
		plain) options=(--format oci) ;;
		docker) options=(--format v2s2) ;;
		zstd) options=(--format oci --compression-format zstd --force-compression) ;;
		esac
		built "built-$name:1" "${options[@]}" || return
		gone
		says 0 "^result sha256:[0-9a-f]{64}$" conex --plain pull "$plain/built-$name:1" || return
		[ "$(conex run "$plain/built-$name:1" | tr '\n' ' ')" = "theirs new theirs " ] || return
	done
	skopeo inspect --tls-verify=false --raw "docker://$plain/built-zstd:1" | grep -q 'tar+zstd'
}
check "of buildah: OCI, Docker's types, zstd" from_buildah

from_podman() {
	podman tag "$plain/ours:1" "$plain/podmans:1" &&
		podman push --quiet --tls-verify=false --signature-policy "$box/policy.json" "$plain/podmans:1" || return
	gone
	says 0 "^result" conex --plain pull "$plain/podmans:1" && ran "$plain/podmans:1"
}
check "of podman" from_podman

from_skopeo() {
	local name
	for name in oci v2s2; do
		copy --format $name --dest-tls-verify=false "oci:$box/archives/layout" "docker://$plain/skopeos-$name:1" || return
		gone
		says 0 "^result" conex --plain pull "$plain/skopeos-$name:1" && ran "$plain/skopeos-$name:1" || return
	done
}
check "of skopeo" from_skopeo

# Out and in again: what we push of theirs is theirs, byte for byte.
there_and_back() {
	local before
	gone
	copy --src-tls-verify=false --dest-tls-verify=false "docker://$plain/built-docker:1" "docker://$plain/public/built:1" || return
	before=$(skopeo inspect --tls-verify=false --raw "docker://$plain/public/built:1" | sha256sum | cut -d' ' -f1) || return
	login "$box/tokens.json" pass "$tokens"
	says 0 "^result sha256:$before$" conex --plain --mirror "http://$plain" --auth-file "$box/tokens.json" pull "$tokens/public/built:1" || return
	says 0 "^result sha256:$before$" conex --plain --auth-file "$box/tokens.json" push "$tokens/public/built:1" || return
	theirs "sha256:$before" --tls-verify=false --creds user:pass "docker://$tokens/public/built:1"
}
check "there and back" there_and_back
finish
