#!/usr/bin/env bash
# package-all.sh [DEST]
#
# A .vsix for each platform, with the server built for it, in DEST (default
# dist/ of the repository). VS Code's marketplace gives each machine its own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dest=${1:-$root/dist}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
cd "$here"

# VS Code's name of the platform, Go's system and architecture.
while read -r target goos goarch; do
    rm -rf bin
    mkdir bin
    name=juliahub-lsp
    if [ "$goos" = windows ]; then name=juliahub-lsp.exe; fi
    (cd "$root" && CGO_ENABLED=0 GOOS=$goos GOARCH=$goarch go build -trimpath -ldflags '-s -w' -o "$here/bin/$name" ./cmd/juliahub-lsp </dev/null)
    npm run --silent package -- --target "$target" --out "$dest/juliahub-lsp-$target.vsix" </dev/null
done <<EOF
linux-x64 linux amd64
linux-arm64 linux arm64
alpine-x64 linux amd64
darwin-x64 darwin amd64
darwin-arm64 darwin arm64
win32-x64 windows amd64
win32-arm64 windows arm64
EOF
rm -rf bin
