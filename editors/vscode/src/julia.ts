// What the Julia extension knows and we take as defaults: its package server
// and its active environment. Without that extension there are none.

import { access } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { extensions, Uri, workspace } from "vscode";

const id = "julialang.language-julia";

/** What the Julia extension lets others ask; older versions lack some, and one that failed to start all. */
interface JuliaApi {
  getEnvironment?(): Promise<string>;
  getPkgServer?(): string | undefined;
}

/**
 * The package server of the Julia extension, "" where it has none. Its answer
 * takes the workspace's settings in, and a workspace must not choose where the
 * jobs go: where one names a server the user's own setting counts.
 */
export function packageServer(): string {
  const julia = extensions.getExtension<JuliaApi | undefined>(id);
  if (!julia) return "";
  const set = workspace.getConfiguration("julia").inspect<string>("packageServer");
  const ofWorkspace = set?.workspaceValue !== undefined || set?.workspaceFolderValue !== undefined || namedByFolder();
  const answer = julia.isActive && !ofWorkspace ? asked(julia.exports) : undefined;
  return text(answer) || text(set?.globalValue);
}

/** Whether a folder of the workspace names a package server: without a resource VS Code looks at the first folder at most. */
function namedByFolder(): boolean {
  return workspace.workspaceFolders?.some(({ uri }) =>
    workspace.getConfiguration("julia", uri).inspect("packageServer")?.workspaceFolderValue !== undefined) ?? false;
}

function asked(julia: JuliaApi | undefined): unknown {
  try {
    return julia?.getPkgServer?.();
  } catch {
    return undefined; // the setting says it, too
  }
}

/** A setting is what a person wrote: it may be of another type. */
function text(value: unknown): string {
  return typeof value === "string" ? value.trim() : "";
}

/**
 * The environment that was chosen for a file in the Julia extension, a
 * directory; undefined where the server's own choice, the nearest project
 * upwards, is the same or better: nothing was chosen, or a shared environment
 * is active, as it is by default.
 */
export async function chosenEnvironment(uri: string): Promise<string | undefined> {
  const julia = extensions.getExtension<JuliaApi | undefined>(id);
  const file = Uri.parse(uri, true);
  if (!julia?.isActive || file.scheme !== "file") return undefined;
  const directory = (await activeEnvironment(julia.exports)).replace(/[/\\]+$/, "");
  if (!directory || directory.includes(`${sep}environments${sep}`) || !(await isProject(directory))) return undefined;
  return directory === (await nearestProject(dirname(file.fsPath))) ? undefined : directory;
}

async function activeEnvironment(julia: JuliaApi | undefined): Promise<string> {
  try {
    return text(await julia?.getEnvironment?.());
  } catch {
    return ""; // it finds no Julia, for one
  }
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
