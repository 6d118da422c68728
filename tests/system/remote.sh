#!/bin/bash
# Images and registries through the public API: who we are to whom, the ways there, and that nobody else hears of it.
# Debian's docker-registry, with TLS and without, with passwords and tokens; what stands between: remote-server.py.
# shellcheck disable=SC2154 # box, tool: of remote-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/remote-box.sh"

# ---- plain HTTP --------------------------------------------------------------------------------

unasked() {
	have "$plain/a:1" || return
	says 1 "^error -71: .*CONEX_IMAGE_PLAIN_HTTP" conex push "$plain/a:1"
}
check "plain HTTP only where it is allowed" unasked

pushed() {
	says 0 "^result $digest$" conex --plain push "$plain/a:1" || return
	theirs "$digest" --tls-verify=false "docker://$plain/a:1" || return
	copy --src-tls-verify=false "docker://$plain/a:1" "oci:$box/copied:latest" || return
	# every byte of it
	(cd "$box/archives/layout/blobs" && sha256sum sha256/* | sort) >"$box/ours"
	(cd "$box/copied/blobs" && sha256sum sha256/* | sort) | diff - "$box/ours"
}
check "pushed, and copied by skopeo byte for byte" pushed

again() {
	local said
	between
	have "$front/twice:1" || return
	says 0 "^moved [0-9]{6,} of [0-9]{6,}$" conex --plain push "$front/twice:1" || return
	[ "$(lines "^front (PUT|PATCH) ")" -ge 4 ] || return
	between
	said=$(conex --plain push "$front/twice:1") && has "$said" "^result $digest$" "^layers 2 of 2$" "^moved [0-9]{1,4} of 0$" || return
	[ "$(lines "^front HEAD ")" = 4 ] && ! grep -v "^front HEAD " "$box/between/log"
}
check "what is there isn't sent again" again

mounted() {
	between
	have "$front/first:1" "$front/second:1" || return
	conex --plain push "$front/first:1" || return
	between
	conex --plain push "$front/second:1" || return
	[ "$(lines "POST /v2/second/blobs/uploads/\?mount=sha256:[0-9a-f]{64}&from=(first|twice) ")" = 3 ] &&
		[ "$(lines "^front (PUT|PATCH) .*/blobs/")" = 0 ] && [ "$(lines "^front PUT /v2/second/manifests/1 ")" = 1 ] || return
	theirs "$digest" --tls-verify=false "docker://$plain/second:1" || return
	# a registry that doesn't know how gets the bytes
	between old
	have "$front/third:1" && conex --plain push "$front/third:1" || return
	[ "$(lines "^front POST .*mount=")" = 3 ] && [ "$(lines "^front (PUT|PATCH) .*/blobs/")" = 3 ] &&
		theirs "$digest" --tls-verify=false "docker://$plain/third:1"
}
check "mounted out of other repositories of the registry" mounted

absent() {
	says 1 "^error -2: .*$plain/nothing:1 isn't in the store" conex --plain push "$plain/nothing:1" || return
	says 1 "^error -22: .*(user|password).*go together" conex --user user push "$plain/a:1" || return
	says 1 "^error -111: .*Connection refused" conex --plain push 127.0.0.1:1/a:1 && return 1
	have 127.0.0.1:1/a:1 && says 1 "^error -111: .*Connection refused" conex --plain push 127.0.0.1:1/a:1
}
check "what can't be pushed" absent

by_digest() {
	have "$plain/by-digest:1" || return
	says 0 "^result $digest$" conex --plain push "$plain/by-digest@$digest" || return
	theirs "$digest" --tls-verify=false "docker://$plain/by-digest@$digest" &&
		says 1 "manifest unknown" skopeo inspect --tls-verify=false "docker://$plain/by-digest:1"
}
check "by digest, without a tag" by_digest

# ---- in the middle -----------------------------------------------------------------------------

breaks() {
	between "drop=100000"
	fresh "$front/breaks:1" 300000 || return
	says 1 "^error -[0-9]+: .*$front/breaks.*blob sha256:" conex --plain push "$front/breaks:1" || return
	# nobody sees half of it
	says 1 "manifest unknown|name unknown" skopeo inspect --tls-verify=false "docker://$plain/breaks:1" || return
	between down
	says 1 "^error -121: .*HTTP 503" conex --plain push "$front/breaks:1" || return
	between
	says 0 "^result $fresh$" conex --plain push "$front/breaks:1" && theirs "$fresh" --tls-verify=false "docker://$plain/breaks:1"
}
check "a registry that fails in the middle" breaks

# ---- TLS ---------------------------------------------------------------------------------------

unknown_ca() {
	have "$strict/a:1" "$secure/a:1" "$far/a:1" || return
	says 1 "^error -129: .*certs.d/HOST" conex push "$far/a:1"
}
check "a CA that nobody trusts" unknown_ca

