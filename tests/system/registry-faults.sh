#!/bin/bash
# Registries that break off, lie, stall, send elsewhere and throttle: every pull and push ends, with the right bytes or
# with an error that says what was wrong. The server is registry-server.py, whose repositories are named after faults.
# shellcheck disable=SC2154 # box, tool: of registry-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/registry-box.sh"
needs /usr/bin/python3 python3 openssl openssl
certificates
/usr/bin/python3 -B "$CX_SRCDIR/tests/system/registry-server.py" "$box" "$box/server.crt" "$box/server.key" &
servers+=($!)
until_up test -e "$box/ports" || skip_all "the server doesn't start"
read -r plain cdn secure <"$box/ports"
digest=$(/usr/bin/python3 - "$box/image" <<-'PYTHON'
	import os, sys
	print(next(n for n in os.listdir(sys.argv[1]) if b"schemaVersion" in open(sys.argv[1] + "/" + n, "rb").read(100)))
PYTHON
)
fast=(--plain 1 --backoff 10 --stall 1500)

same() {        # same DIRECTORY: it has the image, whole
	diff -r "$box/image" "$1/blobs/sha256"
}

# right FAULT [OPTION...]: the pull succeeds, with the right bytes.
right() {
	local fault=$1
	shift
	rm -rf "$box/out"
	says 0 "network" "$tool" "${fast[@]}" "$@" pull "127.0.0.1:$plain/$fault:1" "$box/out" && same "$box/out"
}

# wrong FAULT PATTERN [OPTION...]: it fails with these words, in one line without control characters.
wrong() {
	local fault=$1 pattern=$2 said
	shift 2
	rm -rf "$box/out"
	said=$(says 1 "$pattern" "$tool" "${fast[@]}" "$@" pull "127.0.0.1:$plain/$fault:1" "$box/out" 2>&1) || {
		echo "$said"
		return 1
	}
	rm -rf "$box/out"
	said=$("$tool" "${fast[@]}" "$@" pull "127.0.0.1:$plain/$fault:1" "$box/out" 2>&1 >/dev/null)
	[ "$(wc -l <<<"$said")" = 1 ] && has "$said" "127\.0\.0\.1:$plain.*[/:]$fault" && ! grep -q '[[:cntrl:]]' <<<"$said"
}

# ---- what ends well ----------------------------------------------------------------------------

for fault in good drop no-ranges refuses-ranges small-parts until-close stall chunks flaky throttle weary hang-once together pollute \
	digest-none redirect-5; do
	check "$fault" right $fault
done
check "slow sink" right drop --slow 1
check "one at a time" right drop --parallel 1
check "logged in, broken off" right basic-drop --user user:pass
check "token" right token
check "token for a user" right token-user --user user:pass
check "identity token" right token-identity --identity identity
check "tokens that run out" right token-short
check "token server sends elsewhere" right token-elsewhere --user user:pass
check "to another host" right redirect --user user:pass

nothing_leaks() {
	# they were there, and only they: the user's name, the token and cookies stayed with the registry
	grep -q "^cdn GET /blob/" "$box/log" && grep -q "^cdn GET /token/" "$box/log" && ! grep LEAK "$box/log" &&
		grep -q "^http GET /v2/redirect/blobs/.* Basic dXNlcjpwYXNz" "$box/log"
}
check "no name is told to another host" nothing_leaks

ranges() {
	grep -q "^http GET /v2/drop/blobs/.* bytes=[1-9]" "$box/log" && grep -q "^cdn GET /blob/.* bytes=[1-9]" "$box/log"
}
check "broken transfers went on by ranges" ranges

identity() {
	grep -q '^form {"client_id": "conex", "grant_type": "refresh_token", "refresh_token": "identity", "scope": "repository:token-identity:pull", "service": "token-identity"}$' "$box/log"
}
check "the identity token's form" identity

scopes() {
	grep -q "^http GET /token?service=token-user&account=user&scope=repository%3atoken-user%3apull&scope=repository%3aother%3apull Basic" "$box/log" &&
		grep -q "^http GET /token?service=token&scope=repository%3atoken%3apull -" "$box/log"
}
check "our scope, and the challenge's where ours isn't enough" scopes

