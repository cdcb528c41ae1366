// What the Julia extension knows and we take as defaults: its package server
// and its active environment. Without that extension there are none.

import { access } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { extensions, Uri, workspace } from "vscode";

const id = "julialang.language-julia";

interface JuliaApi {
  getEnvironment?(): Promise<string>;
}

/** The package server that the user, not a workspace, has set in the Julia extension. */
export function packageServer(): string {
  if (!extensions.getExtension(id)) return "";
  return workspace.getConfiguration("julia").inspect<string>("packageServer")?.globalValue?.trim() ?? "";
}

/**
 * The environment that was chosen for a file in the Julia extension, a
 * directory; undefined where the server's own choice, the nearest project
 * upwards, is the same or better: nothing was chosen, or a shared environment
 * is active, as it is by default.
 */
export async function chosenEnvironment(uri: string): Promise<string | undefined> {
  const julia = extensions.getExtension<JuliaApi>(id);
  const file = Uri.parse(uri, true);
  if (!julia?.isActive || file.scheme !== "file") return undefined;
  const directory = (await julia.exports.getEnvironment?.().catch(() => ""))?.replace(/[/\\]+$/, "");
  if (!directory || directory.includes(`${sep}environments${sep}`) || !(await isProject(directory))) return undefined;
  return directory === (await nearestProject(dirname(file.fsPath))) ? undefined : directory;
}

async function nearestProject(from: string): Promise<string | undefined> {
  for (let dir = from; ; dir = dirname(dir)) {
    if (await isProject(dir)) return dir;
    if (dir === dirname(dir)) return undefined;
  }
}

async function isProject(dir: string): Promise<boolean> {
  for (const name of ["JuliaProject.toml", "Project.toml"]) {
    if (await access(join(dir, name)).then(() => true, () => false)) return true;
  }
  return false;
}
