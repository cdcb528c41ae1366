// What both kinds of tests need: an emulator, code-server with a fresh user, a
// workspace made of the repository's examples, and Chromium. Everything is
// private to the session and ended with it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const extension = join(dirname(fileURLToPath(import.meta.url)), "..");
const examples = join(extension, "../../examples");
const { SERVER, VSCODE, JULIA } = process.env;
if (!SERVER || !VSCODE) throw new Error("run this with test/run.sh");
const { chromium } = createRequire(join(VSCODE, "package.json"))("playwright-core");
const codeServer = [process.execPath, join(VSCODE, "node_modules/code-server/out/node/entry.js")];

/** Settings of a user who does not want to be asked and shown things. */
const settings = {
  "workbench.startupEditor": "none",
  "workbench.tips.enabled": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.colorTheme": "Default Dark Modern",
  "workbench.layoutControl.enabled": false,
  "workbench.reduceMotion": "on",
  "window.commandCenter": false,
  "telemetry.telemetryLevel": "off",
  "chat.disableAIFeatures": true,
  "chat.commandCenter.enabled": false,
  "extensions.autoCheckUpdates": false,
  "extensions.autoUpdate": false,
  "extensions.ignoreRecommendations": true,
  "update.mode": "none",
  "git.enabled": false,
  "remote.autoForwardPorts": false,
  "files.autoSave": "off",
  "security.workspace.trust.startupPrompt": "never",
  "security.workspace.trust.banner": "never",
  "editor.fontFamily": "'JetBrains Mono', 'DejaVu Sans Mono', monospace",
  "editor.fontLigatures": false,
  "editor.minimap.enabled": false,
  "editor.wordWrap": "on",
  "editor.guides.indentation": false,
  "editor.occurrencesHighlight": "off",
  "breadcrumbs.enabled": false,
};

/**
 * Runs work with a session, and ends all of it whatever happens. With vsix the
 * extension is installed from there; with trust workspaces have to be trusted
 * first; with julia the Julia extension has a stand-in.
 */