home_certs() {
	trust "$HOME/.config/containers/certs.d" "$far"
	says 0 "^result $digest$" conex push "$far/a:1" || return
	theirs "$digest" --cert-dir "$box/strict-certs" "docker://$far/a:1" 2>/dev/null
	rm -rf "$HOME/.config"
	says 1 "^error -129: " conex push "$far/a:1" || return
	trust "$box/config/containers/certs.d" "$far"
	XDG_CONFIG_HOME=$box/config says 0 "^result $digest$" conex push "$far/a:1"
}
check "certs.d of the user" home_certs

# The machine's directories, in a mount namespace of the test's own; a CA may lie elsewhere, with a link to it.
etc_certs() {
	local directory
	mkdir -p "$box/elsewhere" && cp "$box/ca.crt" "$box/elsewhere/our-ca.pem"
	for directory in /etc/containers /etc/docker; do
		rm -rf "$box/machine"
		mkdir -p "$box/machine/certs.d/$far" && ln -s "$box/elsewhere/our-ca.pem" "$box/machine/certs.d/$far/ca.crt"
		says 0 "^result $digest$" unshare -m bash -c "mkdir -p $directory && mount --bind $box/machine $directory &&
			exec conex push $far/a:1" || return
	done
	# and nothing else of /etc/containers, or of where the link leads
	rm "$box/machine/certs.d/$far/ca.crt" && ln -s "$box/elsewhere" "$box/machine/certs.d/10.99.0.1:1"
	says 1 "^error -129: " unshare -m bash -c "mount --bind $box/machine /etc/containers && exec conex push $far/a:1"
}
check "certs.d of the machine, and links in it" etc_certs

client_certs() {
	local above=$HOME/.config/containers/certs.d
	trust "$above" "$strict"
	says 1 "^error -[0-9]+: .*$strict" conex push "$strict/a:1" || return
	cp "$box/client.crt" "$above/$strict/client.cert"
	says 1 "needs its key beside it" conex push "$strict/a:1" || return
	cp "$box/client.key" "$above/$strict/"
	says 0 "^result $digest$" conex push "$strict/a:1"
}
check "a client's certificate" client_certs

# ---- who we are --------------------------------------------------------------------------------

trust "$HOME/.config/containers/certs.d" "$secure"
none() {
	says 1 "^error -13: .*HTTP 401.*log in" conex push "$secure/a:1" || return
	says 1 "^error -13: .*HTTP 401.*doesn't take this user and password" conex --user user --password wrong-word push "$secure/a:1"
}
check "nobody, and somebody else" none

given() {
	says 0 "^result $digest$" conex --user user --password pass-word push "$secure/a:1" || return
	theirs "$digest" --cert-dir "$HOME/.config/containers/certs.d/$secure" --creds user:pass-word "docker://$secure/a:1"
}
check "by name and password" given

# Each in its place, alone; then the first one wins.
files() {
	local place
	for place in "$HOME/.config/containers/auth.json" "$HOME/.docker/config.json"; do
		login "$place" pass-word
		says 0 "^result" conex push "$secure/a:1" || return
		rm "$place"
	done
	login "$box/run/containers/auth.json" pass-word
	XDG_RUNTIME_DIR=$box/run says 0 "^result" conex push "$secure/a:1" || return
	says 0 "^result" unshare -m bash -c "mount -t tmpfs none /run && mkdir -p /run/containers/0 &&
		cp $box/run/containers/auth.json /run/containers/0/ && exec conex push $secure/a:1" || return
	login "$box/run/config.json" pass-word
	DOCKER_CONFIG=$box/run says 0 "^result" conex push "$secure/a:1" || return
	REGISTRY_AUTH_FILE=$box/run/config.json says 0 "^result" conex push "$secure/a:1" || return
	says 0 "^result" conex --auth-file "$box/run/config.json" push "$secure/a:1" || return
	login "$HOME/.docker/config.json" wrong-word
	XDG_RUNTIME_DIR=$box/run says 0 "^result" conex push "$secure/a:1" || return
	says 1 "^error -13: " conex push "$secure/a:1" || return
	says 1 "^error -2: .*$box/nowhere" conex --auth-file "$box/nowhere" push "$secure/a:1" || return
	REGISTRY_AUTH_FILE=$box/nowhere says 1 "^error -2: .*$box/nowhere" conex push "$secure/a:1" || return
	echo '{"auths": {"'"$secure"'": {"auth": "pass-word"' >"$box/junk.json"
	says 1 "^error -22: .*$box/junk.json: line" conex --auth-file "$box/junk.json" push "$secure/a:1" || return
	rm "$HOME/.docker/config.json"
}
check "by files, in their order" files

