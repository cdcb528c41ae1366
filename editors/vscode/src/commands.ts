// What a person can do, and how its outcome is shown. Palette commands
// (juliahub.ui.*) and the server's own ids, which lenses and code actions carry
// (juliahub.*), take the same way: Commands.run.

import { basename } from "node:path";
import {
  commands, type Disposable, env, type ExtensionContext, FileType, l10n, type QuickPickItem, RelativePattern, Selection, Uri, window, workspace,
} from "vscode";
import { type Documents, isThere } from "./documents";
import type { Jobs } from "./jobs";
import { fileOf, type JobsView, type Node } from "./jobsView";
import { chosenEnvironment } from "./julia";
import type { Profiles } from "./profiles";
import type { DownloadAnswer, Job, JobTarget, ListedJob, LogAnswer, ProfilesAnswer, SubmitAnswer } from "./protocol";
import { sentence, type Server } from "./server";
import { isLive, isUnderWay, nameOf, stateIcon, summary } from "./words";

/** The argument of a server's command, as far as we look into it. */
interface Argument extends JobTarget {
  range?: object;
  profile?: string;
  settings?: object;
  wait?: boolean;
  show?: boolean;
  files?: string[];
  hours?: number;
  limit?: number;
}

/** What menus pass: a file, a row of the Jobs view, or nothing. */
type Given = Uri | Node | JobTarget | undefined;

/** Commands that read a script, and take a profile. */
const reads = ["juliahub.submitScript", "juliahub.submitAppBundle", "juliahub.previewJob", "juliahub.previewBundle"];
const submits = ["juliahub.submitScript", "juliahub.submitAppBundle", "juliahub.rerun"];
/** Commands whose outcome is a text that the server shows by itself. */
const texts = ["juliahub.previewJob", "juliahub.previewBundle", "juliahub.job", "juliahub.nodes", "juliahub.images", "juliahub.jobs", "juliahub.submissions"];

export class Commands implements Disposable {
  private readonly disposables: Disposable[] = [];

  constructor(
    private readonly context: ExtensionContext,
    private readonly server: Server,
    private readonly jobs: Jobs,
    private readonly view: JobsView,
    private readonly documents: Documents,
    private readonly profiles: Profiles,
  ) {
    this.add("submitScript", (given) => this.submit("juliahub.submitScript", given));
    this.add("submitSelection", (given) => this.submitSelection(given));
    this.add("submitAppBundle", (given) => this.submit("juliahub.submitAppBundle", given));
    this.add("submitWithProfile", (given) => this.submitWithProfile(given));
    this.add("switchProfile", (given) => this.switchProfile(given));
    this.add("previewJob", (given) => this.submit("juliahub.previewJob", given));
    this.add("previewBundle", (given) => this.submit("juliahub.previewBundle", given));
    this.add("showLogs", (given) => this.onJob(given, "juliahub.logs", (j) => !!j.job));
    this.add("downloadResults", (given) => this.onJob(given, "juliahub.downloadResults", (j) => !!j.job && !isLive(j.state)));
    this.add("openInBrowser", (given) => this.onJob(given, "juliahub.openJob", (j) => !!j.job));
    this.add("showJob", (given) => this.onJob(given, "juliahub.job", () => true));
    this.add("stopWatching", (given) => this.onJob(given, "juliahub.stopWatching", (j) => isLive(j.state)));
    this.add("rerun", (given) => this.onJob(given, "juliahub.rerun", (j) => !isLive(j.state) && j.submission !== ""));
    this.add("dismiss", (given) => this.onJob(given, "juliahub.dismissJob", (j) => !isLive(j.state) && j.submission !== ""));
    this.add("stop", (given) => this.stopJob(given));
    this.add("extend", (given) => this.extend(given));
    this.add("goToFile", (given) => this.goToFile(given));
    this.add("copyId", (given) => this.copyId(given));
    this.add("openFile", (given) => this.openFile(given));
    this.add("revealFile", (given) => this.revealFile(given));
    this.add("showJobs", () => commands.executeCommand("juliahub.ui.jobs.focus"));
    this.add("refresh", () => this.refresh());
    this.add("nodes", () => this.run("juliahub.nodes", {}));
    this.add("signIn", () => this.signIn());
    this.add("signOut", () => this.run("juliahub.signOut", {}));
  }

