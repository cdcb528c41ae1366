#!/usr/bin/env bash
# install-helix.sh [DEST]
#
# Puts Debian testing's Helix under DEST (default .cache/helix), and its tmux,
# the terminal in which tests drive it: Helix runs in nothing else. The system
# is not touched but for patchelf. Does nothing when both already run. Prints
# DEST: bin/hx and bin/tmux are in it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=${1:-$here/../.cache/helix}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
suite=testing
oldest=25.01 # several language servers for a language, and showDocument

# One installation at a time, also when two checkouts' tests share the cache.
exec 9> "$dest.lock"
flock 9

# An unpacked tree does not survive being moved (its loader's path is absolute):
# then the executables do not run, and it is unpacked again.
runs() {
  [ -x "$dest/bin/hx" ] && "$dest/bin/hx" --version >/dev/null 2>&1 &&
    [ -x "$dest/bin/tmux" ] && "$dest/bin/tmux" -V >/dev/null 2>&1
}

if ! runs; then
  if ! command -v patchelf >/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "install-helix: install patchelf first (apt-get install patchelf)" >&2; exit 1; }
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends patchelf >/dev/null
  fi
  rm -rf "$dest"
  "$here/debroot.sh" "$suite" "$dest" hx tmux >&2
  lib=$(dirname "$(find "$dest/usr/lib" -name 'libc.so.6' | head -n 1)")
  loader=$(find "$lib/" "$dest/usr/lib64/" -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
  # Their own loader and library path, and not LD_LIBRARY_PATH: what Helix starts
  # (the language server) must go on using this system's libraries.
  for program in hx tmux; do
    patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$lib" "$(realpath "$dest/usr/bin/$program")"
  done
fi

version=$("$dest/bin/hx" --version | sed -n '1s/^helix \([0-9.]*\).*/\1/p')
if [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1)" != "$oldest" ]; then
  echo "install-helix: got Helix $version, the tests need $oldest or newer" >&2
  exit 1
fi
echo "Helix $version, $("$dest/bin/tmux" -V)" >&2
echo "$dest"
