// One item in the status bar: how many jobs run, or that the server is down.
// It stands there beside Julia files, and while there is something to tell.

import { type Disposable, l10n, MarkdownString, StatusBarAlignment, ThemeColor, window } from "vscode";
import type { Jobs } from "./jobs";
import type { Server } from "./server";
import { isLive, nameOf, summary } from "./words";

export class StatusBar implements Disposable {
  readonly item = window.createStatusBarItem("juliahub.ui.status", StatusBarAlignment.Left, 10);
  private readonly disposables: Disposable[] = [this.item];

  constructor(private readonly jobs: Jobs, private readonly server: Server) {
    this.item.name = "JuliaHub";
    this.disposables.push(
      jobs.onDidChange(() => this.update()),
      server.onDidChangeState(() => this.update()),
      window.onDidChangeActiveTextEditor(() => this.update()),
    );
    this.update();
  }

  dispose(): void {
    for (const d of this.disposables) d.dispose();
  }

  private update(): void {
    const running = this.jobs.live();
    const language = window.activeTextEditor?.document.languageId;
    const failed = this.server.state === "failed";
    this.item.backgroundColor = failed ? new ThemeColor("statusBarItem.errorBackground") : undefined;
    this.item.command = failed ? "juliahub.ui.restart" : "juliahub.ui.showJobs";
    this.item.text = failed ? "$(error) JuliaHub" : textOf(this.server.state === "starting", running.length);
    this.item.tooltip = this.tooltip();
    this.item.accessibilityInformation = { label: l10n.t("JuliaHub, {0} jobs running", running.length) };
    if (failed || running.length > 0 || language === "julia") this.item.show();
    else this.item.hide();
  }

  private tooltip(): MarkdownString {
    const text = new MarkdownString(undefined, true);
    text.isTrusted = { enabledCommands: ["juliahub.ui.showJobs", "juliahub.ui.showOutput", "juliahub.ui.restart"] };
    if (this.server.failure) text.appendText(this.server.failure).appendMarkdown("\n\n");
    for (const job of this.jobs.list().filter((j) => isLive(j.state)).slice(0, 5)) {
      text.appendText(`${nameOf(job)}: ${summary(job, Date.now())}`).appendMarkdown("  \n");
    }
    const link = (word: string, command: string): string => `[${word}](command:${command})`;
    const links = [
      link(l10n.t("Show Jobs"), "juliahub.ui.showJobs"), link(l10n.t("Output"), "juliahub.ui.showOutput"),
      link(l10n.t("Restart"), "juliahub.ui.restart"),
    ];
    text.appendMarkdown(`\n\n${links.join(" · ")}`);
    if (this.server.version) text.appendMarkdown(`\n\njuliahub-lsp ${this.server.version}`);
    return text;
  }
}

function textOf(starting: boolean, running: number): string {
  if (starting) return "$(loading~spin) JuliaHub";
  if (running === 0) return "$(cloud) JuliaHub";
  return running === 1 ? `$(sync~spin) ${l10n.t("1 job")}` : `$(sync~spin) ${l10n.t("{0} jobs", running)}`;
}
