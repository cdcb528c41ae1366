// Makes the .vsix: npm run package -- --out FILE [--target PLATFORM], as vsce
// takes them. The server in bin/ goes along, and the pictures of the README,
// which lie with the other docs.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

process.chdir(import.meta.dirname);
cpSync("../../LICENSE", "LICENSE");
rmSync("images", { recursive: true, force: true });
mkdirSync("images");
mkdirSync("dist", { recursive: true });
const readme = readFileSync("README.md", "utf8").replace(/\.\.\/\.\.\/docs\/images\/([\w-]+\.png)/g, (path, name) => {
  cpSync(path, `images/${name}`);
  return `images/${name}`;
});
writeFileSync("dist/README.md", readme);
const { status } = spawnSync(process.execPath, ["node_modules/@vscode/vsce/vsce", "package", "--no-dependencies", "--allow-missing-repository",
  "--no-rewrite-relative-links", "--readme-path", "dist/README.md", ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
