#!/bin/bash
# Unpacks Debian bullseye's Julia 1.5.3 below a directory of the project, by
# default .cache/julia: for `make test` and the demo, where no Julia is installed.
# Nothing is installed on the host but patchelf, if it is missing. apt works with
# a state of its own, so the host's package lists and sources stay as they are.
# A Julia that is there already is left alone.
#
#   scripts/install-julia.sh [PREFIX]    gives PREFIX/usr/bin/julia
#
# Needs: Linux x86-64 with apt and dpkg (Debian 12 or the like).
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${1:-.cache/julia}
mkdir -p "$(dirname "$prefix")"
prefix=$(cd "$(dirname "$prefix")" && pwd)/$(basename "$prefix")
julia=$prefix/usr/bin/julia

if [ -x "$julia" ] && [ -e "$prefix/complete" ]; then
    echo "Julia is at $julia"
    exit 0
fi

say() { echo "install-julia: $*" >&2; }
die() { say "$*"; exit 1; }

[ "$(uname -sm)" = "Linux x86_64" ] || die "Debian's Julia runs on Linux x86-64 alone; install one from julialang.org instead"
for tool in apt-get dpkg; do
    command -v "$tool" >/dev/null || die "$tool is missing: install Julia from julialang.org instead"
done

# One installation at a time; the second finds the first one's work.
exec 9>"$prefix.lock"
flock 9
if [ -e "$prefix/complete" ]; then
    echo "Julia is at $julia"
    exit 0
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
if ! command -v patchelf >/dev/null; then
    # A fresh system has no package lists yet.
    { as_root apt-get -qq -o DPkg::Lock::Timeout=300 update &&
        as_root apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends patchelf; } >/dev/null ||
        die "patchelf is missing and could not be installed: apt-get install patchelf"
fi

# The mirror that this system's apt already uses.
sources() {
    { cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } | awk '/^URIs:/ { print $2; exit }'
    { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
        awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }'
}
mirror=$(sources)
mirror=${mirror%%$'\n'*}
[ -n "$mirror" ] || die "this system's apt has no sources to take Julia from"
mirror=${mirror%/}

work=$prefix.apt
trap 'rm -rf "$work" "$prefix.part"' EXIT
rm -rf "$work" "$prefix.part"
mkdir -p "$work"/{state/lists/partial,cache/archives/partial,parts} "$prefix.part"
: >"$work/status"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in "$mirror bullseye" "$mirror-security bullseye-security"; do
    echo "deb [signed-by=$keyring] $suite main"
done >"$work/sources.list"
cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/parts";
Dir::Etc::preferencesparts "$work/parts";
Dir::Etc::preferences "$work/none";
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
APT::Architectures "amd64";
APT::Sandbox::User "";
Acquire::Languages "none";
CONF

# apt's own messages name the mirror: they go to a file that is thrown away.
say "fetching Julia 1.5.3 and its libraries (80 MB)"
apt() { APT_CONFIG=$work/apt.conf apt-get -qq "$@" >>"$work/log" 2>&1; }
apt update || die "apt could not read bullseye's package lists: is the network there, and bullseye still on the mirror?"
# An empty dpkg status makes apt bring all that Julia depends on.
apt install -y --no-install-recommends --download-only julia || die "apt could not fetch Julia: is bullseye still on the mirror?"

say "unpacking"
for deb in "$work"/cache/archives/*.deb; do
    case $(basename "$deb") in
        # These are the host's own, and newer.
        libc6_* | libstdc++6_* | libgcc-s1_* | gcc-10-base_* | dpkg_* | tar_* | perl-base_* | debconf_* | libcrypt1_* | libselinux1_* | libacl1_*) ;;
        *) dpkg -x "$deb" "$prefix.part" ;;
    esac
done
libs=$prefix.part/usr/lib/x86_64-linux-gnu
if [ -d "$prefix.part/lib/x86_64-linux-gnu" ]; then
    cp -a "$prefix.part"/lib/x86_64-linux-gnu/. "$libs"/
    rm -rf "$prefix.part/lib"
fi
rm -rf "$prefix.part"/usr/share/{doc,man,lintian,locale,info}

# The libraries find each other wherever the directory stands.
# shellcheck disable=SC2016 # $ORIGIN is the loader's
rpath='$ORIGIN:$ORIGIN/..'
find "$libs" -maxdepth 1 -type f -name '*.so*' ! -name 'libjulia.so*' -exec patchelf --set-rpath "$rpath" {} \;
find "$libs/julia" -maxdepth 1 -type f -name 'lib*.so*' -exec patchelf --set-rpath "$rpath" {} \;

rm -rf "$prefix"
mv "$prefix.part" "$prefix"
"$julia" --startup-file=no -e 'exit(VERSION < v"1.5" ? 1 : 0)' || die "the unpacked Julia does not run"
touch "$prefix/complete"
echo "Julia is at $julia"
