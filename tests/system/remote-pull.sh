#!/bin/bash
# Pulls through the public API: mirrors, redirects, proxies and tokens, and who is told our name on the way; and round trips.
# shellcheck disable=SC2154 # box, plain ...: of remote-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/remote-box.sh"
open=10.99.0.1:5447
host=10.99.0.1 serve open 5447

gone() {        # the store has nothing, so that all must be fetched
	rm -rf --one-file-system "$box/store"
}
machine=linux/$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
given=$(printf user:given-word | base64) ours=$(printf user:pass-word | base64)

# ---- round trips -------------------------------------------------------------------------------

round() {
	have "$plain/round:1" && says 0 "^result $digest$" conex --plain push "$plain/round:1" || return
	gone
	[ -z "$(conex list)" ] || return
	says 0 "^result $digest$" conex --plain pull "$plain/round:1" || return
	[ "$(conex run "$plain/round:1" | tr '\n' ' ')" = "77 78 /srv from the image new kept new " ]
}
check "pushed, forgotten, pulled and run" round

# By way of a mirror, so that the registry itself has nothing of it yet.
platforms() {
	local name=$tokens/private/multi:1 with=(--plain --auth-file "$box/tokens.json" --mirror "http://$plain") platform index
	login "$box/tokens.json" pass "$tokens"
	/usr/bin/python3 - "$box/archives/platforms.tar" "$box/multi" <<-'PYTHON' || return
		import hashlib, json, sys, tarfile
		with tarfile.open(sys.argv[1]) as archive:
		    archive.extractall(sys.argv[2])
		with open(sys.argv[2] + "/index.json", "rb") as file:
		    index = dict(json.load(file), mediaType="application/vnd.oci.image.index.v1+json")
		data = json.dumps(index).encode()
		name = hashlib.sha256(data).hexdigest()
		with open(f"{sys.argv[2]}/blobs/sha256/{name}", "wb") as file:
		    file.write(data)
		with open(sys.argv[2] + "/index.json", "w") as file:
		    json.dump({"schemaVersion": 2, "manifests": [{"mediaType": index["mediaType"], "digest": "sha256:" + name,
		               "size": len(data), "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}, file)
	PYTHON
	copy --all --dest-tls-verify=false "oci:$box/multi:latest" "docker://$plain/private/multi:1" || return
	index=sha256:$(skopeo inspect --tls-verify=false --raw "docker://$plain/private/multi:1" | sha256sum | cut -d' ' -f1)
	gone
	says 0 "^result" conex "${with[@]}" pull "$name" || return
	with=(--plain --auth-file "$box/tokens.json")
	says 1 "^error -2: .*of a multi-platform image sha256:.*conex_image_options.platform" conex "${with[@]}" push "$name" || return
	says 1 "manifest unknown|name unknown" skopeo inspect --tls-verify=false --creds user:pass "docker://$name" || return
	says 0 "^result $digest$" conex "${with[@]}" --platform "$machine" push "$name" || return
	theirs "$digest" --tls-verify=false --creds user:pass "docker://$name" || return
	says 1 "^error -2: .*platform = .*linux/riscv64.*linux/amd64" conex "${with[@]}" --platform linux/riscv64 push "$name" || return
	# by the index's digest, for both: then all of it is there
	name=${name%:1}@$index
	for platform in linux/amd64 linux/arm64; do
		says 0 "^result" conex "${with[@]}" --mirror "http://$plain" --platform $platform pull "$name" || return
	done
	says 1 "^error -22: .*conex_image_options.platform = .*the whole index's" conex "${with[@]}" --platform linux/arm64 push "$name" || return
	says 0 "^result $index$" conex "${with[@]}" push "$name" || return
	theirs "$index" --tls-verify=false --creds user:pass "docker://$name" || return
	copy --all --src-tls-verify=false --src-creds user:pass "docker://$name" "oci:$box/back:latest" &&
		diff -r "$box/multi/blobs" "$box/back/blobs"
}
check "of several platforms: one, or all" platforms

# ---- mirrors -----------------------------------------------------------------------------------

mirrors() {
	have "$plain/behind/mirrored:1" && says 0 "^result" conex --plain push "$plain/behind/mirrored:1" || return
	gone
	between
	says 0 "^result $digest$" conex --plain --mirror "http://$front/behind/" pull "$plain/mirrored:1" || return
	[ "$(lines "^front GET /v2/behind/mirrored/manifests/1 ")" = 1 ] && [ "$(lines "^front GET /v2/behind/mirrored/blobs/")" = 3 ] || return
	# what it hasn't, or when it is down, the next one is asked for, and at last the registry
	gone
	says 0 "^result $digest$" conex --plain --mirror http://127.0.0.1:1 --mirror "http://$front/nothing" --mirror "http://$front/behind" \
		pull "$plain/mirrored:1" || return
	gone
	between down
	says 0 "^result $digest$" conex --plain --mirror "http://$front" pull "$plain/behind/mirrored:1" || return
	[ "$(lines "^front ")" -ge 1 ] || return
	# none has it: what each of them said
	between
	says 1 "^error -2: .*$plain/nowhere: GET manifest 1.*404.*before that: .*$plain/nowhere: GET manifest 1" \
		conex --plain --mirror "http://$front" pull "$plain/nowhere:1"
}
check "mirrors" mirrors

bad_mirrors() {
	local bad
	for bad in ftp://a https:// https:///x https://a/../b https://a/B https://a/b//c "https://a b" "https://a?b" "https://a#b" ""; do
		says 1 "^error -22: .*conex_image_options.mirrors\[1\].*write https://HOST\[:PORT\]\[/PREFIX\]" \
			conex --mirror "https://a:5000/x/y/" --mirror "$bad" pull "$plain/a:1" || return
	done
	says 1 "^error -22: .*conex_image_options.mirrors\[0\].*CONEX_IMAGE_PLAIN_HTTP" conex --mirror "http://a" pull "$plain/a:1" || return
	says 1 "^error -22: .*conex_image_options.mirrors\[0\].*file of credentials" conex --mirror "https://user:given-word@a" pull "$plain/a:1" || return
	says 1 "^error -22: .*conex_image_options.mirrors" conex --mirror "https://a" push "$plain/a:1"
}
check "mirrors that can't be" bad_mirrors

# A mirror is asked with what files say about it; the registry's user is none of its business.
mirror_login() {
	between auth
	gone
	says 0 "^result $digest$" conex --plain --mirror "http://$front" --user user --password given-word pull "$plain/behind/mirrored:1" || return
	[ "$(lines "^front GET .* - ")" -ge 1 ] && [ "$(lines "Basic")" = 0 ] || return
	between auth
	gone
	login "$box/auth.json" pass-word "$front/behind"
	says 0 "^result $digest$" conex --plain --auth-file "$box/auth.json" --mirror "http://$front/behind" --user user --password given-word \
		pull "$plain/mirrored:1" || return
	[ "$(lines "^front GET .*/blobs/.* Basic $ours ")" = 3 ] && [ "$(lines "$given")" = 0 ] || return
	# another prefix is somebody else
	between auth
	gone
	login "$box/auth.json" pass-word "$front/elsewhere"
	says 0 "^result $digest$" conex --plain --auth-file "$box/auth.json" --mirror "http://$front" pull "$plain/behind/mirrored:1" || return
	[ "$(lines "Basic")" = 0 ]
}
check "who we are to a mirror" mirror_login

# Each host's helper is asked before the worker starts, in order.
mirror_helpers() {
	program first <<<'echo "first $(cat)" >>"$HOME/asked"; echo "{\"Username\": \"user\", \"Secret\": \"pass-word\"}"'
	program second <<<'echo "second $(cat)" >>"$HOME/asked"; echo "{\"Username\": \"user\", \"Secret\": \"pass-word\"}"'
	have "$secure/b:1" && trust "$HOME/.config/containers/certs.d" "$secure" || return
	echo '{"credHelpers": {"'"$secure"'": "first", "'"$front"'": "second"}}' >"$box/helpers.json"
	says 0 "^result" conex --auth-file "$box/helpers.json" push "$secure/b:1" || return
	[ "$(cat "$HOME/asked")" = "first $secure" ] || return
	gone
	: >"$HOME/asked"
	between auth
	says 0 "^result $digest$" conex --auth-file "$box/helpers.json" --plain --mirror "http://$front/behind" pull "$plain/mirrored:1" || return
	[ "$(cat "$HOME/asked")" = "second $front" ] && [ "$(lines "^front GET .*/blobs/.* Basic $ours ")" = 3 ] || return
	# of a registry and its mirror: both, although the second may not be needed
	gone
	: >"$HOME/asked"
	echo '{"credsStore": "first", "credHelpers": {"'"$front"'": "second"}}' >"$box/helpers.json"
	says 0 "^result $digest$" conex --auth-file "$box/helpers.json" --plain --mirror "http://$front/behind" pull "$plain/mirrored:1" || return
	[ "$(tr '\n' ' ' <"$HOME/asked")" = "first $plain second $front " ]
}
check "helpers of mirrors" mirror_helpers

# ---- redirects ---------------------------------------------------------------------------------

redirects() {
	between auth redirect
	gone
	says 0 "^result $digest$" conex --plain --user user --password pass-word pull "$front/behind/mirrored:1" || return
	[ "$(lines "^front GET .*/blobs/.* Basic $ours ")" = 3 ] && [ "$(lines "^store GET .*/blobs/.* - -$")" = 3 ] &&
		[ "$(lines "^store .*Basic")" = 0 ]
}
check "where a registry redirects to nobody is told our name" redirects

# ---- who we are --------------------------------------------------------------------------------

who() {
	gone
	says 1 "^error -13: .*HTTP 401.*log in" conex pull "$secure/b:1" || return
	says 1 "^error -13: .*HTTP 401.*doesn't take" conex --user user --password wrong-word pull "$secure/b:1" || return
	login "$HOME/.docker/config.json" pass-word
	says 0 "^result $digest$" conex pull "$secure/b:1" || return
	rm -rf "$HOME/.docker"
	gone
	says 1 "^error -13: .*HTTP 401" conex --plain pull "$tokens/private/multi:1" || return
	says 0 "^result" conex --plain --auth-file "$box/tokens.json" pull "$tokens/private/multi:1"
}
check "passwords and tokens" who

proxies() {
	have "$open/a:1" && says 0 "^result" conex --plain push "$open/a:1" || return
	gone
	between
	HTTP_PROXY=http://$proxy says 0 "^result $digest$" conex --plain pull "$open/a:1" || return
	[ "$(lines "^proxy GET http://$open/v2/a/blobs/")" = 3 ] || return
	trust "$HOME/.config/containers/certs.d" "$far"
	have "$far/a:1" && says 0 "^result" conex push "$far/a:1" || return
	gone
	between
	https_proxy=http://$proxy says 0 "^result $digest$" conex pull "$far/a:1" || return
	[ "$(lines "^proxy CONNECT $far ")" -ge 1 ] && [ "$(lines "^proxy GET")" = 0 ]
}
check "proxies" proxies

worker_shows() {
	rm -f "$box/between/seen"
	between auth redirect
	gone
	program other <<<'echo "{\"Username\": \"user\", \"Secret\": \"pass-word\"}"'
	says 0 "^result" env SOME=pass-word "$box/bin/helped" other --plain pull "$front/behind/mirrored:1" || return
	[ "$(grep -c "^worker: .*conex-worker" "$box/between/seen")" -ge 4 ] && ! grep -E "pass-word|$ours" "$box/between/seen" || return
	[ "$(grep -c "^error" "$box/heard")" -ge 15 ] && ! grep -E "pass-word|wrong-word|given-word|$ours|$given" "$box/heard"
}
check "no secret in the worker's words or environment, or in what was said" worker_shows
finish