by_skopeo() {
	REGISTRY_AUTH_FILE=$box/skopeo.json skopeo login --cert-dir "$HOME/.config/containers/certs.d/$secure" --username user \
		--password pass-word "$secure" || return
	says 0 "^result" conex --auth-file "$box/skopeo.json" push "$secure/a:1"
}
check "as skopeo login writes it" by_skopeo

with_tokens() {
	have "$tokens/private/a:1" "$tokens/public/a:1" || return
	printf '{"auths": {"%s": {"auth": "%s"}}}' "$tokens" "$(printf user:pass | base64)" >"$box/tokens.json"
	says 1 "^error -13: .*HTTP 401.*log in" conex --plain push "$tokens/private/a:1" || return
	says 0 "^result $digest$" conex --plain --auth-file "$box/tokens.json" push "$tokens/private/a:1" || return
	: >"$box/token-log"
	says 0 "^result $digest$" conex --plain --auth-file "$box/tokens.json" push "$tokens/public/a:1" || return
	grep -q "repository:public/a:pull,push repository:private/a:pull$" "$box/token-log"
}
check "by tokens, also for what is mounted" with_tokens

# ---- credential helpers ------------------------------------------------------------------------

program good <<-'SCRIPT'
	server=$(cat)
	echo "$# $1 $server $WORD $(id -u)" >>"$HOME/asked"
	[ "$server" = 127.0.0.1:5443 ] && echo '{"ServerURL": "x", "Username": "user", "Secret": "pass-word"}' && exit
	echo "credentials not found in native keychain"
	exit 1
SCRIPT
program fails <<-'SCRIPT'
	echo "pass-word"; echo "pass-word" >&2; exit 3
SCRIPT
program killed <<<'echo pass-word; kill -9 $$'
program stalls <<<'echo $$ >"$HOME/stalled"; exec sleep 1000'
program junk <<<'echo "{\"Username\": \"user\", \"Secret\": pass-word}"'
program empty <<<'echo "{\"Username\": \"user\"}"'
program endless <<<'exec yes pass-word'
program big <<<'printf "{\"Username\": \"user\", \"Secret\": \"pass-word\", \"more\": \"%070000d\"}" 0'
echo junk >"$box/bin/docker-credential-odd" && chmod 644 "$box/bin/docker-credential-odd"
printf '\177ELF' >"$box/bin/docker-credential-broken" && chmod 755 "$box/bin/docker-credential-broken"

helper() {
	WORD=environment says 0 "^result $digest$" helped good push "$secure/a:1" || return
	[ "$(cat "$HOME/asked")" = "1 get $secure environment 0" ] || return
	# for this host alone
	echo '{"credHelpers": {"'"$secure"'": "good"}}' >"$box/helpers.json"
	says 0 "^result" conex --auth-file "$box/helpers.json" push "$secure/a:1" || return
	# one that knows nobody is no reason to fail
	: >"$HOME/asked"
	says 0 "^result" helped good --plain push "$plain/a:1" || return
	grep -q "^1 get $plain " "$HOME/asked"
}
check "a credential helper" helper

helpers_fail() {
	local name
	says 1 "^error -13: image: docker-credential-fails for $secure: it ended with 3.*echo $secure \| $box/bin/docker-credential-fails get" \
		helped fails push "$secure/a:1" || return
	says 1 "^error -13: image: docker-credential-killed for $secure: it was ended by signal 9" helped killed push "$secure/a:1" || return
	says 1 "^error -22: image: answer of docker-credential-junk: line 1" helped junk push "$secure/a:1" || return
	says 1 "^error -22: image: answer of docker-credential-empty: .*Username.*Secret" helped empty push "$secure/a:1" || return
	for name in endless big; do
		says 1 "^error -27: image: docker-credential-$name for $secure: its answer has no end" helped $name push "$secure/a:1" || return
	done
	says 1 "^error -2: image: docker-credential-nobody: it isn't on PATH" helped nobody push "$secure/a:1" || return
	says 1 "^error -2: image: docker-credential-odd: it isn't on PATH" helped odd push "$secure/a:1" || return
	says 1 "^error -8: image: docker-credential-broken for $secure: execve" helped broken push "$secure/a:1" || return
	says 1 "credsStore = \"../bin/good\"" helped ../bin/good push "$secure/a:1" || return
	cd "$box/bin" && PATH=.:bin:/usr/bin:/bin says 1 "^error -2: .*isn't on PATH" helped good push "$secure/a:1" || return
	CONEX_HELPER_MS=200 says 1 "^error -110: image: docker-credential-stalls for $secure: it was killed at its time-out" \
		helped stalls push "$secure/a:1" || return
	until_up is_dead "$(cat "$HOME/stalled")"
}
check "helpers that fail, and show nothing" helpers_fail