  dispose(): void {
    for (const d of this.disposables) d.dispose();
  }

  /** Registers a palette command. Its failure is said here, once. */
  private add(name: string, work: (given: Given) => Thenable<unknown>): void {
    this.disposables.push(commands.registerCommand(`juliahub.ui.${name}`, (given: Given) => this.say(() => work(given))));
  }

  private async say(work: () => Thenable<unknown>): Promise<unknown> {
    try {
      return await work();
    } catch (error) {
      void window.showErrorMessage(sentence(error));
      return undefined;
    }
  }

  /** Runs a command of the server, and shows its outcome. */
  async run(command: string, given: Argument): Promise<unknown> {
    const argument = { ...given };
    if (submits.includes(command)) await saveFirst();
    if (reads.includes(command)) await this.addChoices(command, argument);
    if (texts.includes(command)) argument.show ??= true;
    if (command === "juliahub.downloadResults") argument.wait ??= true;
    const answer = await this.server.execute(command, argument);
    await this.show(command, argument, answer);
    return answer;
  }

  private async show(command: string, argument: Argument, answer: unknown): Promise<void> {
    switch (command) {
      case "juliahub.submitScript":
      case "juliahub.submitAppBundle":
      case "juliahub.rerun": return this.showSubmitted(argument, answer as SubmitAnswer);
      case "juliahub.logs": return this.showLog(answer as LogAnswer);
      case "juliahub.downloadResults": return this.showResults(argument, answer as DownloadAnswer);
      case "juliahub.openJob": {
        const { url } = answer as { url?: string };
        if (url) await env.openExternal(Uri.parse(url, true));
        return;
      }
      case "juliahub.signOut": return void window.setStatusBarMessage(l10n.t("Signed out"), 5000);
      default: return undefined;
    }
  }

  private async showSubmitted(argument: Argument, answer: SubmitAnswer): Promise<void> {
    await this.context.globalState.update("submittedOnce", true);
    void commands.executeCommand("setContext", "juliahub.ui.submittedOnce", true);
    const unsaved = answer.unsaved?.length ?? 0;
    if (answer.joined) window.setStatusBarMessage(l10n.t("This is being submitted already"), 5000);
    else if (unsaved > 0) window.setStatusBarMessage(l10n.t("The job runs what the editor shows: {0} unsaved", unsaved), 8000);
    if (answer.lacks?.length) this.sayLacks(argument, answer.submission, answer.lacks);
    const job = this.jobs.get(answer.submission);
    if (job) await this.view.reveal(job);
  }

  /** Says what the script will not have in its job, which an appbundle would take along. */
  private sayLacks(argument: Argument, submission: string, lacks: string[]): void {
    const instead = l10n.t("Submit as Appbundle Instead");
    const uri = argument.uri ?? this.jobs.get(submission)?.uri;
    const more = lacks.length > 1 ? ` ${l10n.t("And {0} more.", lacks.length - 1)}` : "";
    const text = l10n.t("A script job takes no files along. {0}", `${lacks[0] ?? ""}${more}`);
    const choices = uri?.startsWith("file:") ? [instead] : [];
    void window.showWarningMessage(text, ...choices).then(async (choice) => {
      if (choice !== instead || !uri) return;
      await this.say(async () => {
        // It may be over already: that is no reason not to go on.
        await this.run("juliahub.cancelJob", { submission }).catch(() => undefined);
        // While one is being sent, the server asks whether the file is to go twice.
        await this.jobs.until(submission, (j) => !isUnderWay(j.state), 30_000);
        const { profile } = argument;
        await this.run("juliahub.submitAppBundle", { uri, ...(profile && { profile }) });
      });
    });
  }

  private async showLog(answer: LogAnswer): Promise<void> {
    const job = this.find(answer.submission) ?? this.find(answer.job);
    await this.documents.showLog(job ?? { submission: "", job: answer.job, state: answer.state, server: "", created: "" }, answer.path);
  }

