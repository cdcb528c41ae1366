#!/usr/bin/env bash
# debroot.sh [--without PACKAGE,...] SUITE ROOT PACKAGE...
#
# Unpacks packages of another Debian suite with all that they depend on, down to
# the C library, into ROOT; --without names what is to be left out again. The
# suite's security updates are used where it has any. Nothing is installed on this
# system: apt works on a private state beside ROOT, no maintainer script runs.
# Needs apt and dpkg-deb.
set -euo pipefail
without=
if [ "${1:-}" = --without ]; then
  without=,$2,
  shift 2
fi
suite=${1:?suite} root=${2:?directory}
shift 2

# Whatever mirror this system's own apt uses, in either of apt's two formats.
mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }'
  cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
    awk '$1 == "URIs:" { print $2; exit }'
}
from=$(mirror | head -n 1)
[ -n "$from" ] || { echo "debroot: this system's apt names no mirror" >&2; exit 1; }

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f "$keyring" ] || { echo "debroot: install debian-archive-keyring first" >&2; exit 1; }

state=$root.apt
rm -rf "$state"
trap 'rm -rf "$state"' EXIT
mkdir -p "$root" "$state"/{lists,archives}/partial "$state/none"
: > "$state/status" # an empty package database: every dependency is brought along
from=${from%/}
echo "deb [signed-by=$keyring] $from $suite main" > "$state/sources.list"
if [ "$suite" != testing ]; then
  echo "deb [signed-by=$keyring] $from-security $suite-security main" >> "$state/sources.list"
fi
cat > "$state/apt.conf" <<CONF
Dir::State "$state";
Dir::State::status "$state/status";
Dir::State::lists "$state/lists";
Dir::Cache "$state";
Dir::Cache::archives "$state/archives";
Dir::Etc::parts "$state/none";
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "$state/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$state/none";
APT::Architectures "$(dpkg --print-architecture)";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Retries "3";
CONF
export APT_CONFIG=$state/apt.conf
apt-get -qq update
apt-get -qq -y --download-only install "$@" >/dev/null

# Suites with a merged /usr have these links instead of directories.
for dir in bin lib lib64 sbin; do
  [ -e "$root/$dir" ] || { mkdir -p "$root/usr/$dir"; ln -s "usr/$dir" "$root/$dir"; }
done
for deb in "$state"/archives/*.deb; do
  name=$(basename "$deb")
  # Older suites' packages still have directories of these names: dpkg-deb -x
  # would put those in the places of the links.
  case $without in *,"${name%%_*}",*) ;; *) dpkg-deb --fsys-tarfile "$deb" | tar -xpf - --keep-directory-symlink -C "$root" ;; esac
done
