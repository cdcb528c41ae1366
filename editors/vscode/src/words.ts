// How jobs are told to people: names, states, durations, costs.

import { l10n, ThemeColor, ThemeIcon } from "vscode";
import type { Job, JobState } from "./protocol";

/** Whether a submission is under way, or its job has not ended. */
export function isLive(state: JobState): boolean {
  return !["completed", "failed", "stopped", "refused", "cancelled"].includes(state);
}

/** Whether a submission is being sent: its job is not known yet. */
export function isUnderWay(state: JobState): boolean {
  return ["bundling", "uploading", "submitting", "unknown"].includes(state);
}

/** What a person calls a job: the name of its file, else its alias, else its id. */
export function nameOf(job: Job): string {
  const file = job.file ?? "";
  const name = file.slice(Math.max(file.lastIndexOf("/"), file.lastIndexOf("\\")) + 1);
  return name || job.alias || job.job || l10n.t("Untitled");
}

export function stateWord(state: JobState): string {
  switch (state) {
    case "bundling": return l10n.t("Bundling");
    case "uploading": return l10n.t("Uploading");
    case "submitting": return l10n.t("Submitting");
    case "unknown": return l10n.t("Sent, no answer yet");
    case "submitted": return l10n.t("Waiting to run");
    case "running": return l10n.t("Running");
    case "completed": return l10n.t("Completed");
    case "failed": return l10n.t("Failed");
    case "stopped": return l10n.t("Stopped");
    case "refused": return l10n.t("Not submitted");
    case "cancelled": return l10n.t("Cancelled");
  }
}

/** Icons and colours are those of VS Code's own test results: known at a glance. */
export function stateIcon(state: JobState): ThemeIcon {
  switch (state) {
    case "bundling":
    case "uploading":
    case "submitting": return new ThemeIcon("cloud-upload", new ThemeColor("charts.blue"));
    case "unknown": return new ThemeIcon("question", new ThemeColor("charts.yellow"));
    case "submitted": return new ThemeIcon("clock", new ThemeColor("charts.blue"));
    case "running": return new ThemeIcon("sync~spin", new ThemeColor("charts.blue"));
    case "completed": return new ThemeIcon("pass", new ThemeColor("testing.iconPassed"));
    case "failed":
    case "refused": return new ThemeIcon("error", new ThemeColor("testing.iconFailed"));
    case "stopped":
    case "cancelled": return new ThemeIcon("circle-slash", new ThemeColor("testing.iconSkipped"));
  }
}

/** Milliseconds that the job has run; undefined if it has not begun. */
export function elapsed(job: Job, now: number): number | undefined {
  if (!job.started) return undefined;
  return Math.max(0, (job.ended ? Date.parse(job.ended) : now) - Date.parse(job.started));
}

/** A duration as short as it can be said: 42 s, 7 min, 1 h 05 min. */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return l10n.t("{0} s", seconds);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return l10n.t("{0} min", minutes);
  return l10n.t("{0} h {1} min", Math.floor(minutes / 60), String(minutes % 60).padStart(2, "0"));
}

/** US dollars that the job has cost so far; undefined where the price is not known. */
export function cost(job: Job, now: number): number | undefined {
  const ran = elapsed(job, now);
  if (ran === undefined || !job.pricePerHour) return undefined;
  return (job.pricePerHour * Math.max(1, job.nodes ?? 1) * ran) / 3_600_000;
}

export function dollars(amount: number): string {
  return amount > 0 && amount < 0.01 ? "< $0.01" : `$${amount.toFixed(2)}`;
}

/** One line for a list: state, progress, time, cost where it is a cent or more. */
export function summary(job: Job, now: number): string {
  const parts = [stateWord(job.state)];
  if (job.state === "running" && job.percent !== undefined) parts.push(`${parts.pop() ?? ""} ${Math.floor(job.percent)} %`);
  const ran = elapsed(job, now);
  if (ran !== undefined) parts.push(duration(ran));
  const spent = cost(job, now);
  if (spent !== undefined && spent >= 0.01) parts.push(dollars(spent));
  if (job.trouble) parts.push(job.trouble);
  return parts.join(" · ");
}

export function bytes(n: number): string {
  if (n < 0) return "";
  if (n < 1000) return l10n.t("{0} B", n);
  if (n < 1_000_000) return l10n.t("{0} kB", (n / 1000).toFixed(n < 10_000 ? 1 : 0));
  return l10n.t("{0} MB", (n / 1_000_000).toFixed(n < 10_000_000 ? 1 : 0));
}

export type Group = "running" | "today" | "older";

/** Where in the list a job stands. */
export function groupOf(job: Job, now: number): Group {
  if (isLive(job.state)) return "running";
  const day = (ms: number): string => new Date(ms).toDateString();
  return day(Date.parse(job.ended ?? job.created)) === day(now) ? "today" : "older";
}

/** A server as people know it: without the scheme. */
export function hostOf(server: string): string {
  return server.replace(/^https?:\/\//, "").replace(/\/$/, "");
}
