#!/bin/bash
# conex, the program: images on their way, to and from registries (Debian's docker-registry on loopback), archives, directories and
# out of containers; and how that is shown.
# shellcheck disable=SC2154 # box, program, state, store, archives, me, terminal, with, servers: of cli-box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/cli-box.sh"
needs docker-registry docker-registry htpasswd apache2-utils
plain=127.0.0.1:5000 locked=127.0.0.1:5001

# serve NAME PORT LINE...: a registry whose configuration ends with these lines.
serve() {
	local name=$1 port=$2
	shift 2
	printf '%s\n' "version: 0.1" "log: {level: warn}" "storage:" "  filesystem: {rootdirectory: $box/$name}" \
		"http:" "  addr: 127.0.0.1:$port" "$@" >"$box/$name.yml"
	docker-registry serve "$box/$name.yml" >"$box/$name.log" 2>&1 &
	servers+=($!)
	until_up bash -c ": </dev/tcp/127.0.0.1/$port" || skip_all "docker-registry doesn't start"
}
htpasswd -bcB "$box/htpasswd" user pass 2>/dev/null
serve plain 5000
serve locked 5001 "auth:" "  htpasswd: {realm: conex, path: $box/htpasswd}"
digest=$(cat "$archives/digest")
conex import -q "$archives/layout.tar" "$plain/app:1" >/dev/null || exit 99
out() { # what the image says of itself
	is "77
78
/srv
from the image
new
kept
new" conex run --rm "$1"
}

# ---- registries --------------------------------------------------------------------------------

there_and_back() {
	has "$(conex push --plain-http "$plain/app:1" 2>&1)" '^pushing ' '^sha256:' || return
	is "$plain/app:1" conex rmi "$plain/app:1" && is "" conex images -q || return
	has "$(conex pull --tls-verify=false "$plain/app:1" 2>&1 >"$box/digest")" '^pulling ' && [ "$(cat "$box/digest")" = "$digest" ] || return
	out "$plain/app:1" || return
	[ "$(conex pull -q --plain-http "$plain/app:1" 2>&1)" = "$digest" ]
}
tries "push, pull" there_and_back

shown() {
	local said
	conex rmi "$plain/app:1" >/dev/null
	said=$("${terminal[@]}" 24x60 -- "${with[@]}" pull --plain-http "$plain/app:1") || return
	# one line, drawn again and again, never longer than the terminal, and gone at the end
	has "$said" $'\rpulling [^\r]*' && [ "$(tail -n 1 <<<"${said%$'\r'}" | tr -d '\r' | sed 's/.*\x1b\[K//')" = "$digest" ] || return
	[ "$(wc -l <<<"$said")" = 1 ] || { cat -A <<<"$said"; return 1; }
	tr '\r' '\n' <<<"$said" | sed 's/\x1b\[K//g' | awk '!/^sha256/ && length > 59 { bad = 1 } END { exit bad }' || return
	conex rmi "$plain/app:1" >/dev/null
	said=$("${terminal[@]}" 24x60 -- "${with[@]}" pull -q --plain-http "$plain/app:1") && [ "${said%$'\r'}" = "$digest" ]
}
tries "a line on a terminal" shown

by_run() {
	conex rmi "$plain/app:1" >/dev/null
	fails "no image $plain/app:1; conex pull" run --rm --pull never --plain-http "$plain/app:1" || return
	[ "$(conex run --rm -q --plain-http "$plain/app:1" 'echo came' 2>&1)" = came ] || return
	# it is there: nobody is asked
	[ "$(conex run --rm "$plain/app:1" 'echo here' 2>&1)" = here ] || return
	has "$(becomes 0 conex run --rm --pull always --plain-http "$plain/app:1" 'echo again' 2>&1)" '^pulling ' '^again$' || return
	has "$(becomes 125 conex run --rm --plain-http "$plain/nothing:1" 2>&1)" '^conex: run: .*nothing' || return
	[ "$(conex run -d -q --pull always --name "$me-d" --plain-http "$plain/app:1" 'true' 2>&1)" = "$me-d" ] && is 0 conex wait "$me-d" && conex rm "$me-d" && nothing_left
}
tries "run brings what is missing" by_run

who() {
	conex import -q "$archives/layout.tar" "$locked/app:1" >/dev/null || return
	has "$(becomes 125 conex push -q --plain-http "$locked/app:1" 2>&1)" '^conex: push: ' || return
	has "$(becomes 125 conex push -q --plain-http --creds user:wrong "$locked/app:1" 2>&1)" '^conex: push: ' || return
	has "$(conex push -q --plain-http --creds user:pass "$locked/app:1")" '^sha256:' && conex rmi "$locked/app:1" || return
	has "$(becomes 125 conex pull -q --plain-http "$locked/app:1" 2>&1)" '^conex: pull: ' || return
	printf '{"auths": {"%s": {"auth": "%s"}}}' "$locked" "$(printf user:pass | base64)" >"$box/auth.json"
	is "$digest" conex pull -q --plain-http --auth-file "$box/auth.json" "$locked/app:1" && conex rmi "$locked/app:1" || return
	is "$digest" conex pull -q --plain-http --authfile "$box/auth.json" "$locked/app:1" && conex rmi "$locked/app:1" || return
	fails 'nowhere' pull -q --plain-http --auth-file "$box/nowhere" "$locked/app:1"
}
tries "who is who" who

