// What the tests in the extension host share.

import assert from "node:assert/strict";
import * as vscode from "vscode";
import type { Api } from "../../src/extension";
import type { Node } from "../../src/jobsView";
import type { Job, JobState } from "../../src/protocol";

/** Nothing, or why the test could not be made. */
export type Test = () => Promise<string | undefined> | string | undefined;

export const simulated = !!process.env["SIMULATED"];
export const root = (): vscode.Uri => {
  const folder = vscode.workspace.workspaceFolders?.[0];
  assert(folder, "a folder is open");
  return folder.uri;
};
export const at = (...path: string[]): vscode.Uri => vscode.Uri.joinPath(root(), ...path);
export let api: Api;

/** Makes the API of the extension, once it runs, known to all tests. */
export function use(found: Api): void {
  api = found;
}

/** Waits for a condition, and returns what made it true. */
export async function until<T>(what: string, condition: () => T | Promise<T>, seconds = 90): Promise<NonNullable<T>> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}; jobs: ${JSON.stringify(api.jobs.list()).slice(0, 3000)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function open(...path: string[]): Promise<vscode.TextEditor> {
  return vscode.window.showTextDocument(await vscode.workspace.openTextDocument(at(...path)));
}

export async function submit(command: string, uri: vscode.Uri): Promise<string> {
  const answer = await vscode.commands.executeCommand<{ submission: string } | undefined>(command, uri);
  assert(answer?.submission, `${command} answers with a submission`);
  return answer.submission;
}

export async function inState(submission: string, ...states: JobState[]): Promise<Job> {
  return until(`${submission} is ${states.join(" or ")}`, () => {
    const job = api.jobs.get(submission);
    return job && states.includes(job.state) && (job.state === "running" || job.settled) ? job : undefined;
  });
}

/** What the Jobs view shows, as indented lines. */
export function shown(node?: Node, indent = ""): string {
  return api.view.getChildren(node).map((child) => {
    const item = api.view.getTreeItem(child);
    return `${indent}${typeof item.label === "string" ? item.label : ""} | ${typeof item.description === "string" ? item.description : ""}\n${shown(child, `${indent}  `)}`;
  }).join("");
}

export const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** How a test answers in a person's place; what has no answer is dismissed. */
export interface Answers {
  pick?: (items: vscode.QuickPickItem[], options?: vscode.QuickPickOptions) => vscode.QuickPickItem | undefined;
  input?: (options: vscode.InputBoxOptions) => string | undefined;
  message?: (text: string, choices: string[]) => string | undefined;
  browser?: (url: string) => void;
}

/** Does work while all questions to the person are answered by the test. */
export async function answering<T>(answers: Answers, work: () => Thenable<T>): Promise<T> {
  const message = (text: string, ...rest: unknown[]): Promise<string | undefined> =>
    Promise.resolve(answers.message?.(text, rest.filter((r) => typeof r === "string")));
  const undo = [
    put(vscode.window, "showQuickPick", async (items: vscode.QuickPickItem[], options?: vscode.QuickPickOptions) =>
      Promise.resolve(answers.pick?.(await Promise.resolve(items), options))),
    put(vscode.window, "showInputBox", (options: vscode.InputBoxOptions) => Promise.resolve(answers.input?.(options))),
    put(vscode.window, "showInformationMessage", message),
    put(vscode.window, "showWarningMessage", message),
    put(vscode.window, "showErrorMessage", message),
    put(vscode.env, "openExternal", (uri: vscode.Uri) => {
      answers.browser?.(uri.toString(true));
      return Promise.resolve(true);
    }),
  ];
  try {
    return await work();
  } finally {
    for (const restore of undo) restore();
  }
}

function put(object: object, name: string, value: unknown): () => void {
  const target = object as Record<string, unknown>;
  const before = target[name];
  target[name] = value;
  return () => (target[name] = before);
}

/** Answers a choice by its words, without the icon before them. */
export function choose(label: string): (items: vscode.QuickPickItem[]) => vscode.QuickPickItem {
  return (items) => {
    const found = items.find((i) => i.label.replace(/^\$\([^)]*\) /, "") === label);
    assert(found, `${label} is among ${items.map((i) => i.label).join(", ")}`);
    return found;
  };
}

/** Changes environment variables, which a server that is started gets, while work is done. */
export async function withEnvironment(changes: Record<string, string | undefined>, work: () => Promise<void>): Promise<void> {
  const before = Object.keys(changes).map((name) => [name, process.env[name]] as const);
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = value;
  };
  for (const [name, value] of Object.entries(changes)) set(name, value);
  try {
    await work();
  } finally {
    for (const [name, value] of before) set(name, value);
  }
}
