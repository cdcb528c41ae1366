// packages.mjs TARGET FILE...
//
// Whether each FILE is a .vsix for the platform TARGET, VS Code's name of it:
// it says so, holds one server, which is a program for that system and
// processor, and can be executed once it is unpacked.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import yauzl from "yauzl";

/** How programs for a platform begin: where in the file, which bytes. */
const elf = (machine) => [[0, "7f454c4602"], [18, machine]];
const macho = (cpu) => [[0, "cffaedfe"], [4, cpu]];
const pe = (machine) => (file) => [[0, "4d5a"], [file.readUInt32LE(60), `50450000${machine}`]];
const programs = {
  "linux-x64": elf("3e00"), "linux-arm64": elf("b700"), "alpine-x64": elf("3e00"),
  "darwin-x64": macho("07000001"), "darwin-arm64": macho("0c000001"),
  "win32-x64": pe("6486"), "win32-arm64": pe("64aa"),
};

export async function checkPackage(target, path) {
  assert(target in programs, `${target} is none of ${Object.keys(programs).join(", ")}`);
  const { manifest, servers } = await contents(path);
  assert.equal(/ TargetPlatform="([^"]*)"/.exec(manifest)?.[1], target, "the platform that it is said to be for");
  const name = `extension/bin/juliahub-lsp${target.startsWith("win32-") ? ".exe" : ""}`;
  assert.deepEqual(servers.map((s) => s.name), [name]);
  const [{ mode, file }] = servers;
  const begins = programs[target];
  for (const [at, bytes] of typeof begins === "function" ? begins(file) : begins) {
    assert.equal(file.subarray(at, at + bytes.length / 2).toString("hex"), bytes, `${name} is no program for ${target}: its bytes at ${at}`);
  }
  assert.equal(mode & 0o111, 0o111, `${name} cannot be executed: its mode is ${mode.toString(8)}`);
}

async function contents(path) {
  const zip = await promisify(yauzl.open)(path, { lazyEntries: true, autoClose: false });
  const open = promisify(zip.openReadStream.bind(zip));
  const read = async (entry) => buffer(await open(entry));
  let manifest = "";
  const servers = [];
  try {
    await new Promise((resolve, reject) => {
      zip.on("error", reject).on("end", resolve).on("entry", (entry) => {
        const look = async () => {
          if (entry.fileName === "extension.vsixmanifest") manifest = (await read(entry)).toString();
          if (entry.fileName.startsWith("extension/bin/")) servers.push({ name: entry.fileName, mode: entry.externalFileAttributes >>> 16, file: await read(entry) });
          zip.readEntry();
        };
        look().catch(reject);
      });
      zip.readEntry();
    });
  } finally {
    zip.close();
  }
  return { manifest, servers };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [target, ...paths] = process.argv.slice(2);
  assert(target && paths.length > 0, "packages.mjs TARGET FILE...");
  for (const path of paths) await checkPackage(target, path);
}
