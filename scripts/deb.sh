#!/bin/sh
# usage: deb.sh [FOLDER]
# Builds FOLDER/lighter_VERSION_ARCHITECTURE.deb (dist without FOLDER): the executable, its unit, its configuration, completions,
# manual pages.
# The same sources give the same package, byte for byte: times are those of SOURCE_DATE_EPOCH, or of the last commit.
set -eu
cd "$(dirname "$0")/.."
umask 022
folder=${1:-dist}
mkdir -p "$folder"
version=$(node -p 'require("./package.json").version')
architecture=$(dpkg --print-architecture)
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0); fi
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
# dash runs it at an end by a signal only when the signal is caught.
trap 'exit 130' INT TERM

sh scripts/build.sh "$stage/build" >&2
tree=$stage/tree
mkdir -p "$tree/DEBIAN" "$tree/usr/bin" "$tree/usr/lib/lighter" "$tree/usr/lib/systemd/system" "$tree/etc/lighter/conf.d" \
  "$tree/usr/share/doc/lighter" "$tree/usr/share/bash-completion/completions" "$tree/usr/share/zsh/vendor-completions" \
  "$tree/usr/share/fish/vendor_completions.d" \
  "$tree/usr/share/man/man1" "$tree/usr/share/man/man8"
install -m 0755 "$stage/build/lighter" "$tree/usr/lib/lighter/lighter"
# Each is looked for beside the executable.
for name in lighterd containerd-shim-lighter-v2; do ln -s lighter "$tree/usr/lib/lighter/$name"; done
for name in lighter lighterd containerd-shim-lighter-v2; do ln -s "../lib/lighter/$name" "$tree/usr/bin/$name"; done
install -m 0644 packaging/lighter.service packaging/lighter.socket "$tree/usr/lib/systemd/system/"
install -m 0644 packaging/config.toml "$tree/etc/lighter/config.toml"
"$stage/build/lighter" completion bash >"$tree/usr/share/bash-completion/completions/lighter"
"$stage/build/lighter" completion zsh >"$tree/usr/share/zsh/vendor-completions/_lighter"
"$stage/build/lighter" completion fish >"$tree/usr/share/fish/vendor_completions.d/lighter.fish"
for page in lighter.1 lighterd.8; do
  "$stage/build/lighter" help --man "$page" | gzip -9nc >"$tree/usr/share/man/man${page##*.}/$page.gz"
done
install -m 0644 LICENSE "$tree/usr/share/doc/lighter/copyright"
gzip -9nc CHANGELOG.md >"$tree/usr/share/doc/lighter/changelog.gz"

for script in postinst prerm postrm; do install -m 0755 "packaging/$script" "$tree/DEBIAN/$script"; done
echo /etc/lighter/config.toml >"$tree/DEBIAN/conffiles"
(cd "$tree" && find etc usr -type f | sort | xargs md5sum >DEBIAN/md5sums)
cat >"$tree/DEBIAN/control" <<END
Package: lighter
Version: $version
Architecture: $architecture
Maintainer: lighter <lighter@localhost>
Installed-Size: $(du -sk --apparent-size "$tree/usr" | cut -f1)
Depends: libc6, crun | runc
Suggests: criu, containernetworking-plugins
Section: admin
Priority: optional
Description: light, crash-proof container daemon
 Runs containers for ctr, nerdctl, dockerd, buildkit and kubelet, in the place
 of containerd and with its interfaces, and for people with its own command.
 One process looks after all containers; they go on when the daemon stops,
 dies, or is upgraded.
END
find "$tree" -depth -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=$folder/lighter_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zgzip -z6 --build "$tree" "$package" >&2
echo "$package"
