#!/usr/bin/env bash
# install-emacs.sh [DEST]
#
# Puts Debian 13's Emacs (30, without windows; eglot is part of it) under DEST
# (default .cache/emacs), beside the system, which is not touched but for
# patchelf. Does nothing when DEST/bin/emacs already runs. Prints the path of
# the executable.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=${1:-$here/../.cache/emacs}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
suite=trixie
oldest=29.1 # eglot came with it

# One installation at a time, also when two checkouts' tests share the cache.
exec 9> "$dest.lock"
flock 9

# An unpacked tree does not survive being moved (its loader's path is absolute):
# then the executable does not run, and it is unpacked again.
runs() { [ -x "$dest/bin/emacs" ] && "$dest/bin/emacs" --version >/dev/null 2>&1; }

if ! runs; then
  if ! command -v patchelf >/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "install-emacs: install patchelf first (apt-get install patchelf)" >&2; exit 1; }
    apt-get -qq -o DPkg::Lock::Timeout=300 update
    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends patchelf >/dev/null
  fi
  rm -rf "$dest"
  "$here/debroot.sh" "$suite" "$dest" emacs-nox >&2
  lib=$(dirname "$(find "$dest/usr/lib" -name 'libc.so.6' | head -n 1)")
  loader=$(find "$lib/" "$dest/usr/lib64/" -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
  # Its own loader and library path, and not LD_LIBRARY_PATH: what Emacs starts
  # (the language server) must go on using this system's libraries.
  patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$lib" "$dest/usr/bin/emacs-nox"
  # What compiling Lisp to machine code needs, two thirds of it all: the byte code does.
  rm -rf "$dest"/usr/lib/gcc "$dest"/usr/libexec/gcc "$dest"/usr/share/{doc,man,info,locale}
  version=$(find "$dest/usr/share/emacs" -mindepth 1 -maxdepth 1 -name '[0-9]*' -printf '%f\n' | sort -V | tail -n 1)
  # Debian's Emacs knows its files by absolute paths.
  cat > "$dest/bin/emacs" <<SH
#!/bin/sh
share=$dest/usr/share/emacs/$version
exec=\$(echo "$dest/usr/libexec/emacs/$version/"*)
EMACSLOADPATH=\$share/lisp EMACSDATA=\$share/etc EMACSDOC=\$share/etc EMACSPATH=\$exec \\
exec "$dest/usr/bin/emacs-nox" --dump-file="\$(echo "\$exec"/emacs-*.pdmp)" \\
  --eval '(setq native-comp-jit-compilation nil native-comp-enable-subr-trampolines nil)' "\$@"
SH
  chmod +x "$dest/bin/emacs"
fi

version=$("$dest/bin/emacs" --version | sed -n '1s/^GNU Emacs \([0-9.]*\).*/\1/p')
if [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1)" != "$oldest" ]; then
  echo "install-emacs: got Emacs $version, the tests need $oldest or newer" >&2
  exit 1
fi
echo "Emacs $version" >&2
echo "$dest/bin/emacs"