bad_pulls() {
	fails 'pull: .*UPPER' pull UPPER || return
	fails 'pull: .*127.0.0.1' pull -q --plain-http 127.0.0.1:1/app || return
	fails 'pull: .*nope' pull -q --plain-http "$plain/app:nope" || return
	fails 'push: .*not-here' push -q --plain-http "$plain/not-here:1" || return
	fails 'pull: ' pull -q --plain-http --platform plan9/vax "$plain/app:1"
}
tries "what can't be brought" bad_pulls

# ---- archives and directories ------------------------------------------------------------------

exports() {
	conex export -q "$plain/app:1" out.tar && conex import -q out.tar again:1 >/dev/null && out again:1 || return
	conex export -q -o out2.tar "$plain/app:1" && cmp out.tar out2.tar && [ "$(stat -c %a out.tar)" = 644 ] || return
	conex export -q "$plain/app:1" - | conex import -q - again:2 >/dev/null && out again:2 || return
	conex export -q "$plain/app:1" | cmp - out.tar || return
	conex export -q "$plain/app:1" layout/ && [ -e layout/oci-layout ] && conex import -q layout again:3 >/dev/null && out again:3 || return
	conex rmi again:1 again:2 again:3 >/dev/null || return
	# what fails leaves nothing
	fails 'export: .*not-here' export -q not-here never.tar || return
	fails 'export: .*not-here' export -q not-here never/ || return
	fails 'export: .*nowhere' export -q "$plain/app:1" nowhere/out.tar || return
	fails 'neither a file nor a directory' export "$plain/app:1" /dev/null || return
	fails 'two archives' export -o a "$plain/app:1" b || return
	has "$(becomes 125 "${terminal[@]}" 20x80 -- "${with[@]}" export "$plain/app:1")" 'standard output is a terminal' || return
	has "$(becomes 125 "${terminal[@]}" 20x80 -- "${with[@]}" import - x)" 'standard input is a terminal' || return
	is "" bash -c 'ls -d never* nowhere* *.tar.* 2>/dev/null; true'
}
tries export exports

unpacks() {
	is "" conex unpack -q "$plain/app:1" tree && [ "$(cat tree/srv/new)" = new ] && [ -e tree/srv/kept ] && [ ! -e tree/srv/gone ] && [ -x tree/bin/busybox ] || return
	fails 'unpack: .*tree' unpack -q "$plain/app:1" tree && fails 'unpack: .*not-here' unpack -q not-here tree2 && [ ! -e tree2 ]
}
tries unpack unpacks

# ---- out of containers -------------------------------------------------------------------------

commits() {
	local id=$me-commit
	conex run --name "$id" -u 0 "$plain/app:1" 'echo mine >/srv/mine; rm /srv/new' && has "$(conex commit -q "$id" mine:1)" '^sha256:' || return
	is mine conex run --rm mine:1 'cat mine; [ ! -e new ] || echo new is there' || return
	conex commit -q -c 'CMD ["echo $HELLO $MORE; id -u; pwd"]' -c 'ENV HELLO=changed MORE="too"' -c 'USER 5' -c 'WORKDIR /tmp' -c 'LABEL a=b' -c 'EXPOSE 80' \
		-c 'STOPSIGNAL SIGUSR1' "$id" mine:2 >/dev/null || return
	is $'changed too\n5\n/tmp' conex run --rm mine:2 || return
	json '(lambda c: c["Labels"] == {"org.example.x": "y", "a": "b"} and "80/tcp" in c["ExposedPorts"] and "PATH=/bin" in c["Env"])(it[0]["config"]["config"])' conex inspect mine:2 || return
	conex commit -q --config '{"Entrypoint": null, "Cmd": ["/bin/echo", "plain"]}' "$id" mine:3 >/dev/null && is plain conex run --rm mine:3 || return
	fails 'commit: --change MAINTAINER me: write CMD' commit -c 'MAINTAINER me' "$id" mine:4 || return
	fails 'commit: --change ENV x: write NAME=VALUE' commit -c 'ENV x' "$id" mine:4 || return
	fails 'commit: --config: ' commit --config '{' "$id" mine:4 || return
	fails 'commit: .*UPPER' commit -q "$id" UPPER && fails 'no container nobody' commit nobody x && conex rm "$id" || return
	# one that runs is paused meanwhile, or refused; and its image's signal stops it
	conex run -d --name "$id" -u 0 mine:2 'trap "exit 8" USR1; echo while >/srv/while; while :; do sleep 0.1; done' && until_up conex exec "$id" test -s /srv/while || return
	conex commit -q "$id" mine:4 >/dev/null && [ "$(status_of "$id")" = running ] && is while conex run --rm mine:4 'cat /srv/while' || return
	fails 'commit: ' commit -q --pause=false "$id" mine:5 && conex stop "$id" && is 8 conex wait "$id" && conex rm "$id" || return
	conex rmi mine:1 mine:2 mine:3 mine:4 && nothing_left
}
tries commit commits

# One that is broken off by a signal leaves nothing half.
broken_off() {
	local status=0
	mkfifo pipe
	"${with[@]}" import -q - late:1 <pipe &
	exec 7>pipe
	head -c 100000 "$archives/layout.tar" >&7       # more than a pipe holds: somebody reads
	kill -TERM $!
	wait $! || status=$?
	exec 7>&-
	rm pipe
	[ $status = 143 ] && ! conex images -q | grep late || return
	conex system prune -f >/dev/null && nothing_left     # what its worker held has nobody any more
}
tries "broken off" broken_off

end() {
	is "$plain/app:1" conex rmi "$plain/app:1" && nothing_left || return
	[ -z "$(find "$store"/layers "$store"/blobs/sha256 -mindepth 1)" ] && ! pgrep -f -- "--state $state"
}
tries "nothing is left" end
finish
