// Bundles the extension into one file, dist/extension.js; with --tests also its
// tests, dist/tests.js, which run inside the extension host.
import { build } from "esbuild";

const minify = process.argv.includes("--minify");
const entries = { extension: "src/extension.ts" };
if (process.argv.includes("--tests")) entries.tests = "test/host/index.ts";

await build({
  entryPoints: entries,
  outdir: "dist",
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  external: ["vscode"],
  minify,
  sourcemap: minify ? false : "linked",
  logLevel: "warning",
});