# Cancelled in the middle: what came stays, and only the rest is fetched.
resumed() {
	local got rest
	rm -rf "$box/out"
	says 1 "cancelled" "$tool" "${fast[@]}" --parallel 1 --cancel-after 700000 pull "127.0.0.1:$plain/good:1" "$box/out" || return
	got=$(cat "$box"/out/blobs/sha256/* | wc -c)
	echo "there: $got"
	[ "$got" -gt 600000 ] && [ "$got" -lt 1200000 ] || return
	rest=$("$tool" "${fast[@]}" pull "127.0.0.1:$plain/good:1" "$box/out" | sed -n 's/^network //p')
	echo "fetched then: $rest"
	[ "$rest" -lt 700000 ] && same "$box/out"
}
check "cancelled, then the rest" resumed

by_a_thread() {
	says 1 "registry 127.0.0.1:$plain: cancelled" "$tool" --plain 1 --cancel-ms 300 pull "127.0.0.1:$plain/hang:1" "$box/out"
}
check "cancelled by another thread" by_a_thread

# ---- what ends badly ---------------------------------------------------------------------------

check "digest-lie" wrong digest-lie "what came is sha256:[0-9a-f]{64}, not what its Docker-Content-Digest says"
check "digest-bad" wrong digest-bad "Docker-Content-Digest is no digest"
sha512() {
	local said
	said=$("$tool" "${fast[@]}" pull "127.0.0.1:$plain/sha512:1" "$box/out512") || return
	said=$(sed -n 's/^manifest sha512:\([0-9a-f]\{128\}\) .*/\1/p' <<<"$said")
	[ "$(sha512sum "$box/out512/blobs/sha512/$said" | cut -d' ' -f1)" = "$said" ] || return
	says 0 network "$tool" "${fast[@]}" pull "127.0.0.1:$plain/sha512@sha512:$said" "$box/out512" || return
	wrong sha512-lie "what came is sha512:$said, not what its Docker-Content-Digest says"
}
check "sha512" sha512
check "changed" wrong changed "what came is sha256"
by_digest() {
	says 1 "what came is sha256:[0-9a-f]{64}, not what was asked for" "$tool" "${fast[@]}" \
		pull "127.0.0.1:$plain/changed@sha256:$digest" "$box/out"
}
check "changed, by digest" by_digest
check "corrupt" wrong corrupt "GET blob sha256.*: what came is sha256:[0-9a-f]{64}: Bad message"
check "more" wrong more "it sends more than the manifest's size of [0-9]+ bytes"
check "less" wrong less "its answer ends after [0-9]+ of [0-9]+ bytes"
check "length" wrong length "it has [0-9]+1 bytes, the manifest's size is [0-9]+0"
check "length-less" wrong length-less "it has [0-9]+9 bytes, the manifest's size is [0-9]+0"
check "range-start" wrong range-start "asked for the bytes from ([0-9]+) on, it sends those from [0-9]+"
check "range-total" wrong range-total "its Content-Range is of [0-9]+9 bytes, the manifest's size is [0-9]+0"
check "range-none" wrong range-none "HTTP 206 without a Content-Range"
check "html" wrong html "a page of HTML, no manifest.*log-in page"
check "html404" wrong html404 'HTTP 404 with a body of text/html\\x1b\[2J'
check "steer" wrong steer 'HTTP 404, X\\x1b\[31m: .*long .*\.\.\.:'
check "empty" wrong empty "no JSON object in it"
check "gzip" wrong gzip "its body is encoded"
check "endless-headers" wrong endless-headers "headers are longer than 64 KiB"
check "endless-header" wrong endless-header "a line of its headers has no end"
check "endless-continue" wrong endless-continue "headers are longer than 64 KiB"
check "endless-body" wrong endless-body "larger than it may be"
check "drip" wrong drip "next to nothing.*timed out" --retries 1
check "hang" wrong hang "next to nothing.*timed out" --retries 1
check "deadline" says 1 "registry 127.0.0.1:$plain: not done within the deadline" "$tool" --plain 1 --deadline 700 \
	pull "127.0.0.1:$plain/hang:1" "$box/out"
check "loop" wrong loop "more than 5 redirects"
check "redirect-6" wrong redirect-6 "GET blob .*more than 5 redirects"
check "to-file" wrong to-file "isn't a URL of http or https"
check "to-user" wrong to-user "isn't a URL of http or https"
check "to-nowhere" wrong to-nowhere "a redirect without a Location"
check "garbage" wrong garbage "GET manifest 1"
check "http09" wrong http09 "GET manifest 1"
check "silent" wrong silent "GET manifest 1.*[Rr]eset"
check "dead" wrong dead "HTTP 500, UNKNOWN: the disk is full: Remote I/O error"
check "throttle-long" wrong throttle-long "HTTP 429, TOOMANYREQUESTS: slow down.*come back in 3600 seconds, or log in"
check "denied" wrong denied "HTTP 403, DENIED: not yours: Permission denied; are you logged in"
check "missing" wrong missing "HTTP 404, MANIFEST_UNKNOWN: manifest unknown: No such file"
check "blob-missing" wrong blob-missing "GET blob .*HTTP 404, BLOB_UNKNOWN"
check "mute" wrong mute "HTTP 401.*doesn't say how to log in"
check "basic, unknown" wrong basic "HTTP 401.*log in: no user and password are known"
check "basic, wrong" wrong basic "HTTP 401.*doesn't take this user and password" --user user:wrong
check "token-garbage" wrong token-garbage "GET token for repository:token-garbage:pull .*no usable token in its answer"
check "token-huge" wrong token-huge "GET token for .*larger than it may be"
check "token-denied" wrong token-denied "HTTP 401, incorrect username or password.*log in again" --user user:wrong
check "token, wrong identity" wrong token-identity "HTTP 401, unauthorized: no such token" --identity other

tries() {
	[ "$(grep -c "^http GET /v2/dead/" "$box/log")" = 12 ] || return   # twice: once and five times more
	[ "$(grep -c "^http GET /v2/denied/" "$box/log")" = 2 ]
}
check "what may pass is tried again, what won't isn't" tries

# ---- with TLS ----------------------------------------------------------------------------------

tls() {         # tls STATUS PATTERN FAULT [OPTION...]
	local status=$1 pattern=$2 fault=$3
	shift 3
	rm -rf "$box/out"
	says "$status" "$pattern" "$tool" --backoff 10 "$@" pull "127.0.0.1:$secure/$fault:1" "$box/out"
}
check "TLS" tls 0 network good --ca "$box/ca.crt"
check "unknown CA" tls 1 "certificate.*certs.d" good
check "from https to http" tls 1 "from https to http" to-plain --ca "$box/ca.crt"
check "a token server without TLS" tls 1 "realm. speaks plain HTTP" realm --ca "$box/ca.crt" --user user:pass
not_allowed() {
	says 1 "plain HTTP.*not for localhost either" "$tool" pull "127.0.0.1:$plain/good:1" "$box/out" || return
	says 1 "mirror = http://127.0.0.1:$plain: .*; a mirror speaks https" "$tool" --mirror "http://127.0.0.1:$plain" pull \
		"127.0.0.1:$plain/good:1" "$box/out"
}
check "plain HTTP isn't spoken by itself" not_allowed

# ---- mirrors -----------------------------------------------------------------------------------

mirror() {
	rm -rf "$box/out"
	# one that refuses, one that hasn't it, then the registry itself
	says 0 network "$tool" "${fast[@]}" --mirror "http://127.0.0.1:1" --mirror "http://127.0.0.1:$cdn" \
		pull "127.0.0.1:$plain/good:1" "$box/out" && same "$box/out" || return
	says 1 "HTTP 404.*before that: .*127.0.0.1:1: .*refused" "$tool" "${fast[@]}" --mirror "http://127.0.0.1:1" \
		pull "127.0.0.1:$plain/missing:1" "$box/out"
}
check "mirrors" mirror

told() {
	echo "{\"auths\": {\"127.0.0.1:$plain\": {\"auth\": \"dXNlcjpwYXNz\"}}}" >"$box/auth.json"
	right basic --mirror "http://127.0.0.2:$cdn" --auth-file "$box/auth.json" || return
	grep -q "^cdn GET /v2/basic/manifests/1 - -" "$box/log" && ! grep LEAK "$box/log"
}
check "a mirror isn't told who we are to the registry" told

proxy() {
	rm -rf "$box/out"
	says 0 network "$tool" --ca "$box/ca.crt" --https-proxy "http://127.0.0.2:$cdn" --user user:pass pull \
		"127.0.0.1:$secure/basic:1" "$box/out" && same "$box/out" &&
		grep -q "^proxy CONNECT 127.0.0.1:$secure -" "$box/log"
}
check "through a proxy" proxy

# ---- pushes ------------------------------------------------------------------------------------

# pushed FAULT [OPTION...]: what is pushed there can be pulled from there.
pushed() {
	local fault=$1
	shift
	rm -rf "$box/out"
	says 0 "blob 900000 sent" "$tool" "${fast[@]}" "$@" push "$box/layout" "127.0.0.1:$plain/$fault:1" || return
	right "$fault" || return
	says 0 "blob 900000 present" "$tool" "${fast[@]}" "$@" push "$box/layout" "127.0.0.1:$plain/$fault:1"
}
rm -rf "$box/layout"
"$tool" "${fast[@]}" pull "127.0.0.1:$plain/good:1" "$box/layout" >/dev/null
check "push" pushed push
check "push in pieces" pushed push-pieces --chunk 130000
check "push broken off" pushed push-drop
check "push in pieces, broken off" pushed push-drop-piece --chunk 130000
check "push, the session lost" pushed push-lost --chunk 400000
check "push, pieces not too small" pushed push-min --chunk 1000
check "push, throttled" pushed push-weary
check "push, throttled, in pieces" pushed push-weary-piece --chunk 500000
check "push too large in one" pushed push-413 --chunk 200000
refused() {
	says 1 "PUT blob .*HTTP 400, DIGEST_INVALID: provided digest did not match" "$tool" "${fast[@]}" push "$box/layout" \
		"127.0.0.1:$plain/push-refuse:1" || return
	says 1 "PUT manifest 1 .*stored something else" "$tool" "${fast[@]}" push "$box/layout" "127.0.0.1:$plain/put-lie:1"
}
check "push refused" refused

head_() {
	says 0 "^manifest sha256:$digest .* [0-9]+" "$tool" "${fast[@]}" head "127.0.0.1:$plain/good:1" || return
	says 0 "^manifest sha256:$digest .* [0-9]+" "$tool" "${fast[@]}" head "127.0.0.1:$plain/head-mute:1" || return
	says 1 "HEAD manifest 1 .*HTTP 404" "$tool" "${fast[@]}" head "127.0.0.1:$plain/missing:1"
}
check "head" head_
finish
