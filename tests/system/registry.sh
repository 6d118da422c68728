#!/bin/bash
# The registry client against Debian's docker-registry, and against skopeo as the other client: what one pushes, the
# other pulls, byte for byte; with TLS and without, with a password, with tokens, by mounts and in pieces.
# shellcheck disable=SC2154 # box, tool: of registry-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/registry-box.sh"
needs docker-registry docker-registry skopeo skopeo openssl openssl htpasswd apache2-utils /usr/bin/python3 python3
certificates
plain=127.0.0.1:5000 secure=127.0.0.1:5443 tokens=127.0.0.1:5444 strict=127.0.0.1:5445

tls=("  tls:" "    certificate: $box/server.crt" "    key: $box/server.key")
htpasswd -bcB "$box/htpasswd" user pass 2>/dev/null
/usr/bin/python3 -B "$CX_SRCDIR/tests/system/registry-token.py" "$box" "$box/server.crt" "$box/server.key" 2>"$box/token.err" &
servers+=($!)
until_up test -s "$box/token-port" || skip_all "the token server doesn't start"
serve plain 5000
serve secure 5443 "${tls[@]}" "auth:" "  htpasswd: {realm: conex, path: $box/htpasswd}"
serve tokens 5444 "auth:" "  token: {realm: 'http://127.0.0.1:$(cat "$box/token-port")/token', service: conex, issuer: conex test, rootcertbundle: $box/server.crt}"
serve strict 5445 "${tls[@]}" "    clientcas: [$box/ca.crt]"

