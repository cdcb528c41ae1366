// The settings as the server gets them. A server that only the workspace's
// settings name is not the user's own: it counts after one yes, remembered
// outside the workspace.

import { type ExtensionContext, l10n, window, workspace } from "vscode";

const allowed = "allowedServers";

export class Settings {
  private asking: string | undefined;

  constructor(private readonly context: ExtensionContext, private readonly changed: () => void) {}

  /** Takes a server out of the answer that the user has not agreed to. */
  checked(settings: unknown[]): unknown[] {
    const { globalValue = "", workspaceValue, workspaceFolderValue } = workspace.getConfiguration("juliahub").inspect<string>("server") ?? {};
    const named = workspaceFolderValue ?? workspaceValue ?? "";
    if (!named || named === globalValue || this.context.workspaceState.get<string[]>(allowed, []).includes(named)) return settings;
    void this.ask(named);
    return settings.map((section) =>
      section && typeof section === "object" && "server" in section ? { ...section, server: globalValue } : section);
  }

  private async ask(server: string): Promise<void> {
    if (this.asking === server) return; // asked already, in this session
    this.asking = server;
    const yes = l10n.t("Use This Server");
    const text = l10n.t("The settings of this workspace want jobs to go to {0}. Use that server, with your sign-in there?", server);
    if ((await window.showWarningMessage(text, l10n.t("Don't Use It"), yes)) !== yes) return;
    await this.context.workspaceState.update(allowed, [...this.context.workspaceState.get<string[]>(allowed, []), server]);
    this.changed();
  }
}
