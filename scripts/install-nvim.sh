#!/usr/bin/env bash
# install-nvim.sh [DEST]
#
# Puts Debian testing's Neovim under DEST (default .cache/nvim), beside the
# system, which is not touched but for patchelf. Does nothing when DEST/bin/nvim
# already runs. Prints the path of the executable.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=${1:-$here/../.cache/nvim}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
suite=testing
oldest=0.11.0 # vim.lsp.config and vim.lsp.enable came with it

# One installation at a time, also when two checkouts' tests share the cache.
exec 9> "$dest.lock"
flock 9

# An unpacked tree does not survive being moved (its loader's path is absolute):
# then the executable does not run, and it is unpacked again.
runs() { [ -x "$dest/bin/nvim" ] && "$dest/bin/nvim" --version >/dev/null 2>&1; }

if ! runs; then
  if ! command -v patchelf >/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "install-nvim: install patchelf first (apt-get install patchelf)" >&2; exit 1; }
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends patchelf >/dev/null
  fi
  rm -rf "$dest"
  "$here/debroot.sh" "$suite" "$dest" neovim >&2
  lib=$(dirname "$(find "$dest/usr/lib" -name 'libc.so.6' | head -n 1)")
  loader=$(find "$lib/" "$dest/usr/lib64/" -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
  # Its own loader and library path, and not LD_LIBRARY_PATH: what Neovim starts
  # (the language server) must go on using this system's libraries.
  patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$lib" "$dest/usr/bin/nvim"
fi

version=$("$dest/bin/nvim" --version | sed -n '1s/^NVIM v\([0-9.]*\).*/\1/p')
if [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1)" != "$oldest" ]; then
  echo "install-nvim: got Neovim $version, the tests need $oldest or newer" >&2
  exit 1
fi
echo "Neovim $version" >&2
echo "$dest/bin/nvim"
