// Who is signed in, where, and the profile that counts: as the server tells it.

import { commands, type Disposable, EventEmitter } from "vscode";
import type { Status } from "./protocol";

export class Account implements Disposable {
  private readonly changed = new EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  status: Status | undefined;

  /** Takes what the server told; undefined while there is no server. */
  put(status: Status | undefined): void {
    this.status = status;
    void commands.executeCommand("setContext", "juliahub.ui.signedIn", wordOf(status));
    this.changed.fire();
  }

  dispose(): void {
    this.changed.dispose();
  }
}

/** What menus go by: a token of the environment can neither be had nor forgotten. */
function wordOf(status: Status | undefined): string | undefined {
  if (!status) return undefined;
  if (status.explicit) return "fixed";
  return status.signedIn ? "yes" : "no";
}
