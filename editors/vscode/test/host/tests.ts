// The tests, in their order: later ones find the jobs of earlier ones.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as vscode from "vscode";
import type { Api } from "../../src/extension";
import { contextOf, type Node } from "../../src/jobsView";
import type { Job, JobState } from "../../src/protocol";
import { findServer } from "../../src/server";
import { cost, dollars, duration, groupOf, summary } from "../../src/words";

/** Nothing, or why the test could not be made. */
type Test = () => Promise<string | undefined> | string | undefined;

const simulated = !!process.env["SIMULATED"];
const root = (): vscode.Uri => {
  const folder = vscode.workspace.workspaceFolders?.[0];
  assert(folder, "a folder is open");
  return folder.uri;
};
const at = (...path: string[]): vscode.Uri => vscode.Uri.joinPath(root(), ...path);
let api: Api;

/** Waits for a condition, and returns what made it true. */
async function until<T>(what: string, condition: () => T | Promise<T>, seconds = 40): Promise<NonNullable<T>> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}; jobs: ${JSON.stringify(api.jobs.list()).slice(0, 3000)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function open(...path: string[]): Promise<vscode.TextEditor> {
  return vscode.window.showTextDocument(await vscode.workspace.openTextDocument(at(...path)));
}

async function submit(command: string, uri: vscode.Uri): Promise<string> {
  const answer = await vscode.commands.executeCommand<{ submission: string } | undefined>(command, uri);
  assert(answer?.submission, `${command} answers with a submission`);
  return answer.submission;
}

async function inState(submission: string, ...states: JobState[]): Promise<Job> {
  return until(`${submission} is ${states.join(" or ")}`, () => {
    const job = api.jobs.get(submission);
    return job && states.includes(job.state) && (job.state === "running" || job.settled) ? job : undefined;
  });
}

/** What the Jobs view shows, as indented lines. */
function shown(node?: Node, indent = ""): string {
  return api.view.getChildren(node).map((child) => {
    const item = api.view.getTreeItem(child);
    return `${indent}${typeof item.label === "string" ? item.label : ""} | ${typeof item.description === "string" ? item.description : ""}\n${shown(child, `${indent}  `)}`;
  }).join("");
}

const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

let pi: string;

export const tests: Record<string, Test> = {
  "the extension starts the server": async () => {
    const extension = vscode.extensions.getExtension<Api>("juliahub-lsp.juliahub-lsp");
    assert(extension, "the extension is there");
    await open("pi.jl");
    api = await extension.activate();
    assert.equal(api.server.state, "running", api.server.failure);
    assert.notEqual(api.server.version, "");
    return undefined;
  },

  "the manifest and the code know the same commands": async () => {
    const manifest = vscode.extensions.getExtension("juliahub-lsp.juliahub-lsp")?.packageJSON as {
      contributes: { commands: { command: string }[]; keybindings: { command: string; key: string }[]; menus: Record<string, { command?: string }[]> };
    };
    const declared = manifest.contributes.commands.map((c) => c.command).sort();
    // Every view has some commands that VS Code makes: juliahub.ui.jobs.focus and the like.
    const registered = (await vscode.commands.getCommands(true)).filter((c) => c.startsWith("juliahub.ui.") && !c.startsWith("juliahub.ui.jobs."));
    assert.deepEqual(registered.sort(), declared);
    for (const item of [...Object.values(manifest.contributes.menus).flat(), ...manifest.contributes.keybindings]) {
      if (item.command) assert(declared.includes(item.command), item.command);
    }
    // The server's own ids are other ones, and there for keys and lenses.
    assert((await vscode.commands.getCommands(true)).includes("juliahub.submitScript"));
    return undefined;
  },

  "no key of ours is taken": async () => {
    const defaults = await vscode.workspace.openTextDocument(vscode.Uri.parse("vscode://defaultsettings/keybindings.json"));
    const keys = [...defaults.getText().matchAll(/"key":\s*"([^"]+)"[\s\S]*?"command":\s*"([^"]+)"/g)];
    assert(keys.length > 500, "VS Code's keys can be read");
    const others = keys.filter(([, key, command]) => key?.startsWith("ctrl+alt+j") && !command?.startsWith("juliahub.")).map(([, key, command]) => `${key} ${command}`);
    assert.deepEqual(others, []);
    assert(keys.some(([, , command]) => command === "juliahub.ui.submitScript"));
    return undefined;
  },

  "a script goes to JuliaHub and comes back": async () => {
    pi = await submit("juliahub.ui.submitScript", at("pi.jl"));
    await until("the list shows it as running", () => shown().startsWith("Running"));
    assert.equal(api.view.tree.badge?.value, 1);
    await vscode.commands.executeCommand("juliahub.ui.showJobs");
    if (!simulated) await until("and how far it is", () => /pi\.jl \| Running \d+ %/.test(shown()));
    const job = await inState(pi, "completed");
    assert.match(shown(), /^Finished Today[^]*\n {2}pi\.jl \| Completed · \d+ s/);
    assert.equal(api.view.tree.badge, undefined);
    await until("the file says so", () => vscode.languages.getDiagnostics(at("pi.jl")).find((d) => d.message.includes(job.job ?? "")));
    const lenses = await until("the lens says so", async () => {
      const all = await vscode.commands.executeCommand<vscode.CodeLens[]>("vscode.executeCodeLensProvider", at("pi.jl"), 100);
      return all.some((l) => l.command?.title.includes("Completed")) ? all : undefined;
    });
    assert.equal(lenses[0]?.command?.command, "juliahub.submitScript");
    return undefined;
  },

  "the lens's own command shows the log": async () => {
    await vscode.commands.executeCommand("juliahub.logs", { submission: pi });
    const editor = await until("the log is shown", () => {
      const active = vscode.window.activeTextEditor;
      return active?.document.uri.scheme === "juliahub" && active.document.getText().includes(simulated ? "SIMULATED" : "π is about 3.14") ? active : undefined;
    });
    assert.equal(editor.document.languageId, "log");
    const before = editor.document.getText();
    await editor.edit((e) => e.insert(new vscode.Position(0, 0), "x")).then(undefined, () => false);
    assert.equal(editor.document.getText(), before, "it cannot be edited");
    return undefined;
  },

  "results are downloaded and opened": async () => {
    await open("pi.jl");
    await vscode.commands.executeCommand("juliahub.ui.downloadResults");
    const job = api.jobs.get(pi);
    assert(job?.job);
    const dir = join(root().fsPath, "juliahub-results", job.job);
    assert.notEqual(readdirSync(dir).length, 0);
    if (simulated) return undefined;
    assert.match(readFileSync(join(dir, "pi.csv"), "utf8"), /^points,estimate\n3000000,3\.14/);
    const row = await until("the list has the file", () => /pi\.csv \| .*downloaded/.exec(shown()));
    assert(row);
    // Clicking a row of the list opens the file.
    await vscode.commands.executeCommand("juliahub.ui.openFile", { type: "result", key: pi, name: "pi.csv" });
    await until("the file is open", () => vscode.window.activeTextEditor?.document.uri.path.endsWith("/pi.csv"));
    // And the outputs.
    await vscode.commands.executeCommand("juliahub.ui.openFile", { type: "outputs", key: pi });
    await until("the outputs are open", () => vscode.window.activeTextEditor?.document.getText().includes('"points": 60000000'));
    return undefined;
  },

  "a failure is marked at its line": async () => {
    if (simulated) return "what is not run does not fail";
    const editor = await open("fails.jl");
    const job = await inState(await submit("juliahub.ui.submitScript", at("fails.jl")), "failed");
    const problem = await until("the failure is marked", () =>
      vscode.languages.getDiagnostics(at("fails.jl")).find((d) => d.severity === vscode.DiagnosticSeverity.Error));
    assert.match(editor.document.lineAt(problem.range.start.line).text, /the job fails on this line/);
    assert.match(shown(), /fails\.jl \| Failed · [^]*Failed at line 6/);
    await vscode.commands.executeCommand("juliahub.ui.showJobs");
    await vscode.commands.executeCommand("juliahub.ui.goToFile", { type: "failure", key: job.submission });
    assert.equal(vscode.window.activeTextEditor?.selection.active.line, problem.range.start.line);
    return undefined;
  },

  "a project goes as an appbundle": async () => {
    await open("project", "report.jl");
    const job = await inState(await submit("juliahub.ui.submitAppBundle", at("project", "report.jl")), "completed");
    assert.equal(job.kind, "appbundle");
    await vscode.commands.executeCommand("juliahub.ui.downloadResults", { submission: job.submission });
    if (simulated) return undefined;
    assert.match(readFileSync(join(root().fsPath, "project", "juliahub-results", job.job ?? "", "report.txt"), "utf8"), /Uccle/);
    return undefined;
  },

  "what the editor shows is what runs": async () => {
    if (simulated) return "what is not run has no output";
    const editor = await open("fails.jl");
    await editor.edit((e) => e.replace(new vscode.Range(0, 0, editor.document.lineCount, 0), 'println("not on the disk")\n'));
    const job = await inState(await submit("juliahub.ui.submitScript", at("fails.jl")), "completed");
    assert.equal(job.lastLine, "not on the disk");
    await vscode.commands.executeCommand("workbench.action.files.revert");
    return undefined;
  },

  "a job that runs is followed, and stopped": async () => {
    if (simulated) return "a simulated job is over at once";
    writeFileSync(at("slow.jl").fsPath, 'for i in 1:600\n    println("line ", i)\n    flush(stdout)\n    sleep(0.1)\nend\n');
    await open("slow.jl");
    const submission = await submit("juliahub.ui.submitScript", at("slow.jl"));
    const job = await inState(submission, "running");
    assert.match(contextOf(job), /\blive\b.*\bsubmitted\b/);
    await vscode.commands.executeCommand("juliahub.ui.showLogs", { submission });
    const editor = await until("the log grows", () => {
      const active = vscode.window.activeTextEditor;
      return active?.document.uri.scheme === "juliahub" && /line 20\b/.test(active.document.getText()) ? active : undefined;
    });
    const lines = editor.document.lineCount;
    await until("and keeps growing, with its end in sight", () =>
      editor.document.lineCount > lines + 10 && (editor.visibleRanges.at(-1)?.end.line ?? 0) >= lines);
    await vscode.commands.executeCommand("juliahub.cancelJob", { submission });
    await inState(submission, "stopped");
    return undefined;
  },

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
    const list = (await vscode.commands.executeCommand("juliahub.jobs", { wait: true, show: false })) as { server: string };
    assert.doesNotMatch(list.server, /elsewhere/);
    await vscode.commands.executeCommand("notifications.clearAll");
    await config.update("server", undefined, vscode.ConfigurationTarget.Workspace);
    return undefined;
  },

  "the list takes jobs from elsewhere along": async () => {
    await vscode.commands.executeCommand("juliahub.ui.refresh");
    assert(api.jobs.list().length >= 3);
    assert.equal(new Set(api.jobs.list().map((j) => j.job)).size, api.jobs.list().length, "each job once");
    return undefined;
  },

  "a job can be taken off the list": async () => {
    await vscode.commands.executeCommand("juliahub.ui.dismiss", { submission: pi });
    await until("it is gone", () => !api.jobs.list().some((j) => j.submission === pi));
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

  "jobs are told in few words": () => {
    const now = Date.parse("2026-05-04T12:00:00Z");
    const job: Job = {
      submission: "s", state: "running", server: "", created: "2026-05-04T10:00:00Z", started: "2026-05-04T10:55:00Z",
      pricePerHour: 0.6, nodes: 2, percent: 41.7,
    };
    assert.equal(summary(job, now), "Running 41 % · 1 h 05 min · $1.30");
    assert.equal(duration(59_999), "59 s");
    assert.equal(duration(60_000), "1 min");
    assert.equal(duration(86_400_000), "24 h 00 min");
    assert.equal(dollars(0.004), "< $0.01");
    assert.equal(cost({ ...job, pricePerHour: 0 }, now), undefined);
    assert.equal(groupOf(job, now), "running");
    assert.equal(groupOf({ ...job, state: "failed", ended: "2026-05-04T11:00:00Z" }, now), "today");
    assert.equal(groupOf({ ...job, state: "completed", ended: "2026-05-01T11:00:00Z" }, now), "older");
    assert.equal(summary({ submission: "s", state: "refused", server: "", created: job.created }, now), "Not submitted");
    return undefined;
  },
};
