// A job from its submission to its results, and the list that shows it.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as vscode from "vscode";
import { contextOf } from "../../src/jobsView";
import type { Job } from "../../src/protocol";
import { cost, dollars, duration, groupOf, summary } from "../../src/words";
import { api, at, inState, open, root, shown, simulated, submit, type Test, until } from "./helpers";

export let pi: string;

export const jobs: Record<string, Test> = {
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

  "the list takes jobs from elsewhere along": async () => {
    await vscode.commands.executeCommand("juliahub.ui.refresh");
    assert(api.jobs.list().length >= 3);
    assert.equal(new Set(api.jobs.list().map((j) => j.job)).size, api.jobs.list().length, "each job once");
    return undefined;
  },

  "a job of another machine's editor is in the list, one of our own once": async () => {
    const row = { status: "Completed", submitted: new Date().toISOString() };
    const own = api.jobs.get(pi)?.job;
    assert(own);
    try {
      api.jobs.replaceListed("https://hub.example", [
        { ...row, job: "jr-theirs", submission: "0197a5d1-0000-7000-8000-000000000001", alias: "theirs.jl" },
        { ...row, job: "jr-website" },
        { ...row, job: own, submission: pi },
        { ...row, job: "jr-not-yet-known", submission: pi },
      ]);
      const theirs = api.jobs.get("jr-theirs");
      // It has no record here: its commands go by the job.
      assert.deepEqual([theirs?.submission, theirs?.state], ["", "completed"]);
      assert.match(shown(), /^ {2}theirs\.jl \| Completed/m);
      const listed = api.jobs.list().map((j) => j.job);
      assert(listed.includes("jr-website"));
      assert.equal(listed.filter((job) => job === own).length, 1);
      assert(!listed.includes("jr-not-yet-known"), "its submission is in the list");
    } finally {
      await vscode.commands.executeCommand("juliahub.ui.refresh");
    }
    assert.equal(api.jobs.get("jr-theirs"), undefined);
    return undefined;
  },

  "a job can be taken off the list": async () => {
    await vscode.commands.executeCommand("juliahub.ui.dismiss", { submission: pi });
    await until("it is gone", () => !api.jobs.list().some((j) => j.submission === pi));
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
