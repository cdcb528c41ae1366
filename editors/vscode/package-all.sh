#!/usr/bin/env bash
# package-all.sh [DEST]
#
# A .vsix for each platform, with the server built for it, in DEST (default
# dist/ of the repository), each one checked. VS Code's marketplace gives each
# machine its own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dest=${1:-$root/dist}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
cd "$here"

if [ ! -e node_modules/.package-lock.json ]; then npm ci --no-fund --no-audit >&2; fi
trap 'rm -rf bin' EXIT # or the next package has another platform's server

# VS Code's name of the platform, Go's system and architecture.
while read -r target goos goarch; do
    rm -rf bin
    name=juliahub-lsp
    if [ "$goos" = windows ]; then name=juliahub-lsp.exe; fi
    CGO_ENABLED=0 GOOS=$goos GOARCH=$goarch make --no-print-directory -C "$root" build BIN="$here/bin/$name" </dev/null
    vsix=$dest/juliahub-lsp-$target.vsix
    npm run --silent package -- --target "$target" --out "$vsix" </dev/null
    node test/packages.mjs "$target" "$vsix"
done <<EOF
linux-x64 linux amd64
linux-arm64 linux arm64
alpine-x64 linux amd64
darwin-x64 darwin amd64
darwin-arm64 darwin arm64
win32-x64 windows amd64
win32-arm64 windows arm64
EOF
