// What a person chooses: lines, profiles, scripts, hours, another kind of job.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import * as vscode from "vscode";
import type { Job } from "../../src/protocol";
import { answering, api, at, choose, inState, open, simulated, submit, type Test, until } from "./helpers";

const run = (command: string, ...args: unknown[]): Thenable<unknown> => vscode.commands.executeCommand(command, ...args);

/** The newest job, once it is another one than before. */
async function newestAfter(before: Job | undefined): Promise<Job> {
  return until("there is a new job", () => {
    const newest = api.jobs.list()[0];
    return newest && newest.submission !== before?.submission ? newest : undefined;
  });
}

export const choices: Record<string, Test> = {
  "selected lines go whole, and keep their numbers": async () => {
    if (simulated) return "what is not run has no lines";
    writeFileSync(at("selection.jl").fsPath, 'println("left out")\nx = 1\n\nprintln("this is line ", @__LINE__)\nerror("and this the next")\nprintln("left out, too")\n');
    const editor = await open("selection.jl");
    editor.selection = new vscode.Selection(3, 4, 4, 2);
    const answer = (await run("juliahub.ui.submitSelection")) as { submission: string };
    const job = await inState(answer.submission, "failed");
    const problem = await until("the failure is marked", () =>
      vscode.languages.getDiagnostics(at("selection.jl")).find((d) => d.severity === vscode.DiagnosticSeverity.Error));
    assert.equal(problem.range.start.line, 4);
    const log = readFileSync(job.logFile ?? "", "utf8");
    assert.match(log, /this is line 4/);
    assert.doesNotMatch(log, /left out/);
    return undefined;
  },

  "nothing selected is not submitted": async () => {
    const editor = await open("pi.jl");
    editor.selection = new vscode.Selection(2, 0, 2, 0);
    let said = "";
    await answering({ message: (text) => void (said = text) }, () => run("juliahub.ui.submitSelection"));
    assert.equal(said, "Select the lines to submit first.");
    return undefined;
  },

  "a profile is chosen, for one job and for all": async () => {
    mkdirSync(at("profiled").fsPath);
    writeFileSync(at("profiled", "JuliaHub.toml").fsPath, 'default-profile = "small"\n\n[profile.small]\ntimelimit = "2h"\n\n[profile.big]\ntimelimit = "3h"\n');
    writeFileSync(at("profiled", "job.jl").fsPath, "println(1)\n");
    const uri = at("profiled", "job.jl");
    await open("profiled", "job.jl");
    const submitted = async (command: string, answers = {}): Promise<Job> => {
      const { submission } = (await answering(answers, () => run(command, uri))) as { submission: string };
      return inState(submission, "completed");
    };
    let picked = 0;
    const one = await submitted("juliahub.ui.submitWithProfile", {
      pick: (items: vscode.QuickPickItem[]) => choose(["big", "As Script"][picked++] ?? "")(items),
    });
    assert.deepEqual([one.profile, one.limitHours], ["big", 3]);
    assert.deepEqual((await submitted("juliahub.ui.submitScript")).profile, "small");
    await answering({ pick: choose("big") }, () => run("juliahub.ui.switchProfile", uri));
    const script = await submitted("juliahub.ui.submitScript");
    assert.deepEqual([script.profile, script.limitHours], ["big", 3]);
    await answering({ pick: choose("small") }, () => run("juliahub.ui.switchProfile", uri));
    assert.equal((await submitted("juliahub.ui.submitScript")).limitHours, 2);
    return undefined;
  },

  "a project without profiles says so": async () => {
    let said = "";
    await answering({ message: (text) => void (said = text) }, () => run("juliahub.ui.submitWithProfile", at("pi.jl")));
    assert.match(said, /JuliaHub\.toml beside the project defines them/);
    return undefined;
  },

  "a folder of the explorer is a project, with a script to choose": async () => {
    const before = api.jobs.list()[0];
    await answering({
      pick: (items) => {
        assert.deepEqual(items.map((i) => i.label), ["report.jl", "src/readings.jl"]);
        return items[0];
      },
    }, () => run("juliahub.ui.submitAppBundle", at("project")));
    const job = await inState((await newestAfter(before)).submission, "completed");
    assert.equal(job.kind, "appbundle");
    assert.equal(job.file, at("project", "report.jl").fsPath);
    return undefined;
  },

  "a folder without a script says so": async () => {
    mkdirSync(at("empty").fsPath);
    let said = "";
    await answering({ message: (text) => void (said = text) }, () => run("juliahub.ui.submitAppBundle", at("empty")));
    assert.equal(said, "There is no Julia file in empty.");
    return undefined;
  },

  "what a script will lack is said, and an appbundle goes instead": async () => {
    let said = "";
    const uri = at("project", "report.jl");
    await open("project", "report.jl");
    const before = api.jobs.list()[0];
    const script = await answering({
      message: (text, offered) => {
        said ||= text;
        return offered.find((c) => c === "Submit as Appbundle Instead");
      },
    }, async () => {
      const submission = await submit("juliahub.ui.submitScript", uri);
      const instead = await until("the other one goes", () =>
        api.jobs.list().find((j) => j.kind === "appbundle" && Date.parse(j.created) > Date.parse(before?.created ?? "")));
      await inState(instead.submission, "completed");
      return submission;
    });
    assert.match(said, /^A script job takes no files along\. line \d+: .* And \d more\.$/);
    await inState(script, "cancelled", "stopped", "failed", "completed");
    return undefined;
  },

  "a document without a file is a script, too": async () => {
    const document = await vscode.workspace.openTextDocument({ language: "julia", content: 'println("from nowhere")\n' });
    assert.equal(document.uri.scheme, "untitled");
    await vscode.window.showTextDocument(document);
    const { submission } = (await run("juliahub.ui.submitScript")) as { submission: string };
    const job = await inState(submission, "completed");
    assert.equal(job.file, undefined);
    if (!simulated) assert.equal(job.lastLine, "from nowhere");
    await run("workbench.action.revertAndCloseActiveEditor");
    return undefined;
  },

  "a running job is extended, seen in the browser, and stopped after a question": async () => {
    if (simulated) return "a simulated job is over at once";
    await open("slow.jl");
    const submission = await submit("juliahub.ui.submitScript", at("slow.jl"));
    const limit = (await inState(submission, "running")).limitHours ?? 0;
    assert(limit > 0, "it has a limit");
    let prompt = "";
    await answering({
      input: (options) => {
        prompt = options.prompt ?? "";
        for (const wrong of ["", "0", "-1", "1.5", "x"]) assert(options.validateInput?.(wrong), `${wrong} is refused`);
        assert.equal(options.validateInput?.(" 2 "), undefined);
        return "2";
      },
    }, () => run("juliahub.ui.extend", { submission }));
    assert.match(prompt, new RegExp(`${limit} h`));
    await until("the limit is two hours later", () => api.jobs.get(submission)?.limitHours === limit + 2);

    const seen: string[] = [];
    await answering({ browser: (url) => seen.push(url) }, () => run("juliahub.ui.openInBrowser", { submission }));
    assert.equal(seen.length, 1);
    assert(seen[0]?.startsWith(process.env["JULIA_PKG_SERVER"] ?? "no server"), seen[0]);

    let question = "";
    await answering({ message: (text) => void (question = text) }, () => run("juliahub.ui.stop", { submission }));
    assert.equal(question, "Stop slow.jl?");
    assert.equal(api.jobs.get(submission)?.state, "running");
    await answering({ message: (_, offered) => offered.find((c) => c === "Stop Job") }, () => run("juliahub.ui.stop", { submission }));
    await inState(submission, "stopped");
    return undefined;
  },

  "a job is run again": async () => {
    const first = await submit("juliahub.ui.submitScript", at("profiled", "job.jl"));
    const done = await inState(first, "completed");
    const again = (await run("juliahub.ui.rerun", { submission: first })) as { submission: string };
    assert.notEqual(again.submission, first);
    const job = await inState(again.submission, "completed");
    assert.equal(job.profile, done.profile);
    assert.notEqual(job.job, done.job);
    return undefined;
  },

  "code actions offer what can be done, and nothing that fixes": async () => {
    const document = await open("pi.jl");
    const titles = async (kind?: string): Promise<string[]> => {
      const actions = await vscode.commands.executeCommand<vscode.CodeAction[]>("vscode.executeCodeActionProvider", document.document.uri, new vscode.Range(0, 0, 2, 0), kind);
      return actions.map((a) => a.title);
    };
    const all = await until("there are actions", async () => ((await titles()).length > 0 ? titles() : undefined));
    for (const title of ["Submit as script", "Submit selection as script", "Submit project as appbundle", "Preview job"]) {
      assert(all.some((t) => t.startsWith(title)), `${title} is among ${all.join(", ")}`);
    }
    for (const kind of ["source.fixAll", "source.organizeImports", "quickfix"]) {
      assert.deepEqual((await titles(kind)).filter((t) => /Submit|Cancel|Extend/.test(t)), [], kind);
    }
    return undefined;
  },
};