export async function withSession(work, { vsix, trust = false, julia = false } = {}) {
  const dir = mkdtempSync(join(tmpdir(), "jh-")); // short, because pictures show it
  const ending = [];
  try {
    await work(await open(dir, ending, vsix, trust, julia));
  } catch (error) {
    if (existsSync(join(dir, "code-server.log"))) process.stderr.write(readFileSync(join(dir, "code-server.log"), "utf8").slice(-4000));
    throw error;
  } finally {
    for (const end of ending.reverse()) await end().catch((error) => console.error(String(error)));
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function open(dir, ending, vsix, trust, julia) {
  const workspace = join(dir, "weather");
  mkdirSync(workspace);
  for (const name of ["pi.jl", "fails.jl", "project", "Greetings"]) cpSync(join(examples, name), join(workspace, name), { recursive: true });
  // Two folders, one of them with a name that has to be encoded.
  const folders = [workspace, join(dir, "more données")];
  mkdirSync(folders[1]);
  writeFileSync(join(folders[1], "here.jl"), 'println("here")\n');
  const both = join(dir, "both.code-workspace");
  writeFileSync(both, JSON.stringify({ folders: folders.map((path) => ({ path })) }));
  const user = join(dir, "user"), extensions = join(dir, "extensions"), home = join(dir, "home");
  for (const d of [join(user, "User"), join(user, "Machine"), extensions, home]) mkdirSync(d, { recursive: true });
  writeFileSync(join(user, "User/settings.json"), JSON.stringify({ ...settings, "security.workspace.trust.enabled": trust }, undefined, 2));
  if (julia) standIn(join(extensions, "julialang.language-julia-9.9.9"));
  // Installed, the extension has its server with it; under development it is told.
  if (!vsix) writeFileSync(join(user, "Machine/settings.json"), JSON.stringify({ "juliahubLsp.path": SERVER }));

  const env = {
    ...process.env, JULIAHUB_TOKEN: undefined, HOME: home, XDG_RUNTIME_DIR: dir, XDG_STATE_HOME: join(home, "state"), XDG_CACHE_HOME: join(home, "cache"),
    XDG_CONFIG_HOME: join(home, "config"), XDG_DATA_HOME: join(home, "data"), JULIA_DEPOT_PATH: join(home, "depot"),
  };
  const emulator = start([SERVER, "emulator", "--julia", JULIA || "none", "--data", join(dir, "emulator")], env, "inherit", ending);
  const [line] = await once(createInterface(emulator.stdout), "line");
  const hub = JSON.parse(line);
  if (process.env.CI && hub.simulated) throw new Error("CI has no Julia: run make julia first");
  // Signed in as by Julia's package manager.
  const auth = await fetch(`${hub.url}/emulator/auth.toml`, { method: "POST", headers: { Authorization: `Bearer ${hub.token}` } });
  if (!auth.ok) throw new Error(`no auth.toml: ${auth.status}`);
  const servers = join(env.JULIA_DEPOT_PATH, "servers", new URL(hub.url).host.replace(":", "_"));
  mkdirSync(servers, { recursive: true });
  writeFileSync(join(servers, "auth.toml"), await auth.text(), { mode: 0o600 });
  Object.assign(env, {
    JULIA_PKG_SERVER: hub.url, JULIAHUB_TEST_TOKEN: hub.token, SIMULATED: hub.simulated ? "yes" : "",
    JULIAHUB_TEST_REPORT: join(dir, "report.txt"),
    JULIAHUB_TEST_FIXTURE: join(extension, "../../lsp/lsptest/clients/vscode.json"),
  });

  const profile = ["--user-data-dir", user, "--extensions-dir", extensions];
  const log = openSync(join(dir, "code-server.log"), "a");
  if (vsix) {
    const install = spawn(codeServer[0], [codeServer[1], ...profile, "--install-extension", vsix], { env, stdio: ["ignore", log, log] });
    const [code] = await once(install, "exit");
    if (code !== 0) throw new Error(`${vsix} cannot be installed`);
  }
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  start([...codeServer, ...profile, "--auth", "none", "--bind-addr", `127.0.0.1:${port}`, "--disable-telemetry", "--disable-update-check",
    ...(trust ? [] : ["--disable-workspace-trust"]), "--disable-getting-started-override", "--vscode-option", "enable-smoke-test-driver"], env, log, ending);
  await until("code-server answers", () => fetch(`${origin}/healthz`).then((r) => r.ok, () => false));

  // Screenshots look the same wherever these fonts are.
  mkdirSync(join(home, "config/fontconfig"), { recursive: true });
  const prefer = ["system-ui", "Ubuntu", "sans-serif"].map((family) => `<match><test name="family"><string>${family}</string></test>
    <edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>`);
  writeFileSync(join(home, "config/fontconfig/fonts.conf"), `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>${prefer.join("")}</fontconfig>`);
  const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
  const context = await chromium.launchPersistentContext(join(dir, "chromium"), {
    executablePath, headless: true, env: { ...process.env, XDG_CONFIG_HOME: join(home, "config") }, viewport: { width: 1200, height: 700 }, colorScheme: "dark", reducedMotion: "reduce",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--font-render-hinting=none"],
  });
  ending.push(() => context.close());
  return { dir, workspace, both, origin, hub, context, page: context.pages()[0] ?? (await context.newPage()), simulated: hub.simulated };
}

/** The Julia extension as far as others can ask it. It says nothing until a test activates it and changes its answers. */
function standIn(dir) {
  mkdirSync(dir);
  writeFileSync(join(dir, "package.json"), JSON.stringify({
    name: "language-julia", publisher: "julialang", version: "9.9.9", engines: { vscode: "^1.91.0" }, main: "./main.js", extensionKind: ["workspace"], activationEvents: [],
    contributes: { configuration: { properties: { "julia.packageServer": { type: "string", default: "", scope: "machine-overridable" } } } },
  }));
  writeFileSync(join(dir, "main.js"), `exports.activate = () => {
    const answers = { environment: "", server: "" };
    return { version: 3, answers, getEnvironment: async () => answers.environment, getPkgServer: () => answers.server };
  };`);
}

/** Starts a process that is ended, with its children, when the session is. */
function start([command, ...args], env, stderr, ending) {
  const child = spawn(command, args, { env, stdio: ["ignore", stderr === "inherit" ? "pipe" : stderr, stderr], detached: true });
  ending.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    process.kill(-child.pid, "SIGTERM");
    const timer = setTimeout(() => process.kill(-child.pid, "SIGKILL"), 5000);
    await exited;
    clearTimeout(timer);
  });
  return child;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Waits for a condition, and returns what made it true. */
export async function until(what, condition, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
