// What can be checked without VS Code: the manifest against the server's tables,
// the words for people, what the package holds.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { RuleTester } from "eslint";
import { localized } from "../l10n/rule.mjs";
import { checkPackage } from "./packages.mjs";

const root = join(import.meta.dirname, "..");
const read = (...path) => readFileSync(join(root, ...path), "utf8");
const manifest = JSON.parse(read("package.json"));
const nls = JSON.parse(read("package.nls.json"));
const sources = readdirSync(join(root, "src")).map((name) => read("src", name)).join("\n");
const all = (text, pattern) => [...new Set([...text.matchAll(pattern)].map(([, found]) => found))].sort();
const rows = (text) => text.split("\n").filter((l) => l.startsWith("| `juliahub.")).map((l) => l.split("|").map((cell) => cell.trim()));

test("the ids of the extension and those of the server differ, and are known", () => {
  const server = all(read("../../docs/commands.md"), /`(juliahub\.\w+)`/g);
  assert(server.length > 15, "docs/commands.md has the server's commands");
  const ours = manifest.contributes.commands.map((c) => c.command);
  assert.equal(new Set(ours).size, ours.length);
  for (const id of ours) {
    assert.match(id, /^juliahub\.ui\.\w+$/);
    assert(!server.includes(id), id);
  }
  // What the sources call has to be there.
  for (const id of all(sources, /"(juliahub\.\w+)"/g)) assert(server.includes(id), `${id} is no command of the server`);
  const known = [...ours, ...manifest.contributes.views["juliahub-ui"].map((v) => v.id), "juliahub.ui.jobs.focus"];
  const contexts = ["juliahub.ui.state", "juliahub.ui.canSignIn", "juliahub.ui.submittedOnce", "juliahub.ui.signedIn", "juliahub.ui.status"];
  for (const id of all(sources, /"(juliahub\.ui\.[\w.]+)"/g)) assert(known.includes(id) || contexts.includes(id), `${id} is no command of ours`);
});

test("the settings are those of the server's table", () => {
  const table = rows(read("../../docs/settings.md"));
  const properties = manifest.contributes.configuration.find((c) => c.title === "JuliaHub").properties;
  assert.deepEqual(Object.keys(properties), table.map(([, name]) => name.slice(1, -1)));
  for (const [, name, , value, text] of table) {
    const property = properties[name.slice(1, -1)];
    assert.equal(nls[property.markdownDescription.slice(1, -1)], text.replaceAll("\\|", "|"));
    assert.equal(value, property.default === undefined || property.default === "" ? "" : `\`${property.default}\``);
  }
  for (const section of ["juliahub", "juliahubLsp"]) {
    const used = all(sources, new RegExp(`getConfiguration\\("${section}"\\)\\.(?:get|inspect)(?:<\\w+>)?\\("([\\w.]+)"`, "g"));
    assert(used.length > 0);
    const settings = Object.assign({}, ...manifest.contributes.configuration.map((c) => c.properties));
    for (const name of used) assert(`${section}.${name}` in settings, `${section}.${name}`);
  }
});

test("what the manifest shows is in package.nls.json", () => {
  const shown = ["displayName", "description", "markdownDescription", "title", "name", "label", "contents", "contextualTitle"];
  const walk = (value, path) => {
    if (!value || typeof value !== "object") return;
    for (const [key, inner] of Object.entries(value)) {
      if (typeof inner === "string" && shown.includes(key) && inner !== "JuliaHub") {
        assert.match(inner, /^%[\w.]+%$/, `${path}.${key}`);
        assert(nls[inner.slice(1, -1)], inner);
      }
      walk(inner, `${path}.${key}`);
    }
  };
  walk(manifest.contributes, "contributes");
  walk(manifest.capabilities, "capabilities");
  for (const key of ["displayName", "description"]) assert.match(manifest[key], /^%\w+%$/);
});

test("words for people that translators cannot reach are found", () => {
  const errors = [{ messageId: "bare" }];
  new RuleTester().run("localized", localized, {
    valid: [
      'l10n.t("Stop {0}?", name)', 'window.showErrorMessage(l10n.t("Nothing here"))', 'output.info("The server started")', 'this.output.warn(`no list: ${e}`)',
      'commands.executeCommand("workbench.action.files.save")', 'const id = "juliahub.ui.jobs"', 'import x from "Two Words"', "const parts = `${a}-${b}`",
    ],
    invalid: [
      { code: 'window.showErrorMessage("Nothing here")', errors }, { code: 'item.tooltip = "Running"', errors },
      { code: "item.text = `running ${n}`", errors }, { code: 'throw new Error("there is no job")', errors },
      { code: 'const items = [{ label: "As Script" }]', errors },
    ],
  });
});

test("files and icons that the manifest names are there", () => {
  for (const path of all(read("package.json"), /"(media\/[\w.-]+)"/g)) assert(existsSync(join(root, path)), path);
  const icons = [...all(read("package.json"), /"\$\(([\w-]+)\)"/g), ...all(sources, /ThemeIcon\("([\w-]+)/g), ...all(sources, /\$\(([a-z][\w-]*)(?:~spin)?\)/g)];
  assert(icons.length > 20);
  const workbench = readFileSync(join(process.env.VSCODE, "node_modules/code-server/lib/vscode/out/vs/code/browser/workbench/workbench.js"), "utf8");
  for (const icon of new Set(icons)) assert(new RegExp(`["'\`]${icon}["'\`],\\s*\\d+`).test(workbench), `VS Code has no icon ${icon}`);
});

test("the package holds what it needs, and nothing else", () => {
  const listed = execFileSync(process.execPath, [join(root, "node_modules/@vscode/vsce/vsce"), "ls", "--no-dependencies"], { cwd: root, encoding: "utf8" });
  const files = listed.trim().split("\n").filter((f) => !/^images\/vscode-\w+\.png$/.test(f)).sort();
  assert.deepEqual(files, [
    "CHANGELOG.md", "LICENSE", "README.md", "bin/juliahub-lsp", "dist/extension.js", "l10n/bundle.l10n.json", "media/icon.png", "media/jobs.svg",
    "media/walk-jobs.md", "media/walk-project.md", "media/walk-server.md", "media/walk-signin.md", "media/walk-submit.md",
    "package.json", "package.nls.json",
  ]);
  const readme = read("dist/README.md");
  for (const image of all(readme, /\]\(([^)]+\.png)\)/g)) assert(existsSync(join(root, image)), image);
  assert(!readme.includes("../"), "the README of the package leads out of it");
});

test("the package is for one platform, and its server can be executed there", async () => {
  const path = join(root, "dist/juliahub-lsp.vsix");
  await checkPackage("linux-x64", path);
  await assert.rejects(checkPackage("darwin-arm64", path));
});
