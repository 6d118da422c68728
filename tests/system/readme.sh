#!/bin/bash
# README's first program, taken from there: compiled as README says against what `make install` installs, run on the image
# that ./bootstrap makes of busybox; and what it says where something is missing.
# shellcheck disable=SC2154 # box, root, examples: of box.sh
# shellcheck source=/dev/null
. "$CX_SRCDIR/tests/system/box.sh"
make_box
unshare -n true 2>/dev/null || skip_all "needs a network namespace"
[ -x "$CX_BUILDDIR/conex-worker" ] || skip_all "built without images"
export CONEX_STORE=$box/store CONEX_WORKER=$CX_BUILDDIR/conex-worker
there=$box/there prefix=$(sed -n 's/^prefix=//p' "$CX_BUILDDIR/pkgconfig/libconex.pc")
libraries=$(sed -n "s|^libdir=||p" "$CX_BUILDDIR/pkgconfig/libconex.pc")
libraries=$there${libraries//'${exec_prefix}'/$prefix}
export LD_LIBRARY_PATH=$libraries

# The same bytes whoever makes it, with an owner and a mode for everything.
image() {
	"$CX_SRCDIR/examples/busybox.sh" "$box/busybox.tar" &&
		(umask 077 && cd / && TZ=Asia/Tokyo "$CX_SRCDIR/examples/busybox.sh" "$box/again.tar") &&
		cmp "$box/busybox.tar" "$box/again.tar" || return
	! tar --numeric-owner -tvf "$box/busybox.tar" | grep -v '^[d-][rwx-]* 0/0 .* 1970-01-01 00:00'
}

# README's first block of C, and examples/hello.c but for its first line, a comment.
same() {
	awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$CX_SRCDIR/README.md" >"$box/hello.c"
	grep -q conex_run "$box/hello.c" && diff "$box/hello.c" <(sed 1d "$CX_SRCDIR/examples/hello.c")
}

installed() {
	unset MAKEFLAGS MFLAGS MAKELEVEL
	make -s -C "$CX_BUILDDIR" install DESTDIR="$there" >"$box/log" 2>&1 || { tail "$box/log"; return 1; }
	[ ! -e "$there/var" ]           # an image is brought by a command of its own
}

compiles() {
	local flags
	flags=$(PKG_CONFIG_SYSROOT_DIR=$there PKG_CONFIG_PATH=$libraries/pkgconfig pkg-config --cflags --libs libconex) || return
	# shellcheck disable=SC2086 # lists
	${CC:-cc} -Wall -Wextra -Werror $SANITIZED "$box/hello.c" -o "$box/hello" $flags
}

# Before the image is there, and where nobody can be asked for it: which one is missing, or what is wrong with the store.
missing() {
	has "$(becomes 1 unshare -n "$box/hello" 2>&1)" 'hello: .*busybox' &&
		has "$(CONEX_STORE=store becomes 1 "$box/hello" 2>&1)" "hello: .*CONEX_STORE.*absolute"
}

brought() {
	has "$("$examples/import" "$box/busybox.tar" busybox)" '^busybox is sha256:[0-9a-f]{64}$' &&
		has "$("$examples/import" "$box/again.tar" busybox)" '^busybox is sha256:[0-9a-f]{64}$' &&
		[ "$(find "$box/store/layers" -mindepth 1 -maxdepth 1 | wc -l)" = 1 ] || return
	becomes 1 "$examples/import" "$box/hello.c" other 2>/dev/null && becomes 1 "$examples/import" "$box/nowhere" other 2>/dev/null &&
		becomes 2 "$examples/import" 2>/dev/null
}

# What is in it: each name that busybox knows leads to it.
tree() {
	local tree path
	tree=$(echo "$box"/store/layers/*/root)
	while read -r path; do
		[ "$path" = linuxrc ] || [ "$(chroot "$tree" /bin/busybox realpath "/$path")" = /bin/busybox ] || { echo "$path"; return 1; }
	done < <(busybox --list-full)
	[ "$(stat -c '%a %u %g' "$tree/tmp" "$tree/root" "$tree/etc/passwd" | xargs)" = '1777 0 0 700 0 0 644 0 0' ] &&
		cmp "$tree/bin/busybox" "$(command -v busybox)"
}

runs() {
	[ "$("$box/hello")" = 'hello from a container' ] && [ "$("$examples/hello")" = 'hello from a container' ] || return
	[ -z "$(find "$box/store/leases" -type f)" ]
}

# Without privileges: the words name the image, not a number.
unprivileged() {
	local out
	chmod 755 "$box/hello"
	mkdir "$box/home" && chown 65534:65534 "$box/home"
	out=$(unset CONEX_STORE; HOME=$box/home XDG_RUNTIME_DIR=$box/home becomes 1 unshare -n setpriv --reuid 65534 --regid 65534 --clear-groups "$box/hello" 2>&1) || return
	has "$out" '^hello: .*busybox.*: .'
}

for test in image same installed compiles missing brought tree runs unprivileged; do
	check $test $test
done
check 'nothing is mounted' sh -c "! grep '$box' /proc/self/mountinfo"
finish
