# Sourced by the tests of the registry client: a box, a network namespace with nothing but loopback in it (so every
# port is free, and no proxy or mirror of the machine is met), a CA, and the tool.
# shellcheck shell=bash
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
tool=$CX_BUILDDIR/tests/system/registry-tool
[ -x "$tool" ] || skip_all "built without images (configure --enable-images)"
[ "$(id -u)" = 0 ] || skip_all "needs root"
if [ -z "${REGISTRY_INSIDE:-}" ]; then
	unshare -n true 2>/dev/null || skip_all "needs a network namespace"
	REGISTRY_INSIDE=1 exec unshare -n bash "$0"
fi
ip link set lo up || skip_all "needs iproute2"
box=$(mktemp -d /tmp/conex-box-XXXXXX)
chmod 755 "$box"
servers=()
cleanup() {
	local pid
	for pid in "${servers[@]}"; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf --one-file-system "$box"
}
trap cleanup EXIT
unset XDG_RUNTIME_DIR XDG_CONFIG_HOME REGISTRY_AUTH_FILE DOCKER_CONFIG REQUEST_METHOD http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY
export HOME=$box/home
mkdir "$HOME"

# needs PROGRAM PACKAGE ...
needs() {
	while [ $# -gt 0 ]; do
		command -v "$1" >/dev/null || skip_all "needs $2"
		shift 2
	done
}

# A CA and a certificate of it for 127.0.0.1 and 10.99.0.1, and one for a client: ca.crt server.crt server.key client.crt client.key
certificates() {
	local name
	(
		cd "$box" || exit
		openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=conex test CA" -keyout ca.key -out ca.crt
		for name in server client; do
			openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr
			openssl x509 -req -days 2 -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $name.crt \
				-extfile <(echo "subjectAltName=IP:127.0.0.1,IP:10.99.0.1,DNS:localhost")
		done
	) >"$box/openssl.log" 2>&1
}

# serve NAME PORT YAML...: a registry whose configuration ends with these lines.
serve() {
	local name=$1 port=$2
	shift 2
	{
		printf '%s\n' "version: 0.1" "log: {level: warn}" "storage:" "  filesystem: {rootdirectory: $box/$name}" \
			"  delete: {enabled: true}" "http:" "  addr: ${host:-127.0.0.1}:$port"
		printf '%s\n' "$@"
	} >"$box/$name.yml"
	docker-registry serve "$box/$name.yml" >"$box/$name.log" 2>&1 &
	servers+=($!)
	until_up bash -c ": </dev/tcp/${host:-127.0.0.1}/$port" && return
	cat "$box/$name.log" >&2
	skip_all "docker-registry doesn't start"
}

# until_up COMMAND...: it works, within 20 s
until_up() {
	local i
	for ((i = 0; i < 1000; i++)); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.02
	done
	return 1
}

# says STATUS PATTERN COMMAND...: it exits so within a minute and says that; its words go on, and into $box/heard.
says() {
	local want=$1 pattern=$2 said status=0
	shift 2
	said=$(timeout 60 "$@" 2>&1) || status=$?
	printf '%s\n' "$said" >>"$box/heard"
	[ $status = "$want" ] || {
		echo "status $status, not $want: $* said: $said"
		return 1
	}
	has "$said" "$pattern"
}
