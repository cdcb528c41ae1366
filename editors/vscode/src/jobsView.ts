// The Jobs view: running, finished today, older; below each job its failure,
// its outputs and its result files.

import { basename } from "node:path";
import {
  type Disposable, EventEmitter, l10n, MarkdownString, ThemeColor, ThemeIcon, type TreeDataProvider, TreeItem,
  TreeItemCollapsibleState, type TreeView, Uri, window,
} from "vscode";
import { type Jobs, keyOf } from "./jobs";
import type { Job, JobFile } from "./protocol";
import { bytes, cost, dollars, duration, elapsed, type Group, groupOf, isLive, nameOf, stateIcon, stateWord, summary } from "./words";

export type Node =
  | { type: "group"; group: Group }
  | { type: "job"; key: string }
  | { type: "failure"; key: string }
  | { type: "outputs"; key: string }
  | { type: "result"; key: string; name: string };

/** How often the times of running jobs are shown anew, while the view is open. */
const tick = 10_000;

export class JobsView implements TreeDataProvider<Node>, Disposable {
  private readonly changed = new EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  readonly tree: TreeView<Node>;
  private readonly disposables: { dispose(): unknown }[] = [];
  // A node is known by its identity: the same one has to come back each time.
  private readonly nodes = new Map<string, Node>();

  constructor(private readonly jobs: Jobs) {
    this.tree = window.createTreeView("juliahub.ui.jobs", { treeDataProvider: this, showCollapseAll: true });
    const timer = setInterval(() => this.tree.visible && this.jobs.live().length > 0 && this.changed.fire(undefined), tick);
    this.disposables.push(
      this.tree, this.changed, { dispose: () => clearInterval(timer) },
      jobs.onDidChange(() => this.refresh()),
    );
  }

  dispose(): void {
    for (const d of this.disposables) d.dispose();
  }

  private refresh(): void {
    const running = this.jobs.live().length;
    this.tree.badge = running > 0
      ? { value: running, tooltip: running === 1 ? l10n.t("1 job running") : l10n.t("{0} jobs running", running) }
      : undefined;
    this.changed.fire(undefined);
  }

  /** Shows a job in the list, without taking the focus. */
  async reveal(job: Job): Promise<void> {
    if (this.tree.visible) await this.tree.reveal(this.node({ type: "job", key: keyOf(job) }), { select: true, focus: false, expand: true });
  }

  getChildren(node?: Node): Node[] {
    const all = this.jobs.list();
    const now = Date.now();
    if (!node) {
      const groups: Group[] = ["running", "today", "older"];
      return groups.filter((g) => all.some((j) => groupOf(j, now) === g)).map((group) => this.node({ type: "group", group }));
    }
    if (node.type === "group") {
      return all.filter((j) => groupOf(j, now) === node.group).map((j) => this.node({ type: "job", key: keyOf(j) }));
    }
    const job = node.type === "job" ? this.jobs.get(node.key) : undefined;
    return job ? this.below(job) : [];
  }

  private below(job: Job): Node[] {
    const key = keyOf(job);
    const nodes: Node[] = [];
    if (job.failedAt) nodes.push({ type: "failure", key });
    if (job.outputs) nodes.push({ type: "outputs", key });
    for (const file of job.results ?? []) nodes.push({ type: "result", key, name: file.name });
    return nodes.map((n) => this.node(n));
  }

  private node(node: Node): Node {
    const id = idOf(node);
    const known = this.nodes.get(id);
    if (!known) this.nodes.set(id, node);
    return known ?? node;
  }

  getParent(node: Node): Node | undefined {
    if (node.type === "group") return undefined;
    if (node.type !== "job") return this.node({ type: "job", key: node.key });
    const job = this.jobs.get(node.key);
    return job && this.node({ type: "group", group: groupOf(job, Date.now()) });
  }

  getTreeItem(node: Node): TreeItem {
    const item = this.item(node);
    item.id = idOf(node);
    return item;
  }

  private item(node: Node): TreeItem {
    if (node.type === "group") return groupItem(node.group);
    const job = this.jobs.get(node.key);
    if (!job) return new TreeItem(""); // gone between two events
    switch (node.type) {
      case "job": return jobItem(job, this.below(job).length > 0);
      case "failure": return failureItem(job);
      case "outputs": return outputsItem(job, node);
      case "result": return resultItem(job, node);
    }
  }
}

function idOf(node: Node): string {
  if (node.type === "group") return node.group;
  return node.type === "result" ? `${node.key}/result/${node.name}` : `${node.key}/${node.type}`;
}

function groupItem(group: Group): TreeItem {
  const titles: Record<Group, string> = {
    running: l10n.t("Running"), today: l10n.t("Finished Today"), older: l10n.t("Older"),
  };
  const item = new TreeItem(titles[group], group === "older" ? TreeItemCollapsibleState.Collapsed : TreeItemCollapsibleState.Expanded);
  item.contextValue = "group";
  return item;
}

