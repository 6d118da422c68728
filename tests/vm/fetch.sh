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
packages+=,python3,redis-server,kmod,nftables,libnftables1
# Loaded before all else: what disks and devices in /dev take. And what the kernel asks modprobe for when it needs it.
modules=(virtio_pci virtio_blk overlay tun fuse loop)
on_demand=(bridge br_netfilter veth macvlan dummy ifb 'nft_*' nf_conntrack_netlink nf_conntrack_bridge sch_tbf)

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

# Paths of the modules named, patterns too, and of those that they need, in insmod's order: from modules.dep.
in_order() { # MODULES.DEP NAME...
	/usr/bin/python3 - "$@" <<-'PYTHON'
		import fnmatch, os, sys
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
		for pattern in sys.argv[2:]:
		    for name in fnmatch.filter(names, pattern):
		        add(names[name])
		print("\n".join(done))
	PYTHON
}

# The first file system: busybox and the modules; run.sh adds tests/vm/initrd to it.
make_initrd() {
	local tree=$1 from=$1/lib/modules/$2 initrd=$1/initrd.tree order=0 module
	rm -rf "$initrd"
	mkdir -p "$initrd"/{bin,modules,proc,sys,dev,root}
	cp /bin/busybox "$initrd/bin"
	while read -r module; do
		order=$((order + 1))
		cp "$from/$module" "$initrd/modules/$(printf %02d $order)-${module##*/}"
	done < <(in_order "$from/modules.dep" "${modules[@]}")
	[ $order -gt 0 ]
	(cd "$initrd" && find . | cpio -o -H newc -R 0:0 --quiet) >"$tree/initrd"
	rm -rf "$initrd"
}

# /lib/modules of the machine: run.sh puts it on its disk, modprobe finds there what the kernel asks for.
make_modules() {
	local tree=$1 version=$2 from=$1/lib/modules/$2 to=$1/on-demand/lib/modules/$2 module
	rm -rf "$tree/on-demand"
	mkdir -p "$to"
	cp "$from"/modules.{builtin,builtin.modinfo,order} "$to"
	while read -r module; do
		install -D -m 644 "$from/$module" "$to/$module"
	done < <(in_order "$from/modules.dep" "${on_demand[@]}")
	/sbin/depmod -b "$tree/on-demand" "$version"
}

# Both, if they aren't of the modules that are wanted now.
make_parts() {
	local tree=$1 version=$2 wanted="${modules[*]} / ${on_demand[*]}"
	[ ! -e "$tree/modules" ] || [ "$(cat "$tree/modules")" != "$wanted" ] || return 0
	rm -f "$tree/version" "$tree/modules"
	/sbin/depmod -b "$tree" "$version"
	make_initrd "$tree" "$version"
	make_modules "$tree" "$version"
	echo "$version" >"$tree/version"
	echo "$wanted" >"$tree/modules"
}

kernel() {
	local release=$1 tree=$cache/kernel-$2 package version site
	if [ -e "$tree/initrd" ]; then
		make_parts "$tree" "$(basename "$tree"/lib/modules/*)"
		return
	fi
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
	make_parts "$tree" "$version"
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