# The host leaves while a helper is at it: job freed, context closed, killed.
leaves() {
	local how pid
	for how in free close; do
		rm -f "$HOME/stalled"
		says 0 "^step asking docker-credential-stalls$" helped stalls --seen "$HOME/stalled" --how $how push "$secure/a:1" || return
		until_up is_dead "$(cat "$HOME/stalled")" || return
	done
	rm -f "$HOME/stalled"
	echo '{"credsStore": "stalls"}' >"$box/helped.json"
	conex --auth-file "$box/helped.json" push "$secure/a:1" &
	pid=$!
	until_up test -s "$HOME/stalled"
	kill -9 $pid && wait $pid 2>/dev/null
	until_up is_dead "$(cat "$HOME/stalled")"
}
check "the host leaves while a helper runs" leaves

# ---- proxies -----------------------------------------------------------------------------------

proxies() {
	local with=(env "https_proxy=http://$proxy")
	trust "$HOME/.config/containers/certs.d" "$far"
	between
	says 0 "^result" "${with[@]}" conex push "$far/a:1" || return
	[ "$(lines "^proxy CONNECT $far ")" -ge 1 ] || return
	between
	says 0 "^result" env "HTTPS_PROXY=http://who:proxy-word@$proxy" "https_proxy=http://127.0.0.1:1" conex push "$far/a:1" || return
	[ "$(lines "^proxy CONNECT $far - Basic $(printf who:proxy-word | base64)$")" -ge 1 ] || return
	# not to ourselves, and not where NO_PROXY says so
	between
	says 0 "^result" env "HTTP_PROXY=http://$proxy" conex --plain push "$plain/a:1" || return
	says 0 "^result" "${with[@]}" "NO_PROXY=10.99.0.1" conex push "$far/a:1" || return
	says 0 "^result" "${with[@]}" "no_proxy=10.99.0.0/16" conex push "$far/a:1" || return
	says 0 "^result" "${with[@]}" "no_proxy=*" conex push "$far/a:1" || return
	[ "$(lines "^proxy")" = 0 ] || return
	says 1 "^error -111: " env https_proxy=http://127.0.0.1:1 conex push "$far/a:1"
}
check "proxies" proxies

# HTTP_PROXY of a CGI program is what its client says.
cgi() {
	have "10.99.0.1:5000/a:1" || return
	says 1 "^error -111: .*10.99.0.1" env HTTP_PROXY="http://$proxy" REQUEST_METHOD=GET conex --plain push 10.99.0.1:5000/a:1 ||
		return
	between
	says 1 "^error" env HTTP_PROXY="http://$proxy" conex --plain push 10.99.0.1:5000/a:1 && [ "$(lines "^proxy HEAD http://10.99.0.1:5000/")" -ge 1 ]
}
check "a CGI program's proxy" cgi

# ---- cancel, secrets ---------------------------------------------------------------------------

cancelled() {
	local how
	fresh "$front/cancelled:1" 30000000 || return
	for how in free close; do
		between "hold=50000"
		rm -f "$box/between/held"
		says 0 "^left$" conex --plain --seen "$box/between/held" --how $how push "$front/cancelled:1" || return
		says 1 "manifest unknown|name unknown" skopeo inspect --tls-verify=false "docker://$plain/cancelled:1" || return
	done
	between
	says 0 "^result $fresh$" conex --plain push "$front/cancelled:1" || return
	theirs "$fresh" --tls-verify=false "docker://$plain/cancelled:1" || return
	# its lease went with its process
	conex delete "$front/cancelled:1" && [ -z "$(ls "$box/store/leases")" ]
}
check "cancelled, and pushed after all" cancelled

# While the worker speaks to us its command line and environment are looked at.
worker_shows() {
	rm -f "$box/between/seen"
	between auth
	have "$front/secret:1" || return
	says 0 "^result" env SOME=pass-word conex --plain --user user --password pass-word push "$front/secret:1" || return
	program other <<<'echo "{\"Username\": \"user\", \"Secret\": \"pass-word\"}"'
	says 0 "^result" helped other --plain push "$front/secret:1" || return
	[ "$(lines "^front .* Basic ")" -ge 8 ] && grep -q "^worker: .*conex-worker" "$box/between/seen" || return
	! grep -E "pass-word|$(printf user:pass-word | base64)" "$box/between/seen"
}
check "no secret in the worker's words or environment" worker_shows

# All that the library has said in all of these tests: results, progress, errors.
nothing_said() {
	[ "$(grep -c "^error" "$box/heard")" -ge 25 ] && ! grep -E "pass-word|wrong-word|proxy-word|$(printf user:pass-word | base64)" "$box/heard"
}
check "no secret in what was said" nothing_said
finish
