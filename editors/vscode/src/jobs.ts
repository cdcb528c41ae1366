// The jobs that the extension knows: what the server tells, and on a refresh
// the server's list of jobs that were submitted elsewhere.

import { type Disposable, EventEmitter } from "vscode";
import type { Job, JobState, ListedJob } from "./protocol";
import { isLive } from "./words";

export class Jobs implements Disposable {
  private readonly changed = new EventEmitter<Job | undefined>();
  /** Fires with the job that changed, or with none when any may have. */
  readonly onDidChange = this.changed.event;
  private ours = new Map<string, Job>();
  private elsewhere = new Map<string, Job>();

  /** All jobs to show, newest first. */
  list(): Job[] {
    const known = new Set([...this.ours.values()].map((j) => j.job));
    const all = [...this.ours.values(), ...[...this.elsewhere.values()].filter((j) => !known.has(j.job))];
    return all.filter((j) => !j.dismissed).sort((a, b) => Date.parse(b.created) - Date.parse(a.created));
  }

  get(key: string): Job | undefined {
    return this.ours.get(key) ?? this.elsewhere.get(key);
  }

  live(): Job[] {
    return this.list().filter((j) => isLive(j.state));
  }

  /** The newest job of a document, which its path or its URI names. */
  ofDocument(path: string, uri: string): Job | undefined {
    return this.list().find((j) => j.submission !== "" && (j.file ? j.file === path : j.uri === uri));
  }

  put(job: Job): void {
    const before = this.ours.get(keyOf(job))?.percent;
    // A job's news leaves out how far it is; that stands until the list says more.
    if (job.percent === undefined && before !== undefined && isLive(job.state)) job = { ...job, percent: before };
    this.ours.set(keyOf(job), job);
    this.changed.fire(job);
  }

  /** Replaces all that the server remembers. */
  replace(jobs: Job[]): void {
    this.ours = new Map(jobs.map((j) => [keyOf(j), j]));
    this.changed.fire(undefined);
  }

  /** Takes the server's list; of our own jobs the records say more. Another machine's submissions have no record here. */
  replaceListed(server: string, rows: ListedJob[]): void {
    this.elsewhere = new Map(rows.filter((r) => !r.submission || !this.ours.has(r.submission)).map((r) => [r.job, jobOfRow(server, r)]));
    this.changed.fire(undefined);
  }

  /** Waits until a job fits, or has gone from the list, but no longer than patience, in milliseconds. */
  async until(key: string, fits: (job: Job) => boolean, patience: number): Promise<void> {
    const done = (): boolean => {
      const job = this.get(key);
      return !job || fits(job);
    };
    if (done()) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        heard.dispose();
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(end, patience);
      const heard = this.onDidChange(() => done() && end());
    });
  }

  dispose(): void {
    this.changed.dispose();
  }
}

/** What tells a job from all others for as long as it is known. */
export function keyOf(job: Job): string {
  return job.submission || job.job || "";
}

function jobOfRow(server: string, row: ListedJob): Job {
  const states: Record<string, JobState> = {
    submitted: "submitted", running: "running", completed: "completed", failed: "failed", stopped: "stopped",
  };
  return {
    submission: "", job: row.job, server, status: row.status,
    state: states[row.status.toLowerCase()] ?? "unknown",
    created: row.submitted ?? row.started ?? row.ended ?? new Date(0).toISOString(),
    ...(row.alias && { alias: row.alias }), ...(row.file && { file: row.file }), ...(row.url && { url: row.url }),
    ...(row.submitted && { submitted: row.submitted }), ...(row.started && { started: row.started }),
    ...(row.ended && { ended: row.ended }),
  };
}
