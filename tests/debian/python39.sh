#!/bin/bash
# In the tree of Debian 12: Python 3.9, the oldest that the package is for, of Debian 11, and Debian 12's cffi compiled for it. The suite
# then runs in it with the package that the tree's own Python has built: that is what the stable ABI is for. 77: no Debian 11 here.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
list=/etc/apt/sources.list.d/python39.list backend=/usr/local/lib/python3.9/dist-packages
[ -x /usr/bin/python3.9 ] && compgen -G "$backend/_cffi_backend*.so" >/dev/null && exit 0
sed -n 's/ bookworm / bullseye /p' /etc/apt/sources.list.d/*bookworm.list >$list
sed -n 's/^deb \(.* bookworm .*\)/deb-src \1/p' /etc/apt/sources.list.d/*bookworm.list >>$list
apt-get update -q --error-on=any || { rm $list && exit 77; }
apt-get install -q -y --no-install-recommends python3.9 libpython3.9-dev libffi-dev python3-exceptiongroup python3-tomli dpkg-dev
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
apt-get source -q -y python-cffi
cd python-cffi-*/
python3.9 setup.py -q build --build-lib "$there/lib"
install -D -t $backend "$there"/lib/_cffi_backend*.so
cp -R "$there/lib/cffi" $backend
