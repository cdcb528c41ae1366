// The profile that was chosen in this window, for each JuliaHub.toml. It is
// passed with every submission, because an argument of a command counts more
// than what the file says, and a setting of the editor counts less.

import { EventEmitter, type ExtensionContext, type Disposable } from "vscode";
import type { ProfilesAnswer } from "./protocol";

const key = "profiles";

export class Profiles implements Disposable {
  private readonly changed = new EventEmitter<void>();
  readonly onDidChange = this.changed.event;

  constructor(private readonly context: ExtensionContext) {}

  dispose(): void {
    this.changed.dispose();
  }

  private get chosen(): Record<string, string> {
    return this.context.workspaceState.get<Record<string, string>>(key, {});
  }

  /** Whether one was chosen for any file. */
  get any(): boolean {
    return Object.keys(this.chosen).length > 0;
  }

  /** The one that was chosen where these are known; one that has gone from the file does not count. */
  of(known: ProfilesAnswer): string | undefined {
    const profile = known.file ? this.chosen[known.file] : undefined;
    return profile && known.profiles.includes(profile) ? profile : undefined;
  }

  /** Chooses a profile; undefined goes back to what the file says. */
  async choose(known: ProfilesAnswer, profile: string | undefined): Promise<void> {
    if (!known.file) return;
    const others = Object.entries(this.chosen).filter(([file]) => file !== known.file);
    await this.context.workspaceState.update(key, Object.fromEntries(profile ? [...others, [known.file, profile]] : others));
    this.changed.fire();
  }
}