# An index of two platforms, each with layers of its own and one that both have; and one of them alone.
/usr/bin/python3 - "$box/made" "$box/one" <<-'PYTHON'
	import gzip, hashlib, io, json, os, random, sys, tarfile
	random.seed(3)
	OCI = "application/vnd.oci.image."
	def put(top, data, kind, **more):
	    name = hashlib.sha256(data).hexdigest()
	    with open(f"{top}/blobs/sha256/{name}", "wb") as f:
	        f.write(data)
	    return {"mediaType": OCI + kind, "digest": "sha256:" + name, "size": len(data), **more}
	def layer(size):
	    out = io.BytesIO()
	    with tarfile.open(fileobj=out, mode="w") as tar:
	        info = tarfile.TarInfo(f"file{size}")
	        info.size = size
	        tar.addfile(info, io.BytesIO(random.randbytes(size)))
	    return out.getvalue()
	shared = layer(5000000)
	def image(top, arch, layers):
	    config = {"architecture": arch, "os": "linux", "config": {}, "rootfs": {"type": "layers",
	              "diff_ids": ["sha256:" + hashlib.sha256(l).hexdigest() for l in layers]}}
	    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
	                "config": put(top, json.dumps(config).encode(), "config.v1+json"),
	                "layers": [put(top, gzip.compress(l, 1, mtime=0), "layer.v1.tar+gzip") for l in layers]}
	    return put(top, json.dumps(manifest).encode(), "manifest.v1+json", platform={"architecture": arch, "os": "linux"})
	for top, archs in ((sys.argv[1], ("amd64", "arm64")), (sys.argv[2], ("amd64",))):
	    os.makedirs(top + "/blobs/sha256")
	    images = [image(top, arch, [shared, layer(1000 + i), layer(0)]) for i, arch in enumerate(archs)]
	    first = images[0]
	    if len(images) > 1:
	        index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": images}
	        first = put(top, json.dumps(index).encode(), "index.v1+json")
	    first["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
	    with open(top + "/index.json", "w") as f:
	        json.dump({"schemaVersion": 2, "manifests": [first]}, f)
	    with open(top + "/oci-layout", "w") as f:
	        f.write('{"imageLayoutVersion": "1.0.0"}')
PYTHON

same() {        # same DIRECTORY DIRECTORY: the same blobs
	diff -r "$1/blobs/sha256" "$2/blobs/sha256"
}
pull() {        # pull REFERENCE [OPTION...]: into $box/out
	local reference=$1
	shift
	rm -rf "$box/out"
	says 0 "^network [0-9]" "$tool" "$@" pull "$reference" "$box/out"
}
push() {        # push LAYOUT REFERENCE [OPTION...]
	local layout=$1 reference=$2
	shift 2
	"$tool" "$@" push "$layout" "$reference"
}
copy() {        # skopeo copy ..., which neither looks at policies nor at the machine's files
	skopeo --insecure-policy --registries.d "$box/none" copy --quiet "$@"
}
mkdir "$box/none"

# ---- what skopeo pushed, and what skopeo pulls -------------------------------------------------

theirs() {
	copy --all --dest-tls-verify=false "oci:$box/made:latest" "docker://$plain/theirs:1" || return
	pull "$plain/theirs:1" --plain 1 && same "$box/made" "$box/out"
}
check "pushed by skopeo, pulled by us" theirs

ours() {
	push "$box/made" "$plain/ours:1" --plain 1 || return
	rm -rf "$box/out"
	copy --all --src-tls-verify=false "docker://$plain/ours:1" "oci:$box/out:latest" && same "$box/made" "$box/out"
}
check "pushed by us, pulled by skopeo" ours

raw() {
	local digest
	skopeo inspect --tls-verify=false --raw "docker://$plain/ours:1" >"$box/raw" || return
	digest=$(sha256sum "$box/raw" | cut -d' ' -f1)
	cmp "$box/raw" "$box/made/blobs/sha256/$digest" || return
	has "$("$tool" --plain 1 head "$plain/ours:1")" "^manifest sha256:$digest application/vnd.oci.image.index.v1\+json [0-9]+$" &&
		pull "$plain/ours@sha256:$digest" --plain 1 && same "$box/made" "$box/out"
}
check "by digest" raw

# One platform, and converted to Docker's own types by skopeo.
docker_types() {
	copy --format v2s2 --dest-tls-verify=false "oci:$box/one:latest" "docker://$plain/v2s2:1" || return
	pull "$plain/v2s2:1" --plain 1 || return
	has "$(cat "$box/out/index.json")" 'application/vnd.docker.distribution.manifest.v2\+json' || return
	rm -rf "$box/dir"
	copy --src-tls-verify=false "docker://$plain/v2s2:1" "dir:$box/dir" || return
	cmp "$box/dir/manifest.json" "$box/out/blobs/sha256/$(sha256sum "$box/dir/manifest.json" | cut -d' ' -f1)"
}
check "Docker's manifests" docker_types

# ---- uploads -----------------------------------------------------------------------------------

only_missing() {
	local said
	said=$(push "$box/one" "$plain/missing:1" --plain 1) || return
	has "$said" "^blob 5[0-9]+ sent" || return
	said=$(push "$box/made" "$plain/missing:2" --plain 1) || return
	has "$said" "^blob 5[0-9]+ present" "^blob [0-9]+ sent" || return
	said=$(push "$box/made" "$plain/missing:3" --plain 1) || return
	! grep -E " (sent|mounted)$" <<<"$said" && has "$said" "^network [0-9]{4}$"
}
check "only what is missing is sent" only_missing

mounted() {
	local said
	said=$(push "$box/made" "$plain/mounted:1" --plain 1 --from missing) || return
	has "$said" "^blob 5[0-9]+ mounted" "^network [0-9]{4}$" && ! grep " sent$" <<<"$said" || return
	pull "$plain/mounted:1" --plain 1 && same "$box/made" "$box/out" || return
	# a source that hasn't it is no reason to fail
	said=$(push "$box/made" "$plain/not-mounted:1" --plain 1 --from nothing/there) || return
	has "$said" "^blob 5[0-9]+ sent"
}
check "out of another repository" mounted

in_pieces() {
	has "$(push "$box/made" "$plain/pieces:1" --plain 1 --chunk 777777)" "^blob 5[0-9]+ sent" &&
		pull "$plain/pieces:1" --plain 1 && same "$box/made" "$box/out"
}
check "in pieces" in_pieces

absent() {
	says 1 "$plain/ours: GET manifest nope .*HTTP 404, MANIFEST_UNKNOWN: manifest unknown: No such file" \
		"$tool" --plain 1 pull "$plain/ours:nope" "$box/out" || return
	says 1 "HTTP 404, (NAME|MANIFEST)_UNKNOWN" "$tool" --plain 1 pull "$plain/nobody/nothing" "$box/out"
}
check "what isn't there" absent

# Halfway, then the registry is gone, and comes back with all it had.
comes_back() {
	local i pid=${servers[1]}
	rm -rf "$box/out"
	"$tool" --plain 1 --backoff 200 --parallel 1 --cancel-after 2000000 pull "$plain/ours:1" "$box/out" 2>/dev/null
	kill "$pid" && wait "$pid" 2>/dev/null
	says 1 "Connection refused" "$tool" --plain 1 pull "$plain/ours:1" "$box/out" || return
	serve plain 5000
	servers[1]=${servers[-1]}
	i=$("$tool" --plain 1 pull "$plain/ours:1" "$box/out" | sed -n 's/^network //p')
	echo "fetched then: $i"
	[ "$i" -gt 1000000 ] && [ "$i" -lt 3500000 ] && same "$box/made" "$box/out"
}
check "goes on after the registry was away" comes_back

# ---- TLS, passwords ----------------------------------------------------------------------------

who() {         # a file of credentials, as "skopeo login" writes it
	REGISTRY_AUTH_FILE=$box/auth.json skopeo login --cert-dir "$box/ca" --username user --password pass "$secure"
}
passwords() {
	mkdir -p "$box/ca" && cp "$box/ca.crt" "$box/ca/" || return
	local with=(--ca "$box/ca.crt")
	says 1 "HTTP 401.*log in: no user and password are known" "$tool" "${with[@]}" pull "$secure/a/b:1" "$box/out" || return
	says 1 "HTTP 401.*doesn't take this user and password" "$tool" "${with[@]}" --user user:wrong pull "$secure/a/b:1" "$box/out" || return
	push "$box/made" "$secure/a/b:1" "${with[@]}" --user user:pass || return
	who && pull "$secure/a/b:1" "${with[@]}" --auth-file "$box/auth.json" && same "$box/made" "$box/out"
}
check "a password, over TLS" passwords

certs_d() {
	says 1 "certs.d/HOST" "$tool" --user user:pass pull "$secure/a/b:1" "$box/out" || return
	mkdir -p "$box/certs.d/$secure"
	cp "$box/ca.crt" "$box/certs.d/$secure/"
	pull "$secure/a/b:1" --cert-dir "$box/certs.d" --user user:pass && same "$box/made" "$box/out" || return
	# a certificate for another name
	mkdir -p "$box/certs.d/127.0.0.3:5443"
	cp "$box/ca.crt" "$box/certs.d/127.0.0.3:5443/"
	says 1 "127.0.0.3" "$tool" --cert-dir "$box/certs.d" pull "127.0.0.3:5443/a/b:1" "$box/out"
}
check "certs.d" certs_d

clients() {
	says 1 "GET manifest 1" "$tool" --ca "$box/ca.crt" pull "$strict/a:1" "$box/out" || return
	push "$box/one" "$strict/a:1" --ca "$box/ca.crt" --cert "$box/client.crt" --key "$box/client.key" || return
	mkdir -p "$box/certs.d/$strict"
	cp "$box/ca.crt" "$box/certs.d/$strict/"
	cp "$box/client.crt" "$box/certs.d/$strict/client.cert"
	says 1 "needs its key beside it" "$tool" --cert-dir "$box/certs.d" pull "$strict/a:1" "$box/out" || return
	cp "$box/client.key" "$box/certs.d/$strict/"
	pull "$strict/a:1" --cert-dir "$box/certs.d" && same "$box/one" "$box/out"
}
check "a client's certificate" clients

helper() {
	echo '{"credsStore": "nobody"}' >"$box/helper.json"
	says 1 "^helper nobody for $secure" "$tool" --ca "$box/ca.crt" --auth-file "$box/helper.json" pull "$secure/a/b:1" "$box/out"
}
check "a helper is named" helper

# ---- tokens ------------------------------------------------------------------------------------

with_tokens() {
	says 1 "HTTP 401.*log in: nobody is known for it" "$tool" --plain 1 push "$box/one" "$tokens/private/a:1" || return
	push "$box/made" "$tokens/private/a:1" --plain 1 --user user:pass || return
	pull "$tokens/private/a:1" --plain 1 --user user:pass && same "$box/made" "$box/out" || return
	says 1 "HTTP 401" "$tool" --plain 1 pull "$tokens/private/a:1" "$box/out" || return
	has "$(push "$box/made" "$tokens/public/a:1" --plain 1 --user user:pass --from private/a)" "mounted" || return
	grep -q "repository:public/a:pull,push repository:private/a:pull$" "$box/token-log" || return
	: >"$box/token-log"
	pull "$tokens/public/a:1" --plain 1 && same "$box/made" "$box/out" || return
	# one token was enough for all of it
	[ "$(cat "$box/token-log")" = "- repository:public/a:pull" ]
}
check "tokens" with_tokens

# ---- a proxy, only when it is named ------------------------------------------------------------

proxy() {
	local env=(env http_proxy=http://127.0.0.1:1 HTTP_PROXY=http://127.0.0.1:1 all_proxy=http://127.0.0.1:1)
	says 0 network "${env[@]}" "$tool" --plain 1 pull "$plain/ours:1" "$box/out" || return
	says 1 "127.0.0.1(:| port )1 " "$tool" --plain 1 --http-proxy http://127.0.0.1:1 pull "$plain/ours:1" "$box/out" || return
	says 0 network "$tool" --plain 1 --http-proxy http://127.0.0.1:1 --no-proxy 127.0.0.1 pull "$plain/ours:1" "$box/out"
}
check "proxies" proxy

mirrored() {
	says 1 "mirror = https://$secure/../x: .*write https://HOST" "$tool" --mirror "$secure/../x" head "$strict/a:1" || return
	pull "$secure/a:1" --ca "$box/ca.crt" --cert "$box/client.crt" --key "$box/client.key" --mirror "https://$strict" --user user:pass &&
		same "$box/one" "$box/out"
}
check "a mirror has it, the registry doesn't" mirrored

# As Harbor and others do it: a proxy's projects stand before the name; the token is for that name.
proxied() {
	: >"$box/token-log"
	pull "$plain/a:1" --plain 1 --mirror "http://$tokens/private/" --user user:pass && same "$box/made" "$box/out" || return
	[ "$(cut -d' ' -f3 "$box/token-log")" = "repository:private/a:pull" ]
}
check "a mirror with a prefix" proxied
finish
