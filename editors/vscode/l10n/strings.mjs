// Collects the strings of the sources into bundle.l10n.json, from which
// translations are made (bundle.l10n.LANGUAGE.json). With --check it fails if
// that file is stale, or package.json and package.nls.json do not match.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const here = new URL(".", import.meta.url);
const read = (name) => readFileSync(new URL(name, here), "utf8");

const strings = new Set();
for (const name of readdirSync(new URL("../src/", here)).sort()) {
  for (const [, literal] of read(`../src/${name}`).matchAll(/l10n\.t\(\s*("(?:[^"\\]|\\.)*")/g)) strings.add(JSON.parse(literal));
  if (/l10n\.t\(\s*[^"\s]/.test(read(`../src/${name}`))) throw new Error(`${name}: l10n.t takes a string literal`);
}
const bundle = JSON.stringify(Object.fromEntries([...strings].sort().map((s) => [s, s])), undefined, 2) + "\n";

const used = new Set([...read("../package.json").matchAll(/"%([\w.]+)%"/g)].map(([, key]) => key));
const known = new Set(Object.keys(JSON.parse(read("../package.nls.json"))));
for (const key of used) if (!known.has(key)) throw new Error(`package.nls.json has no ${key}`);
for (const key of known) if (!used.has(key)) throw new Error(`package.json does not use ${key}`);

if (!process.argv.includes("--check")) writeFileSync(new URL("bundle.l10n.json", here), bundle);
else if (read("bundle.l10n.json") !== bundle) throw new Error("bundle.l10n.json is stale: npm run l10n");
