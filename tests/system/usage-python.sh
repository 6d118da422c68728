#!/bin/bash
# The programs for which the Python package was made, tests/usage/*.py, run as they stand; what they print is what happened. The
# names in them lead to images of this machine's own, to a registry that is Docker's for us, and to a server at 10.0.0.7.
# shellcheck disable=SC2154 # box, usage, preload, servers: of usage-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/usage-box.sh"
built=$CX_BUILDDIR/bindings/python
[ -e "$built/built" ] || skip_all "the bindings aren't built here: configure says why"
needs curl curl openssl openssl
with_sanitizer "$box" 0         # the sandbox, as it is written, leaves its context to the end of the process
export PYTHONPATH=$built/lib PYTHONDONTWRITEBYTECODE=1

# python PROGRAM: standard output is what it says.
python() {
	timeout 60 "${preload[@]}" /usr/bin/python3 "$@" || {
		echo "status $?: $*"
		return 1
	}
}

# A certificate of our CA for these names: server.crt, server.key.
certificate() {
	(
		cd "$box" || exit
		openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=conex test CA" -keyout ca.key -out ca.crt &&
			openssl req -newkey rsa:2048 -nodes -subj "/CN=server" -keyout server.key -out server.csr &&
			openssl x509 -req -days 2 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt \
				-extfile <(echo "subjectAltName=$1")
	) >"$box/openssl.log" 2>&1
}

# ---- one after another ---------------------------------------------------------------------------

images alpine curl db debian python web
image python:3 python
image python:3-slim python
image alpine alpine

subprocess_like() {
	local said
	said=$(python "$usage/subprocess_like.py") || { echo "$said"; return 1; }
	# of text a line each, the peak in bytes (a Python takes MiBs, and may take 64), seconds of processor
	has "$said" '^42$' '^ 0 [0-9]{7,8} 0\.[0-9]+$' '^time-out: killed after 0\.[2-9] s$' || return
	[ "$(wc -l <<<"$said")" = 3 ] || return
	sed 's/print(e.exit)/print(repr(e.exit))/' "$usage/subprocess_like.py" >"$box/record.py"
	has "$(python "$box/record.py")" "^Exit\(cause='timeout', status=137, code=-1, signal=9, .*wall=0\.[2-9][0-9]*\)$" && nothing_left
}
check "like subprocess" subprocess_like

asyncio_lines() {
	local said n want=() begun=$SECONDS
	said=$(python "$usage/asyncio_lines.py") || { echo "$said"; return 1; }
	[ "$(wc -l <<<"$said")" = 61 ] || { echo "$said"; return 1; }
	for ((n = 0; n < 20; n++)); do
		[ "$(grep "^$n " <<<"$said")" = "$n $n.1"$'\n'"$n $n.2"$'\n'"$n $n.3" ] || { echo "$n: $said"; return 1; }
		want+=("0, ")
	done
	want=("${want[@]}")
	[ "$(tail -n 1 <<<"$said")" = "[$(printf %s "${want[@]}" | sed 's/, $//')]" ] || { echo "$said"; return 1; }
	# side by side: the first line of the last before the third of the first; one after another it takes a minute
	[ "$(grep -nx '19 19.1' <<<"$said" | cut -d: -f1)" -lt "$(grep -nx '0 0.3' <<<"$said" | cut -d: -f1)" ] || return
	[ $((SECONDS - begun)) -lt 30 ] && nothing_left
}
check "asyncio: twenty containers' lines" asyncio_lines

sandbox() {
	local said
	said=$(python "$usage/sandbox.py") || { echo "$said"; return 1; }
	has "$said" "^\{'ok': True, 'why': 'ended with 0', 'stdout': b'6\\\\n', 'stderr': b'', 'peak': [0-9]{7,9}, 'cpu': 0\.[0-9]+\}$" \
		'^time-out: killed after 2\.[0-9] s$' || return
	# and it holds, whatever else is tried in it
	cat >"$box/tries.py" <<-'PYTHON'
		import sandbox
		for code in ("x = bytearray(1 << 28)", "import os, time; [os.fork() or time.sleep(9) for _ in range(20)]", "open('/a', 'w')",
		             "import os; print(os.getuid(), open('/tmp/a', 'w').write('b'))", "import socket; socket.create_connection(('10.0.0.7', 443), 1)",
		             "print('y' * (1 << 20))"):
		    r = sandbox.box.run(code)
		    print(r["ok"], r["why"], len(r["stdout"]), r["stderr"].decode().strip().splitlines()[-1:])
	PYTHON
	said=$(PYTHONPATH=$usage:$PYTHONPATH python "$box/tries.py") || { echo "$said"; return 1; }
	has "$said" '^False out of memory: killed at its limit, with a peak of 12[0-9] MiB 0 ' '^False ended with 1 0 .*BlockingIOError.*temporarily unavailable' \
		"^False ended with 1 0 .*Read-only file system: '/a'" '^True ended with 0 8 ' '^False ended with 1 0 .*Network is unreachable' \
		'^True ended with 0 65536 ' && nothing_left
}
check "a sandbox" sandbox