  private async showResults(argument: Argument, answer: DownloadAnswer): Promise<void> {
    // The outputs come along as a file, too: who asks for results means the others.
    const results = answer.files.filter((f) => f.type !== "outputs");
    const there = (results.length > 0 ? results : answer.files).flatMap((f) => f.path ?? []);
    const failed = answer.files.filter((f) => f.error).map((f) => `${f.name}: ${f.error}`);
    if (failed.length > 0) void window.showWarningMessage(l10n.t("Left out: {0}", failed.join("; ")));
    const job = this.find(answer.job);
    if (job) await this.view.reveal(job);
    if (there.length === 1 || argument.files) {
      if (there[0]) await openAny(Uri.file(there[0]));
    } else if (there[0]) {
      const open = l10n.t("Show in Explorer"), first = Uri.file(there[0]);
      void window.showInformationMessage(l10n.t("{0} results of {1} are in {2}", there.length, job ? nameOf(job) : answer.job, basename(answer.dir)), open)
        .then(async (choice) => {
          if (choice === open) await reveal(first);
        });
    }
  }

  // -- submitting

  private async submit(command: string, given: Given, more: Argument = {}): Promise<unknown> {
    const uri = await scriptOf(given);
    return uri && this.run(command, { ...more, uri: uri.toString() });
  }

  private async submitSelection(given: Given): Promise<unknown> {
    const editor = window.activeTextEditor;
    if (!editor || editor.selection.isEmpty) throw new Error(l10n.t("Select the lines to submit first."));
    const { start, end } = editor.selection;
    return this.submit("juliahub.submitScript", given, { range: { start, end } });
  }

  private async submitWithProfile(given: Given): Promise<unknown> {
    const uri = await scriptOf(given);
    if (!uri) return undefined;
    const known = await this.profilesOf(uri.toString());
    const profile = await this.pickProfile(known, l10n.t("Submit with Profile"));
    if (!profile) return undefined;
    const kinds = [
      { label: l10n.t("As Script"), detail: l10n.t("The file and its environment"), command: "juliahub.submitScript" },
      { label: l10n.t("As Appbundle"), detail: l10n.t("The whole project directory"), command: "juliahub.submitAppBundle" },
    ];
    const kind = await window.showQuickPick(kinds, { title: l10n.t("Submit {0} with {1}", basename(uri.path), profile) });
    return kind && this.run(kind.command, { uri: uri.toString(), profile });
  }

  /** Chooses the profile of all submissions from now on, where they name none. */
  private async switchProfile(given: Given): Promise<void> {
    const uri = given instanceof Uri ? given : window.activeTextEditor?.document.uri ?? workspace.workspaceFolders?.[0]?.uri;
    if (!uri) throw new Error(l10n.t("Open a Julia file first: profiles belong to its project."));
    const known = await this.profilesOf(uri.toString());
    const profile = await this.pickProfile(known, l10n.t("Switch Profile"));
    if (profile) await this.profiles.choose(known, profile === known.default ? undefined : profile);
  }

  /** The profile that a submission of the file in the editor would have; "" where there is none or no file. */
  async currentProfile(): Promise<{ name: string; chosen: boolean }> {
    const document = window.activeTextEditor?.document;
    if (document?.languageId !== "julia" || this.server.state !== "running") return { name: "", chosen: false };
    const known = await this.profilesOf(document.uri.toString());
    const chosen = this.profiles.of(known);
    return { name: chosen ?? known.default ?? "", chosen: chosen !== undefined };
  }

  private async profilesOf(uri: string): Promise<ProfilesAnswer> {
    return (await this.server.execute("juliahub.profiles", { uri })) as ProfilesAnswer;
  }

  private async pickProfile(known: ProfilesAnswer, title: string): Promise<string | undefined> {
    if (known.profiles.length === 0) {
      throw new Error(l10n.t("There is no profile to choose: JuliaHub.toml beside the project defines them."));
    }
    const current = this.profiles.of(known);
    const wordOf = (profile: string): string =>
      [profile === known.default ? l10n.t("default") : "", profile === current ? l10n.t("chosen") : ""].filter(Boolean).join(", ");
    const items = known.profiles.map((label) => ({ label, description: wordOf(label) }));
    return (await window.showQuickPick(items, { title, placeHolder: l10n.t("Profile") }))?.label;
  }

