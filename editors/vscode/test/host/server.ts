// The server's process: found, started, hung, crashed, replaced, shared.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as vscode from "vscode";
import { findServer } from "../../src/server";
import { alive, answering, api, at, inState, open, root, submit, type Test, until } from "./helpers";
import { pi } from "./jobs";

export const server: Record<string, Test> = {
  "a server that hangs is replaced": async () => {
    const pid = api.server.pid;
    assert(pid);
    process.kill(pid, "SIGSTOP");
    await vscode.commands.executeCommand("juliahub.ui.restart");
    assert.equal(api.server.state, "running", api.server.failure);
    assert.notEqual(api.server.pid, pid);
    await until("the old one is gone", () => !alive(pid));
    await until("its jobs are known", () => api.jobs.get(pi));
    return undefined;
  },

  "a server that crashes comes back, and its job goes on": async () => {
    const editor = await open("pi.jl");
    await editor.edit((e) => e.insert(new vscode.Position(0, 0), "# again\n")); // or it would join the job from before
    const submission = await submit("juliahub.ui.submitScript", at("pi.jl"));
    await until("the job is known", () => api.jobs.get(submission)?.job);
    const pid = api.server.pid;
    assert(pid);
    process.kill(pid, "SIGKILL");
    await until("another runs", () => api.server.state === "running" && api.server.pid !== pid);
    await inState(submission, "completed");
    assert((await vscode.commands.getCommands(true)).includes("juliahub.submitScript"));
    await vscode.commands.executeCommand("workbench.action.files.revert");
    return undefined;
  },

  "a server that keeps crashing is left alone until it is asked for": async () => {
    await vscode.commands.executeCommand("juliahub.ui.restart");
    for (let i = 0; i < 5; i++) {
      const pid = await until("a server runs", () => (api.server.state === "running" ? api.server.pid : undefined));
      process.kill(pid, "SIGKILL");
      await until("its end was seen", () => api.server.state === "failed" || api.server.pid !== pid);
    }
    await until("it is given up", () => api.server.state === "failed");
    assert.match(api.server.failure, /crashed 5 times/);
    await vscode.commands.executeCommand("notifications.clearAll");
    await vscode.commands.executeCommand("juliahub.ui.restart");
    assert.equal(api.server.state, "running", api.server.failure);
    return undefined;
  },

  "another extension may own a command": async () => {
    await api.server.stop();
    const other = vscode.commands.registerCommand("juliahub.nodes", () => "theirs");
    await api.server.start();
    assert.equal(api.server.state, "running", api.server.failure);
    assert.equal(await vscode.commands.executeCommand("juliahub.nodes"), "theirs");
    assert((await vscode.commands.getCommands(true)).includes("juliahub.submitScript"));
    other.dispose();
    await api.server.restart();
    return undefined;
  },

  "restarts do not pile up": async () => {
    await Promise.all([api.server.restart(), api.server.restart(), api.server.restart()]);
    assert.equal(api.server.state, "running", api.server.failure);
    return undefined;
  },

  "a server of the workspace waits for a yes": async () => {
    const config = vscode.workspace.getConfiguration("juliahub");
    await config.update("server", "https://elsewhere.example", vscode.ConfigurationTarget.Workspace);
    const list = await vscode.commands.executeCommand<{ server: string }>("juliahub.jobs", { wait: true, show: false });
    assert.doesNotMatch(list.server, /elsewhere/);
    await vscode.commands.executeCommand("notifications.clearAll");
    await config.update("server", undefined, vscode.ConfigurationTarget.Workspace);
    return undefined;
  },

  "the server is looked for where it is set, on the PATH, beside the extension": async () => {
    const name = process.platform === "win32" ? "juliahub-lsp.exe" : "juliahub-lsp";
    const dir = mkdtempSync(join(tmpdir(), "juliahub-find-"));
    const context = { asAbsolutePath: (path: string) => join(dir, "extension", path) } as vscode.ExtensionContext;
    const place = (...path: string[]): string => {
      const file = join(dir, ...path, name);
      mkdirSync(join(file, ".."), { recursive: true });
      writeFileSync(file, "", { mode: 0o755 });
      return file;
    };
    const set = vscode.workspace.getConfiguration("juliahubLsp").get<string>("path", "");
    assert.equal(await findServer(context, set), set);
    await assert.rejects(findServer(context, join(dir, "nothing")), /not an executable file/);
    const PATH = process.env["PATH"];
    try {
      process.env["PATH"] = join(dir, "path");
      await assert.rejects(findServer(context, ""), /was not found/);
      const bundled = place("extension", "bin");
      assert.equal(await findServer(context, ""), bundled);
      const onPath = place("path");
      assert.equal(await findServer(context, ""), onPath);
    } finally {
      process.env["PATH"] = PATH;
      rmSync(dir, { recursive: true });
    }
    return undefined;
  },

  "a path that leads nowhere is said, with what can be done": async () => {
    const config = vscode.workspace.getConfiguration("juliahubLsp");
    const before = config.inspect<string>("path")?.globalValue;
    const wrong = at("pi.jl").fsPath;
    let offered: string[] = [], said = "";
    await answering({
      message: (text, choices) => {
        [said, offered] = [text, choices];
        return "Set Path";
      },
    }, async () => {
      await config.update("path", wrong, vscode.ConfigurationTarget.Global);
      await until("it is said", () => said);
    });
    assert.equal(said, `The setting juliahubLsp.path names ${wrong}, which is not an executable file.`);
    assert.deepEqual(offered, ["Restart", "Set Path", "Show Output"]);
    assert.equal(api.server.state, "failed");
    assert.match(api.statusBar.item.text, /^\$\(error\) /);
    await until("the setting is shown", () => vscode.window.tabGroups.activeTabGroup.activeTab?.label === "Settings");
    // No command hangs or hides why it cannot work.
    said = "";
    await answering({ message: (text) => void (said = text) }, () => vscode.commands.executeCommand("juliahub.ui.submitScript", at("pi.jl")));
    assert.match(said, /not an executable file/);
    await config.update("path", before, vscode.ConfigurationTarget.Global);
    await until("the server is back", () => api.server.state === "running");
    return undefined;
  },

  "one client has all folders, also those that come later": async () => {
    const folders = vscode.workspace.workspaceFolders ?? [];
    assert.deepEqual(folders.map((f) => f.name), ["weather", "more données"]);
    const pid = api.server.pid;
    assert.deepEqual(servers(), [pid]);
    const second = vscode.Uri.joinPath(folders[1]?.uri ?? root(), "here.jl");
    await vscode.window.showTextDocument(second);
    assert.equal((await inState(await submit("juliahub.ui.submitScript", second), "completed")).file, second.fsPath);
    const dir = mkdtempSync(join(tmpdir(), "juliahub third "));
    try {
      writeFileSync(join(dir, "third.jl"), 'println("third")\n');
      const come = new Promise<void>((resolve) => {
        const heard = vscode.workspace.onDidChangeWorkspaceFolders(() => {
          heard.dispose();
          resolve();
        });
      });
      assert(vscode.workspace.updateWorkspaceFolders(2, 0, { uri: vscode.Uri.file(dir) }));
      await come;
      const third = vscode.Uri.file(join(dir, "third.jl"));
      await vscode.window.showTextDocument(third);
      await inState(await submit("juliahub.ui.submitScript", third), "completed");
      assert.deepEqual(servers(), [pid]);
      await vscode.commands.executeCommand("workbench.action.closeActiveEditor");
      assert(vscode.workspace.updateWorkspaceFolders(2, 1));
    } finally {
      rmSync(dir, { recursive: true });
    }
    return undefined;
  },

  "what VS Code says of itself is what the fake editor says": async () => {
    const config = vscode.workspace.getConfiguration("juliahubLsp");
    const path = config.inspect<string>("path")?.globalValue;
    assert(path);
    const dir = mkdtempSync(join(tmpdir(), "juliahub-record-"));
    const wrapper = join(dir, "juliahub-lsp");
    writeFileSync(wrapper, `#!/bin/sh\ntee '${join(dir, "sent")}' | '${path}'\n`);
    chmodSync(wrapper, 0o755);
    const first = api.server.pid;
    await config.update("path", wrapper, vscode.ConfigurationTarget.Global);
    await until("the recorded server runs", () => api.server.state === "running" && api.server.pid !== first);
    const sent = readFileSync(join(dir, "sent"), "utf8");
    const wrapped = api.server.pid;
    await config.update("path", path, vscode.ConfigurationTarget.Global);
    await until("the server is back", () => api.server.state === "running" && api.server.pid !== wrapped);
    rmSync(dir, { recursive: true });

    const length = Number(/^Content-Length: (\d+)\r\n/.exec(sent)?.[1]);
    const body = Buffer.from(sent.slice(sent.indexOf("\r\n\r\n") + 4)).subarray(0, length).toString();
    const { method, params } = JSON.parse(body) as { method: string; params: { clientInfo: { name: string; version: string }; capabilities: object } };
    assert.equal(method, "initialize");
    const fixture = process.env["JULIAHUB_TEST_FIXTURE"] ?? "";
    if (process.env["JULIAHUB_TEST_RECORD"]) {
      const recorded = `editors/vscode/test, VS Code ${vscode.version} in a browser`;
      writeFileSync(fixture, `${JSON.stringify(sorted({ client: params.clientInfo, recorded, capabilities: params.capabilities }), undefined, 1)}\n`);
    }
    // The version may be another one; what it can do is what the server's tests rely on.
    const known = JSON.parse(readFileSync(fixture, "utf8")) as { client: { name: string }; capabilities: object };
    assert.equal(params.clientInfo.name, known.client.name);
    assert.deepEqual(params.capabilities, known.capabilities);
    return undefined;
  },

  "what the extension needs of a workspace is declared": () => {
    const manifest = vscode.extensions.getExtension("juliahub-lsp.juliahub-lsp")?.packageJSON as {
      capabilities: Record<"untrustedWorkspaces" | "virtualWorkspaces", { supported: boolean; description: string }>;
    };
    for (const kind of ["untrustedWorkspaces", "virtualWorkspaces"] as const) {
      assert.equal(manifest.capabilities[kind].supported, false);
      assert.match(manifest.capabilities[kind].description, /workspace has to/);
    }
    return undefined;
  },
};

/** The servers that this extension host has started. */
function servers(): number[] {
  const found: number[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const [, command = "", rest = ""] = /\((.*)\) (.*)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
      if (command === "juliahub-lsp" && Number(rest.split(" ")[1]) === process.pid) found.push(Number(pid));
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** An object with its keys in order, all the way down. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a.localeCompare(b)).map(([k, v]) => [k, sorted(v)]));
}