# ---- the network -----------------------------------------------------------------------------------

image curlimages/curl curl
ip addr add 10.0.0.7/32 dev lo
certificate DNS:registry-1.docker.io,IP:10.0.0.7 || exit 99
mkdir "$box/www" && echo "a page of 10.0.0.7's" >"$box/www/index.html"
/usr/bin/python3 -c 'import functools, http.server, ssl, sys
server = http.server.ThreadingHTTPServer(("10.0.0.7", 443), functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1] + "/www"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/server.crt", sys.argv[1] + "/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()' "$box" 2>"$box/www.log" &
servers+=($!)
until_up bash -c ": </dev/tcp/10.0.0.7/443" || exit 99

broker() {
	local said
	said=$(python "$usage/broker.py") || { echo "$said"; return 1; }
	[ "$said" = "b\"a page of 10.0.0.7's\\n\"" ] || { echo "$said"; return 1; }
	grep -c '"GET / HTTP/1.1" 200' "$box/www.log" | grep -qx 1 || { cat "$box/www.log"; return 1; }
	# the same with another address in the list: curl is told EACCES, and nobody hears of it
	sed 's/ALLOWED = .*/ALLOWED = {("10.0.0.8", 443)}/; s/"-sk"/"-skv"/; s/print(r.stdout)/print(r.stdout, r.returncode, r.stderr.decode())/' \
		"$usage/broker.py" >"$box/refused.py"
	said=$(python "$box/refused.py") || { echo "$said"; return 1; }
	has "$said" "^b'' 7 " 'Permission denied' || return
	[ "$(grep -c GET "$box/www.log")" = 1 ] && nothing_left
}
check "a system call broker" broker

pull() {
	local said theirs
	mkdir -p "$HOME/.config/containers/certs.d/registry-1.docker.io" && cp "$box/ca.crt" "$HOME/.config/containers/certs.d/registry-1.docker.io" || return
	image debian:13 debian
	"$CX_BUILDDIR/conex" push -q debian:13 && "$CX_BUILDDIR/conex" rmi debian:13 && [ -z "$("$CX_BUILDDIR/conex" images -q | grep debian)" ] || return
	theirs=$(curl -sf --cacert "$box/ca.crt" -H 'Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json' \
		https://registry-1.docker.io/v2/library/debian/manifests/13 | sha256sum) || return
	said=$(python "$usage/pull_tqdm.py" 2>"$box/bar") || { echo "$said"; return 1; }
	[ "$said" = "sha256:${theirs%% *}" ] || { echo "$said, theirs is $theirs"; return 1; }
	# the bar says what is done, and is full in the end
	has "$(tr '\r' '\n' <"$box/bar" | tail -n 1)" '^layer 2 of 2: 100%.* 1[0-9]\.[0-9]M/1[0-9]\.[0-9]M ' || return
	has "$("$CX_BUILDDIR/conex" images)" 'debian:13'
}
if ! command -v docker-registry >/dev/null; then
	skip "a pull with tqdm" "needs docker-registry"
elif ! /usr/bin/python3 -c 'import tqdm' 2>/dev/null; then
	skip "a pull with tqdm" "needs python3-tqdm"
else
	echo "127.0.0.1 localhost registry-1.docker.io" >"$box/hosts" && mount --bind "$box/hosts" /etc/hosts || exit 99
	serve docker 443 "  tls:" "    certificate: $box/server.crt" "    key: $box/server.key"
	check "a pull with tqdm" pull
fi

image my/db:1 db
image my/web:1 web
two_containers() {
	local said
	said=$(python "$usage/two_containers.py") || { echo "$said"; return 1; }
	[ "$said" = "b'a row for who knows x'" ] || { echo "$said"; return 1; }
	nothing_left db web && [ -z "$(python -c 'import conex; print(*conex.default().networks)')" ]
}
check "two containers by name, one published port" two_containers
[ ${#preload[@]} = 0 ] || check "no error of the library under ASan" faults "$box"
finish
