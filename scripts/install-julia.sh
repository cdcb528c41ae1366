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

trap 'rm -rf "$prefix.part"' EXIT
rm -rf "$prefix.part"
say "fetching Julia 1.5.3 and its libraries (80 MB)"
# The system's own C library and compiler runtime serve, and are newer.
scripts/debroot.sh --without libc6,libstdc++6,libgcc-s1,gcc-10-base,dpkg,tar,perl-base,debconf,libcrypt1,libselinux1,libacl1 \
    bullseye "$prefix.part" julia ||
    die "Julia could not be fetched: is the network there, and bullseye still on this system's mirror?"
libs=$prefix.part/usr/lib/x86_64-linux-gnu
rm -rf "$prefix.part"/usr/share/{doc,man,lintian,locale,info}

# The libraries find each other wherever the directory stands.
# shellcheck disable=SC2016 # $ORIGIN is the loader's
rpath='$ORIGIN:$ORIGIN/..'
find "$libs" -maxdepth 1 -type f -name '*.so*' ! -name 'libjulia.so*' -exec patchelf --set-rpath "$rpath" {} \;
find "$libs/julia" -maxdepth 1 -type f -name 'lib*.so*' -exec patchelf --set-rpath "$rpath" {} \;

rm -rf "$prefix"
mv "$prefix.part" "$prefix"
# libgit2 needs the most of the other libraries.
"$julia" --startup-file=no -e 'using LibGit2; LibGit2.ensure_initialized(); exit(VERSION < v"1.5" ? 1 : 0)' || die "the unpacked Julia does not run"
touch "$prefix/complete"
echo "Julia is at $julia"
