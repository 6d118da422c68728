#!/bin/bash
# Gets what virtual machines are made of into CACHE (build/vm): Debian's cloud kernels, unpacked, not installed,
# and a small Debian of this machine's own release as a disk image. What is there already stays.
#	tests/vm/fetch.sh [CACHE]
# The mirror is the one that apt is configured with. Whatever can't be had is said and left out: what needs it
# is skipped. run.sh comes after.
set -euo pipefail
cache=${1:-${CX_BUILDDIR:-build}/vm}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
keys=/usr/share/keyrings/debian-archive-keyring.gpg

# Release and kernel series: what tests/vm/*.sh boot.
releases=(bookworm:6.1 trixie:6.12)
# In the tree beside Debian's required packages: what our tests call and link.
packages=systemd,systemd-sysv,dbus,iproute2,procps,uidmap,busybox-static,libseccomp2,libjansson4,libnl-3-200,libcap2
packages+=,python3,redis-server
modules=(virtio_pci virtio_blk overlay veth dummy tun fuse bridge loop)

# Of Debian's own archives in apt's lists: "URI SUITE COMPONENT".
archives() {
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 'Origin: Debian' | grep -E ' main$' | sort -u
}
sources() { # those given, as lines of a sources.list
	sed "s#^#deb [signed-by=$keys] #"
}

# apt with state of its own: a release that the machine isn't configured for, nothing of the machine's changed.
own_apt() {
	local release=$1 tool=$2 state=$cache/apt/$1
	shift 2
	"$tool" -qq -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::Cache="$state" \
		-o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

# insmod's order of the modules named, from modules.dep.
in_order() {
	/usr/bin/python3 - "$1" "${modules[@]}" <<-'PYTHON'
		import os, sys
		needs, done = {}, []
		with open(sys.argv[1], encoding="utf-8") as file:
		    for line in file:
		        module, _, rest = line.partition(":")
		        needs[module] = rest.split()
		names = {os.path.basename(path).split(".")[0].replace("-", "_"): path for path in needs}
		def add(path):
		    if path not in done:
		        for need in needs[path]:
		            add(need)
		        done.append(path)
		for name in sys.argv[2:]:
		    if name in names:
		        add(names[name])
		print("\n".join(done))
	PYTHON
}

# The first file system: busybox and the modules; run.sh adds tests/vm/initrd to it.
make_initrd() {
	local tree=$1 version=$2 initrd=$1/initrd.tree order=0 module
	rm -rf "$initrd"
	mkdir -p "$initrd"/{bin,modules,proc,sys,dev,root}
	cp /bin/busybox "$initrd/bin"
	busybox depmod -b "$tree" "$version"
	while read -r module; do
		order=$((order + 1))
		cp "$tree/lib/modules/$version/${module#"lib/modules/$version/"}" \
			"$initrd/modules/$(printf %02d $order)-${module##*/}"
	done < <(in_order "$tree/lib/modules/$version/modules.dep")
	[ $order -gt 0 ]
	(cd "$initrd" && find . | cpio -o -H newc -R 0:0 --quiet) >"$tree/initrd"
	rm -rf "$initrd"
}

kernel() {
	local release=$1 tree=$cache/kernel-$2 package version site
	[ ! -e "$tree/initrd" ] || return 0
	rm -rf "$tree" "$cache/apt/$release"
	mkdir -p "$tree" "$cache/apt/$release"/{lists/partial,archives/partial}
	: >"$cache/apt/$release/status"
	site=$(archives | grep -v -e security -e updates | head -n 1 | cut -d ' ' -f 1)
	echo "$site $release main" | sources >"$cache/apt/$release/sources.list"
	own_apt "$release" apt-get update
	package=$(own_apt "$release" apt-cache depends linux-image-cloud-amd64 |
		sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p')
	version=${package#linux-image-}
	[ -n "$version" ]
	(cd "$tree" && own_apt "$release" apt-get download "$package" && dpkg-deb -x ./*.deb .)
	rm -rf "$tree"/*.deb "$cache/apt/$release"
	[ -d "$tree/lib" ] || ln -s usr/lib "$tree/lib"       # where Debian put it, as it changed its mind
	find "$tree/lib/" -name '*.ko.xz' -exec unxz {} +
	cp "$tree/boot/vmlinuz-$version" "$tree/vmlinuz"
	make_initrd "$tree" "$version"
	echo "$version" >"$tree/version"
}

# The disk: a Debian that tests find all their tools in; the same for all layouts.
disk() {
	local tree=$cache/debian.tree
	[ ! -e "$cache/debian.img" ] || [ "$(cat "$cache/debian.packages")" != "$packages" ] || return 0
	rm -f "$cache/debian.img"
	[ "$(id -u)" = 0 ] || { echo "vm: making a Debian tree needs root" >&2; return 1; }
	rm -rf "$tree"
	archives | sources >"$cache/sources.list"
	TMPDIR=$cache mmdebstrap --quiet --variant=apt --include="$packages" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		'' "$tree.tar" "$cache/sources.list"
	mkdir "$tree"
	tar -xf "$tree.tar" -C "$tree" --exclude='./dev/*'
	mkdir -p "$tree/conex"
	truncate -s 2G "$cache/debian.new"
	/sbin/mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1 -d "$tree" "$cache/debian.new"
	echo "$packages" >"$cache/debian.packages"
	mv "$cache/debian.new" "$cache/debian.img"
	rm -rf "$tree" "$tree.tar"
}

# As a command in a condition it would run on after an error: bash's set -e is off there.
attempt() { # WHAT COMMAND...
	local what=$1 status
	shift
	set +e
	(
		set -e
		"$@"
	)
	status=$?
	set -e
	[ $status = 0 ] || echo "vm: $what can't be had" >&2
}

[ "$(uname -m)" = x86_64 ] || { echo "vm: the kernels are for x86_64" >&2; exit 0; }
for release in "${releases[@]}"; do
	attempt "kernel ${release#*:} of ${release%:*}" kernel "${release%:*}" "${release#*:}"
done
attempt "a Debian tree" disk
