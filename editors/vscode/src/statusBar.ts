// One item in the status bar: who is signed in and how many jobs run, or that
// the server is down. It stands there beside Julia files, and while there is
// something to tell. A click opens a menu of what can be done about it.

import {
  commands, type Disposable, l10n, MarkdownString, type QuickPickItem, QuickPickItemKind, StatusBarAlignment, type StatusBarItem, ThemeColor, window,
} from "vscode";
import type { Account } from "./account";
import { type Jobs, keyOf } from "./jobs";
import type { Server } from "./server";
import { hostOf, isLive, nameOf, stateIcon, summary } from "./words";

/** Commands that links in the tooltip may run. */
const links = ["juliahub.ui.showJobs", "juliahub.ui.showOutput", "juliahub.ui.restart", "juliahub.ui.signIn"];

/** An entry of the menu: what it does is a command, with its argument. */
interface Entry extends QuickPickItem {
  command?: string;
  argument?: unknown;
}

export class StatusBar implements Disposable {
  readonly item: StatusBarItem = window.createStatusBarItem("juliahub.ui.status", StatusBarAlignment.Left, 10);
  private readonly disposables: { dispose(): unknown }[] = [this.item];

  private profile = { name: "", chosen: false };

  constructor(
    private readonly jobs: Jobs,
    private readonly server: Server,
    private readonly account: Account,
    private readonly currentProfile: () => Promise<{ name: string; chosen: boolean }>,
  ) {
    this.item.name = "JuliaHub";
    this.item.command = "juliahub.ui.menu";
    this.disposables.push(
      jobs.onDidChange(() => this.update()),
      server.onDidChangeState(() => void this.look()),
      account.onDidChange(() => void this.look()),
      commands.registerCommand("juliahub.ui.menu", () => this.menu()),
    );
    this.update();
  }

  dispose(): void {
    for (const d of this.disposables) d.dispose();
  }

  /** Asks for the profile of the file in the editor, and shows all. */
  async look(): Promise<void> {
    this.update();
    this.profile = await this.currentProfile().catch(() => ({ name: "", chosen: false }));
    this.update();
  }

  private update(): void {
    const running = this.jobs.live().length;
    const language = window.activeTextEditor?.document.languageId;
    const failed = this.server.state === "failed";
    this.item.backgroundColor = failed ? new ThemeColor("statusBarItem.errorBackground") : undefined;
    const profile = this.profile.chosen ? [this.profile.name] : [];
    const words = ["JuliaHub", ...this.who(), ...profile, ...(running > 0 ? [jobsWord(running)] : [])];
    this.item.text = `$(${this.icon(running)}) ${words.slice(words.length > 1 ? 1 : 0).join(" · ")}`;
    this.item.tooltip = this.tooltip();
    this.item.accessibilityInformation = { label: words.join(", ") };
    if (failed || running > 0 || language === "julia") this.item.show();
    else this.item.hide();
  }

  private icon(running: number): string {
    if (this.server.state === "failed") return "error";
    if (this.server.state === "starting") return "loading~spin";
    return running > 0 ? "sync~spin" : "cloud";
  }

  /** The person in a word, if the server has told. */
  private who(): string[] {
    const { status } = this.account;
    if (this.server.state !== "running" || !status) return [];
    switch (status.state) {
      case "signed-in": return status.user ? [status.user] : [];
      case "expired": return [l10n.t("Sign-in expired")];
      case "refused": return [l10n.t("Sign-in refused")];
      case "signed-out": return [l10n.t("Not signed in")];
      default: return [];
    }
  }

  /** The person and the place in a sentence. */
  private sentence(): string {
    const { status } = this.account;
    if (this.server.state !== "running" || !status) return "";
    const host = hostOf(status.server);
    if (!status.signedIn) return status.reason ?? l10n.t("Not signed in to {0}", host);
    return status.user ? l10n.t("Signed in to {0} as {1}", host, status.user) : l10n.t("Signed in to {0}", host);
  }

