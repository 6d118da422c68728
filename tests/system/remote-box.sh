# Sourced by the tests of images and registries: registries on loopback, what stands between us and them (remote-server.py),
# images, and `conex`, which does the library's verbs with a store of the test's own.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # for the scripts; box: of registry-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/registry-box.sh"
needs docker-registry docker-registry skopeo skopeo openssl openssl htpasswd apache2-utils /usr/bin/python3 python3 \
	/bin/busybox busybox-static
tool=$CX_BUILDDIR/tests/system/remote-tool
export CONEX_WORKER=$CX_BUILDDIR/conex-worker
certificates
plain=127.0.0.1:5000 secure=127.0.0.1:5443 tokens=127.0.0.1:5444 strict=127.0.0.1:5445 far=10.99.0.1:5446
ip addr add 10.99.0.1/32 dev lo

tls=("  tls:" "    certificate: $box/server.crt" "    key: $box/server.key")
htpasswd -bcB "$box/htpasswd" user pass-word 2>/dev/null
/usr/bin/python3 -B "$CX_SRCDIR/tests/system/registry-token.py" "$box" "$box/server.crt" "$box/server.key" 2>"$box/token.err" &
servers+=($!)
until_up test -s "$box/token-port" || skip_all "the token server doesn't start"
serve plain 5000
serve secure 5443 "${tls[@]}" "auth:" "  htpasswd: {realm: conex, path: $box/htpasswd}"
serve tokens 5444 "auth:" "  token: {realm: 'http://127.0.0.1:$(cat "$box/token-port")/token', service: conex, issuer: conex test, rootcertbundle: $box/server.crt}"
serve strict 5445 "${tls[@]}" "    clientcas: [$box/ca.crt]"
host=10.99.0.1 serve far 5446 "${tls[@]}"
mkdir "$box/between"
/usr/bin/python3 -B "$CX_SRCDIR/tests/system/remote-server.py" "$box/between" $plain 2>"$box/between.err" &
servers+=($!)
until_up test -s "$box/between/ports" || skip_all "the servers between don't start"
read -r proxy front _ <"$box/between/ports"
proxy=127.0.0.1:$proxy front=127.0.0.1:$front

mkdir "$box/archives" "$box/none"
/usr/bin/python3 -B "$CX_SRCDIR/tests/system/image-archives.py" /bin/busybox "$box/archives" || skip_all "no archives"
digest=$(cat "$box/archives/digest")

# Programs of the test. conex: with its own store, in which nothing is shared with the machine. helped NAME: who asks that
# helper for everything.
mkdir "$box/bin"
export PATH=$box/bin:$PATH tool box
cat >"$box/bin/conex" <<'SCRIPT'
#!/bin/bash
exec "$tool" --store "$box/store" "$@"
SCRIPT
cat >"$box/bin/helped" <<'SCRIPT'
#!/bin/bash
echo '{"credsStore": "'"$1"'"}' >"$box/helped.json"
shift
exec "$tool" --store "$box/store" --auth-file "$box/helped.json" "$@"
SCRIPT
chmod 755 "$box/bin/conex" "$box/bin/helped"
have() {        # have NAME...: the image of the archive, under these names
	local name
	for name in "$@"; do
		says 0 "^result $digest$" conex import "$box/archives/layout.tar" "$name" || return
	done
}
fresh() {       # fresh NAME BYTES: an image with a layer that is nowhere else
	/usr/bin/python3 - "$box/fresh.tar" "$2" <<-'PYTHON'
		import hashlib, io, json, os, sys, tarfile
		def put(name, data):
		    info = tarfile.TarInfo(name)
		    info.size = len(data)
		    out.addfile(info, io.BytesIO(data))
		layer = io.BytesIO()
		with tarfile.open(fileobj=layer, mode="w") as out:
		    put("random", os.urandom(int(sys.argv[2])))
		layer = layer.getvalue()
		config = {"architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine], "os": "linux", "config": {},
		          "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}
		with tarfile.open(sys.argv[1], "w") as out:
		    put("layer.tar", layer)
		    put("config.json", json.dumps(config).encode())
		    put("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": ["a:1"], "Layers": ["layer.tar"]}]).encode())
	PYTHON
	fresh=$(conex import "$box/fresh.tar" "$1" | sed -n 's/^result //p')
	[ -n "$fresh" ]
}
between() {     # between MODE...: from now on, with an empty log
	echo "$*" >"$box/between/mode"
	: >"$box/between/log"
}
lines() {       # lines PATTERN: of the log between
	grep -cE -e "$1" "$box/between/log"
}
copy() {
	skopeo --insecure-policy --registries.d "$box/none" copy --quiet "$@"
}
theirs() {      # theirs DIGEST skopeo-inspect-words...: what skopeo sees there
	local want=$1 is
	shift
	is=$(skopeo inspect --raw "$@" | sha256sum | cut -d' ' -f1) && [ "sha256:$is" = "$want" ]
}
# trust DIRECTORY HOST: our CA, for it
trust() {
	mkdir -p "$1/$2" && cp "$box/ca.crt" "$1/$2/"
}
login() {       # login FILE PASSWORD [HOST]
	mkdir -p "$(dirname "$1")"
	printf '{"auths": {"%s": {"auth": "%s"}}}' "${3:-$secure}" "$(printf 'user:%s' "$2" | base64)" >"$1"
}
# program NAME: a helper, its lines on stdin
program() {
	{
		echo '#!/bin/bash'
		cat
	} >"$box/bin/docker-credential-$1"
	chmod 755 "$box/bin/docker-credential-$1"
}