  /** What was chosen here is the default: the profile, and the Julia extension's environment where no JuliaHub.toml says more. */
  private async addChoices(command: string, argument: Argument): Promise<void> {
    if (!argument.uri) return;
    const script = command === "juliahub.submitScript" || command === "juliahub.previewJob";
    const environment = script && !argument.settings ? await chosenEnvironment(argument.uri) : undefined;
    if (!environment && (argument.profile || !this.profiles.any)) return;
    const known = await this.profilesOf(argument.uri);
    const profile = this.profiles.of(known);
    if (profile) argument.profile ??= profile;
    if (environment && !known.file) argument.settings = { environment };
  }

  // -- jobs

  private find(key: string | undefined): Job | undefined {
    return key ? this.jobs.get(key) ?? this.jobs.list().find((j) => j.job === key) : undefined;
  }

  /** The job that is meant: the row of the list, the file's newest, or one that is picked. */
  private async jobOf(given: Given, fits: (job: Job) => boolean): Promise<Job | undefined> {
    if (given && "key" in given) return this.jobs.get(given.key);
    if (given && ("job" in given || "submission" in given)) return this.find(given.submission) ?? this.find(given.job);
    const document = given instanceof Uri ? given : window.activeTextEditor?.document.uri;
    const own = document && this.jobs.ofDocument(document.fsPath, document.toString());
    if (own && fits(own)) return own;
    const fitting = this.jobs.list().filter(fits);
    if (fitting.length === 0) throw new Error(l10n.t("There is no job for which this can be done."));
    const items = fitting.map((job): QuickPickItem & { job: Job } => ({
      label: nameOf(job), description: job.job ?? "", detail: summary(job, Date.now()), iconPath: stateIcon(job.state), job,
    }));
    return (await window.showQuickPick(items, { placeHolder: l10n.t("Job"), matchOnDescription: true }))?.job;
  }

  private async onJob(given: Given, command: string, fits: (job: Job) => boolean): Promise<unknown> {
    const job = await this.jobOf(given, fits);
    return job && this.run(command, targetOf(job));
  }

  private async stopJob(given: Given): Promise<unknown> {
    const job = await this.jobOf(given, (j) => isLive(j.state));
    if (!job) return undefined;
    if (job.job) {
      const stop = l10n.t("Stop Job");
      const detail = l10n.t("{0}. What it has not written as a result is lost.", summary(job, Date.now()));
      if ((await window.showWarningMessage(l10n.t("Stop {0}?", nameOf(job)), { modal: true, detail }, stop)) !== stop) return undefined;
    }
    return this.run("juliahub.cancelJob", targetOf(job));
  }

  private async extend(given: Given): Promise<unknown> {
    const job = await this.jobOf(given, (j) => j.state === "running" && (j.limitHours ?? 0) > 0);
    if (!job) return undefined;
    const answer = await window.showInputBox({
      title: l10n.t("Extend Time Limit of {0}", nameOf(job)), value: "1",
      prompt: l10n.t("By how many hours? The limit is {0} h now.", job.limitHours ?? 0),
      validateInput: (text) => (/^[1-9][0-9]{0,2}$/.test(text.trim()) ? undefined : l10n.t("A whole number of hours")),
    });
    if (!answer) return undefined;
    const done = await this.run("juliahub.extendJob", { ...targetOf(job), hours: Number(answer), wait: true });
    window.setStatusBarMessage(l10n.t("{0} may run {1} h longer", nameOf(job), answer), 5000);
    return done;
  }

  private async goToFile(given: Given): Promise<void> {
    const job = await this.jobOf(given, (j) => !!j.file || !!j.failedAt);
    const path = job?.failedAt?.path ?? job?.file;
    if (!job || !path) return;
    const editor = await window.showTextDocument(Uri.file(path));
    // The diagnostic knows where the line is now, after edits.
    if (job.failedAt) {
      await commands.executeCommand("revealLine", { lineNumber: job.failedAt.line, at: "center" });
      const line = editor.document.lineAt(Math.min(job.failedAt.line, editor.document.lineCount - 1));
      editor.selection = new Selection(line.range.start, line.range.start);
    }
  }