function jobItem(job: Job, hasChildren: boolean): TreeItem {
  const item = new TreeItem(nameOf(job), hasChildren ? TreeItemCollapsibleState.Collapsed : TreeItemCollapsibleState.None);
  item.description = summary(job, Date.now());
  item.iconPath = stateIcon(job.state);
  item.contextValue = contextOf(job);
  item.tooltip = tooltipOf(job);
  item.accessibilityInformation = { label: `${nameOf(job)}, ${summary(job, Date.now())}` };
  return item;
}

/** The words by which package.json chooses what a job's menu holds. */
export function contextOf(job: Job): string {
  const words = ["job", isLive(job.state) ? "live" : "ended"];
  if (job.job) words.push("submitted");
  if (job.submission) words.push("ours");
  if (job.file) words.push("file");
  if (job.submission && job.watched && job.job && isLive(job.state)) words.push("watched");
  if (job.state === "running" && (job.limitHours ?? 0) > 0) words.push("limited");
  return words.join(" ");
}

/** All that is known of a job. What came from the job itself is plain text. */
function tooltipOf(job: Job): MarkdownString {
  const now = Date.now();
  const text = new MarkdownString(undefined, true);
  const rows: [string, string | undefined][] = [
    [l10n.t("State"), stateWord(job.state)],
    [l10n.t("Job"), job.job],
    [l10n.t("Reason"), job.reason],
    [l10n.t("Profile"), job.profile],
    [l10n.t("Node"), job.node],
    [l10n.t("Submitted"), job.submitted && new Date(job.submitted).toLocaleString()],
    [l10n.t("Ran"), mapped(elapsed(job, now), duration)],
    [l10n.t("Cost"), mapped(cost(job, now), dollars)],
    [l10n.t("Time limit"), job.limitHours ? l10n.t("{0} h", job.limitHours) : undefined],
    [l10n.t("Last line"), job.lastLine],
  ];
  text.appendMarkdown("**").appendText(nameOf(job)).appendMarkdown("**\n\n");
  for (const [name, value] of rows) {
    if (value) text.appendText(`${name}: ${value.slice(0, 300)}`).appendMarkdown("  \n");
  }
  return text;
}

function mapped<T>(value: T | undefined, word: (value: T) => string): string | undefined {
  return value === undefined ? undefined : word(value);
}

function failureItem(job: Job): TreeItem {
  const line = job.failedAt?.line ?? 0;
  const path = job.failedAt?.path ?? "";
  // Often it is another file than the one that was submitted.
  const elsewhere = path !== "" && path !== job.file;
  const item = new TreeItem(elsewhere ? l10n.t("Failed at {0}:{1}", basename(path), line + 1) : l10n.t("Failed at line {0}", line + 1));
  item.tooltip = job.message ?? job.reason ?? "";
  item.iconPath = new ThemeIcon("bug", new ThemeColor("testing.iconFailed"));
  item.command = { command: "juliahub.ui.goToFile", title: l10n.t("Go to File"), arguments: [{ type: "failure", key: keyOf(job) }] };
  return item;
}

function outputsItem(job: Job, node: Node): TreeItem {
  const item = new TreeItem(l10n.t("Outputs"));
  item.description = brief(job.outputs ?? "");
  item.iconPath = new ThemeIcon("json");
  item.tooltip = new MarkdownString().appendCodeblock((job.outputs ?? "").slice(0, 2000), "json");
  item.command = { command: "juliahub.ui.openFile", title: l10n.t("Open Result"), arguments: [node] };
  return item;
}

/** Outputs in a line: the members of an object, else the text as it is. */
function brief(json: string): string {
  const text = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
  let line = json;
  try {
    const value: unknown = JSON.parse(json);
    if (value && typeof value === "object" && !Array.isArray(value)) line = Object.entries(value).map(([k, v]) => `${k}: ${text(v)}`).join(", ");
  } catch {
    // Older images take any text.
  }
  return line.replace(/\s+/g, " ").slice(0, 200);
}

function resultItem(job: Job, node: Node & { type: "result" }): TreeItem {
  const file = fileOf(job, node.name);
  const item = new TreeItem(node.name);
  item.description = [bytes(file?.size ?? -1), file?.path ? l10n.t("downloaded") : ""].filter(Boolean).join(" · ");
  item.contextValue = ["result", ...(file?.path ? ["local"] : [])].join(" ");
  // The icon that the theme has for files of that name.
  item.resourceUri = Uri.file(file?.path ?? `/${node.name}`);
  item.iconPath = ThemeIcon.File;
  item.command = { command: "juliahub.ui.openFile", title: l10n.t("Open Result"), arguments: [node] };
  return item;
}

export function fileOf(job: Job, name: string): JobFile | undefined {
  return job.results?.find((f) => f.name === name);
}
