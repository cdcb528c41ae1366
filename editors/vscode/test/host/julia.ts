// What the Julia extension knows is the default: its environment, its package server.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import * as vscode from "vscode";
import { api, at, inState, open, simulated, submit, type Test, until, withEnvironment } from "./helpers";

/** What the stand-in of session.mjs exports. */
interface StandIn {
  answers: { environment: string; server: string };
  getEnvironment: () => Promise<string>;
  getPkgServer: () => string | undefined;
}

/** Does work while the Julia extension runs, and answers as given. */
async function answers(given: Partial<StandIn["answers"]>, work: (julia: StandIn) => Promise<void>): Promise<void> {
  const extension = vscode.extensions.getExtension<StandIn>("julialang.language-julia");
  assert(extension, "the stand-in is installed");
  const julia = await extension.activate();
  const before = { ...julia.answers };
  Object.assign(julia.answers, given);
  try {
    await work(julia);
  } finally {
    Object.assign(julia.answers, before);
  }
}

/** Does work after a restart without JULIA_PKG_SERVER, and restarts with it again. */
async function withoutServer(work: () => Promise<void>): Promise<void> {
  try {
    await withEnvironment({ JULIA_PKG_SERVER: undefined }, work);
  } finally {
    await api.server.restart();
    await until("the sign-in is known", () => api.account.status?.signedIn);
  }
}

/** The server that jobs go to once the language server was started anew. */
async function serverAfterRestart(): Promise<string> {
  await api.server.restart();
  return until("the server is told", () => api.account.status?.server);
}

const hub = process.env["JULIA_PKG_SERVER"] ?? "";

export const julia: Record<string, Test> = {
  "a script goes with the environment that was chosen in the Julia extension": async () => {
    mkdirSync(at("chosen").fsPath);
    writeFileSync(at("chosen", "Project.toml").fsPath, 'name = "Chosen"\nuuid = "5b9b1c8e-2f0a-4f0e-9d55-3f6f8f7c2a10"\n');
    const uri = at("environment.jl");
    writeFileSync(uri.fsPath, 'println(read(Base.active_project(), String) |> text -> match(r"name = \\"(\\w+)\\"", text)[1])\n');
    await open("environment.jl");
    const environment = async (): Promise<string | undefined> =>
      (await vscode.commands.executeCommand<{ environment?: string }>("juliahub.previewJob", { uri: uri.toString(), show: false })).environment;
    assert.equal(await environment(), undefined, "no project is around it");
    await answers({ environment: `${at("chosen").fsPath}/` }, async (extension) => {
      assert.equal(await environment(), at("chosen").fsPath);
      const job = await inState(await submit("juliahub.ui.submitScript", uri), "completed");
      if (!simulated) assert.equal(job.lastLine, "Chosen");
      // What cannot be used, or fails, changes nothing.
      extension.answers.environment = at("nowhere").fsPath;
      assert.equal(await environment(), undefined);
      const asked = extension.getEnvironment;
      extension.getEnvironment = () => Promise.reject(new Error("there is no Julia"));
      assert.equal(await environment(), undefined);
      extension.getEnvironment = asked;
    });
    return undefined;
  },

  "jobs go to the package server that the Julia extension names": async () => {
    await answers({ server: ` ${hub} ` }, () => withoutServer(async () => {
      assert.equal(await serverAfterRestart(), hub);
      const job = await inState(await submit("juliahub.ui.submitScript", at("profiled", "job.jl")), "completed");
      assert.equal(job.server, hub);
    }));
    // What was set for Julia itself counts more.
    await answers({ server: "http://127.0.0.1:9" }, async () => assert.equal(await serverAfterRestart(), hub));
    return undefined;
  },

  "a workspace does not choose the server by the Julia extension's setting": async () => {
    const config = (folder?: vscode.Uri): vscode.WorkspaceConfiguration => vscode.workspace.getConfiguration("julia", folder);
    const theirs = "http://127.0.0.1:9";
    const last = vscode.workspace.workspaceFolders?.at(-1)?.uri;
    assert(last);
    await config().update("packageServer", hub, vscode.ConfigurationTarget.Global);
    try {
      for (const [target, folder] of [[vscode.ConfigurationTarget.Workspace, undefined], [vscode.ConfigurationTarget.WorkspaceFolder, last]] as const) {
        await config(folder).update("packageServer", theirs, target);
        assert.equal(config(folder).get("packageServer"), theirs);
        await answers({ server: theirs }, () => withoutServer(async () => assert.equal(await serverAfterRestart(), hub)));
        await config(folder).update("packageServer", undefined, target);
      }
      // Nor does an extension that fails take the user's own setting away.
      await answers({}, async (extension) => {
        const asked = extension.getPkgServer;
        extension.getPkgServer = () => {
          throw new Error("not started");
        };
        await withoutServer(async () => assert.equal(await serverAfterRestart(), hub));
        extension.getPkgServer = asked;
      });
    } finally {
      await config().update("packageServer", undefined, vscode.ConfigurationTarget.Global);
    }
    return undefined;
  },
};