  private tooltip(): MarkdownString {
    const text = new MarkdownString(undefined, true);
    text.isTrusted = { enabledCommands: links };
    const profile = this.profile.name;
    const lines = [this.server.failure, this.sentence(), profile ? l10n.t("Profile: {0}", profile) : ""];
    for (const line of lines.filter(Boolean)) text.appendText(line).appendMarkdown("\n\n");
    for (const job of this.jobs.list().filter((j) => isLive(j.state)).slice(0, 5)) {
      text.appendText(`${nameOf(job)}: ${summary(job, Date.now())}`).appendMarkdown("  \n");
    }
    const link = (word: string, command: string): string => `[${word}](command:${command})`;
    const words = [link(l10n.t("Show Jobs"), "juliahub.ui.showJobs"), link(l10n.t("Output"), "juliahub.ui.showOutput"),
      link(l10n.t("Restart"), "juliahub.ui.restart")];
    if (this.server.state === "running" && this.account.status?.signedIn === false) words.unshift(link(l10n.t("Sign In"), "juliahub.ui.signIn"));
    text.appendMarkdown(`\n\n${words.join(" · ")}`);
    if (this.server.version) text.appendMarkdown(`\n\njuliahub-lsp ${this.server.version}`);
    return text;
  }

  private async menu(): Promise<void> {
    const title = this.server.version ? `JuliaHub · juliahub-lsp ${this.server.version}` : "JuliaHub";
    const picked = await window.showQuickPick(this.entries(), { title, placeHolder: this.server.failure || this.sentence() || "JuliaHub" });
    if (picked?.command) await commands.executeCommand(picked.command, ...(picked.argument === undefined ? [] : [picked.argument]));
  }

  private entries(): Entry[] {
    const process: Entry[] = [
      group(l10n.t("Language Server")),
      { label: `$(output) ${l10n.t("Show Output")}`, command: "juliahub.ui.showOutput" },
      { label: `$(debug-restart) ${l10n.t("Restart")}`, command: "juliahub.ui.restart" },
    ];
    if (this.server.state !== "running") {
      return [...process, { label: `$(gear) ${l10n.t("Set Path")}`, command: "workbench.action.openSettings", argument: "juliahubLsp.path" }];
    }
    const { status } = this.account;
    const host = hostOf(status?.server ?? "");
    // A token of the environment is there as long as the environment is.
    const fixed: Entry = { label: `$(account) ${l10n.t("Signed In")}`, description: `JULIAHUB_TOKEN · ${host}` };
    const signIn: Entry = { label: `$(sign-in) ${l10n.t("Sign In")}`, description: host, command: "juliahub.ui.signIn" };
    const signOut: Entry = {
      label: `$(sign-out) ${l10n.t("Sign Out")}`, description: [status?.user, host].filter(Boolean).join(" · "), command: "juliahub.ui.signOut",
    };
    return [
      group(l10n.t("Account")), status?.explicit ? fixed : status?.signedIn ? signOut : signIn,
      { label: `$(settings) ${l10n.t("Switch Profile…")}`, description: this.profile.name, command: "juliahub.ui.switchProfile" },
      group(l10n.t("Jobs")),
      ...this.jobs.live().filter((j) => j.job).slice(0, 5).map((job): Entry => ({
        label: `$(${stateIcon(job.state).id}) ${nameOf(job)}`, description: summary(job, Date.now()),
        command: "juliahub.ui.showLogs", argument: { type: "job", key: keyOf(job) },
      })),
      { label: `$(list-unordered) ${l10n.t("Show Jobs")}`, command: "juliahub.ui.showJobs" },
      ...process,
    ];
  }
}

function group(label: string): Entry {
  return { label, kind: QuickPickItemKind.Separator };
}

function jobsWord(running: number): string {
  return running === 1 ? l10n.t("1 job") : l10n.t("{0} jobs", running);
}
