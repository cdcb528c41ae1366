// Signing in and out, and the item in the status bar that tells of it.

import assert from "node:assert/strict";
import * as vscode from "vscode";
import { answering, api, at, choose, inState, open, submit, type Test, until, withEnvironment } from "./helpers";

const tooltip = (): string => {
  const text = api.statusBar.item.tooltip;
  return text instanceof vscode.MarkdownString ? text.value.replaceAll("&nbsp;", " ").replaceAll("\\", "") : "";
};

/** Says yes to a sign-in, as a person does on its page. */
async function approve(url: string): Promise<void> {
  const { JULIA_PKG_SERVER: hub = "", JULIAHUB_TEST_TOKEN: token = "" } = process.env;
  assert(url.startsWith(`${hub}/auth/device`), url);
  const code = new URL(url).searchParams.get("user_code");
  const answer = await fetch(`${hub}/emulator/approve`, {
    method: "POST", headers: { Authorization: `Bearer ${token}` }, body: JSON.stringify({ user_code: code }),
  });
  assert(answer.ok, await answer.text());
}

export const account: Record<string, Test> = {
  "the status bar says who is signed in, and what runs": async () => {
    await open("pi.jl");
    const host = new URL(process.env["JULIA_PKG_SERVER"] ?? "").host;
    const user = await until("the person is known", () => api.account.status?.user);
    await until("nothing runs", () => api.jobs.live().length === 0);
    assert.equal(api.statusBar.item.text, `$(cloud) ${user}`);
    assert(tooltip().includes(`Signed in to ${host} as ${user}`), tooltip());
    assert(tooltip().includes(`juliahub-lsp ${api.server.version}`), tooltip());
    const submission = await submit("juliahub.ui.submitScript", at("profiled", "job.jl"));
    await until("a job runs", () => api.statusBar.item.text === `$(sync~spin) ${user} · 1 job`);
    assert(tooltip().includes("job.jl: "), tooltip());
    await inState(submission, "completed");
    await until("none runs", () => api.statusBar.item.text === `$(cloud) ${user}`);
    return undefined;
  },

  "a click on it offers all that can be done": async () => {
    await open("profiled", "job.jl");
    let entries: string[] = [];
    await answering({
      pick: (items) => {
        entries = items.map((i) => i.label);
        return choose("Show Jobs")(items);
      },
    }, () => vscode.commands.executeCommand("juliahub.ui.menu"));
    assert.deepEqual(entries, [
      "Account", "$(sign-out) Sign Out", "$(settings) Switch Profile…", "Jobs", "$(list-unordered) Show Jobs",
      "Language Server", "$(output) Show Output", "$(debug-restart) Restart",
    ]);
    await until("the list is shown", () => api.view.tree.visible);
    return undefined;
  },

  "signing out forgets, and signing in opens a page": async () => {
    await open("pi.jl");
    const menu = (entry: string, browser?: (url: string) => void): Thenable<unknown> =>
      answering({ ...(browser && { browser }), pick: choose(entry) }, () => vscode.commands.executeCommand("juliahub.ui.menu"));
    await menu("Sign Out");
    await until("nobody is signed in", () => api.statusBar.item.text === "$(cloud) Not signed in");
    assert(tooltip().includes("[Sign In](command:juliahub.ui.signIn)"), tooltip());
    const pages: string[] = [];
    const browser = (url: string): void => {
      pages.push(url);
      void approve(url);
    };
    await menu("Sign In", browser);
    assert.equal(pages.length, 1);
    await until("somebody is signed in", () => api.account.status?.signedIn);
    await inState(await submit("juliahub.ui.submitScript", at("profiled", "job.jl")), "completed");

    await menu("Sign Out");
    await until("nobody is signed in again", () => api.account.status?.signedIn === false);
    // A submission begins the sign-in by itself.
    await answering({ browser }, async () => {
      await inState(await submit("juliahub.ui.submitScript", at("profiled", "job.jl")), "completed");
    });
    assert.equal(pages.length, 2);
    await vscode.commands.executeCommand("notifications.clearAll");
    return undefined;
  },

  "a token of the environment is not signed out of": async () => {
    await withEnvironment({ JULIAHUB_TOKEN: process.env["JULIAHUB_TEST_TOKEN"] }, async () => {
      await api.server.restart();
      await until("the server says whose token it is", () => api.account.status?.explicit);
      let entries: string[] = [];
      await answering({ pick: (items) => void (entries = items.map((i) => `${i.label} ${i.description ?? ""}`)) }, () => vscode.commands.executeCommand("juliahub.ui.menu"));
      assert(entries.some((e) => e.startsWith("$(account) Signed In JULIAHUB_TOKEN")), entries.join(", "));
      assert(!entries.some((e) => e.includes("Sign Out")), entries.join(", "));
    });
    await api.server.restart();
    await until("the sign-in counts again", () => api.account.status?.signedIn && !api.account.status.explicit);
    return undefined;
  },
};