  private async copyId(given: Given): Promise<void> {
    const job = await this.jobOf(given, (j) => !!j.job);
    if (job?.job) await env.clipboard.writeText(job.job);
  }

  private async openFile(given: Given): Promise<void> {
    if (!given || !("key" in given)) return;
    const job = this.jobs.get(given.key);
    if (!job) return;
    if (given.type === "outputs") return this.documents.showOutputs(job);
    if (given.type !== "result") return;
    const path = fileOf(job, given.name)?.path;
    if (path && (await isThere(path))) return openAny(Uri.file(path));
    await this.run("juliahub.downloadResults", { ...targetOf(job), files: [given.name] });
  }

  private async revealFile(given: Given): Promise<void> {
    if (!given || !("key" in given) || given.type !== "result") return;
    const job = this.jobs.get(given.key);
    const path = job && fileOf(job, given.name)?.path;
    if (path) await commands.executeCommand("revealFileInOS", Uri.file(path));
  }

  /** Asks for what the server remembers, and JuliaHub for jobs from elsewhere. */
  private async refresh(): Promise<void> {
    this.jobs.replace(await this.server.jobs());
    const work = async (): Promise<void> => {
      const list = (await this.server.execute("juliahub.jobs", { limit: 50, wait: true, show: false })) as { server: string; jobs: ListedJob[] };
      this.jobs.replaceListed(list.server, list.jobs);
    };
    await window.withProgress({ location: { viewId: "juliahub.ui.jobs" } }, work);
  }

  private async signIn(): Promise<void> {
    const answer = (await this.run("juliahub.signIn", { wait: true })) as { server: string };
    window.setStatusBarMessage(l10n.t("Signed in to {0}", answer.server.replace(/^https?:\/\//, "")), 5000);
  }
}

function targetOf(job: Job): JobTarget {
  if (job.submission) return { submission: job.submission };
  return job.job ? { job: job.job } : {};
}

async function saveFirst(): Promise<void> {
  if (workspace.getConfiguration("juliahub").get<boolean>("saveBeforeSubmit", false)) await workspace.saveAll(false);
}

/** The script that is meant: the file that was clicked, one of the folder, or the one in the editor. */
async function scriptOf(given: Given): Promise<Uri | undefined> {
  const uri = given instanceof Uri ? given : window.activeTextEditor?.document.uri;
  if (!uri) throw new Error(l10n.t("Open the Julia file to submit first."));
  if (given instanceof Uri && (await isDirectory(uri))) return scriptIn(uri);
  return uri;
}

async function isDirectory(uri: Uri): Promise<boolean> {
  return workspace.fs.stat(uri).then((s) => (s.type & FileType.Directory) !== 0, () => false);
}

async function scriptIn(folder: Uri): Promise<Uri | undefined> {
  const found = (await workspace.findFiles(new RelativePattern(folder, "**/*.jl"), "**/{juliahub-results,.git}/**", 1000)).sort(byDepth);
  if (found.length === 0) throw new Error(l10n.t("There is no Julia file in {0}.", basename(folder.path)));
  if (found.length === 1) return found[0];
  const items = found.map((uri) => ({ label: uri.path.slice(folder.path.length + 1), uri }));
  return (await window.showQuickPick(items, { placeHolder: l10n.t("The script that the job runs") }))?.uri;
}

function byDepth(a: Uri, b: Uri): number {
  return a.path.split("/").length - b.path.split("/").length || a.path.localeCompare(b.path);
}

/** Opens a file in the editor that fits, pictures too; what VS Code cannot show is shown where it lies. */
export async function openAny(uri: Uri, focus = true): Promise<void> {
  try {
    await commands.executeCommand("vscode.open", uri, { preview: false, preserveFocus: !focus });
  } catch {
    await commands.executeCommand("revealFileInOS", uri);
  }
}

async function reveal(uri: Uri): Promise<void> {
  const command = workspace.getWorkspaceFolder(uri) ? "revealInExplorer" : "revealFileInOS";
  await commands.executeCommand(command, uri);
}
