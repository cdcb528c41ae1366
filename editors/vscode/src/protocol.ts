// What the server says beyond the Language Server Protocol: the mirror of
// commands/ui.go. Members that may be missing are those that Go leaves out.

import { NotificationType, RequestType } from "vscode-languageclient/node";

/** Where a submission is: before there is a job, as a job, ended without one. */
export type JobState =
  | "bundling" | "uploading" | "submitting" | "unknown"
  | "submitted" | "running" | "completed" | "failed" | "stopped"
  | "refused" | "cancelled";

/** One file that a job left behind. */
export interface JobFile {
  name: string;
  type: string;
  /** Bytes; -1 where that is not known. */
  size: number;
  /** Where it was downloaded to. */
  path?: string;
}

/** One submission and its job. Times are RFC 3339. */
export interface Job {
  /** A UUID; "" for a job that was submitted elsewhere. */
  submission: string;
  /** jr-…, missing until the server has given it. */
  job?: string;
  state: JobState;
  /** The server's own word for the state. */
  status?: string;
  reason?: string;
  kind?: string;
  file?: string;
  uri?: string;
  alias?: string;
  profile?: string;
  node?: string;
  /** US dollars, of one node. */
  pricePerHour?: number;
  nodes?: number;
  /** 0 or missing: no limit. */
  limitHours?: number;
  server: string;
  url?: string;
  created: string;
  submitted?: string;
  started?: string;
  ended?: string;
  lastLine?: string;
  logFile?: string;
  resultsDir?: string;
  results?: JobFile[];
  /** JSON, as the job wrote it. */
  outputs?: string;
  watched?: boolean;
  /** The work at the end is done: the log is whole, the place of a failure known. */
  settled?: boolean;
  dismissed?: boolean;
  trouble?: string;
  /** 0–100, of jobs that tell how far they are. */
  percent?: number;
  /** The first line of the exception that ended it. */
  message?: string;
  failedAt?: { path: string; line: number };
}

export const jobsRequest = new RequestType<object, { jobs: Job[] }, void>("juliahub/jobs");
export const jobDidChange = new NotificationType<Job>("juliahub/jobDidChange");

/** Who is signed in where. */
export interface Status {
  /** Its URL; "" where the settings name none that can be used. */
  server: string;
  signedIn: boolean;
  state: "signed-in" | "signed-out" | "expired" | "refused" | "unusable" | "unknown";
  /** Why not, in a sentence. */
  reason?: string;
  user?: string;
  email?: string;
  /** The token is that of the environment: signing in and out change nothing. */
  explicit?: boolean;
  expires?: string;
  jobsRunning?: number;
  /** The one that the editor's settings name. */
  profile?: string;
}

export const statusRequest = new RequestType<object, Status, void>("juliahub/status");
export const statusDidChange = new NotificationType<Status>("juliahub/statusDidChange");

/** The name under which both sides announce these messages. */
export const experimental = "juliahub";

/** The one argument of the commands on a job. */
export interface JobTarget {
  job?: string;
  submission?: string;
  uri?: string;
}

/** The answer of juliahub.submitScript and juliahub.submitAppBundle. */
export interface SubmitAnswer {
  submission: string;
  state: JobState;
  job?: string;
  reason?: string;
  joined?: boolean;
  /** Paths of documents that went as the editor shows them. */
  unsaved?: string[];
  /** What a script job will not have, in sentences. */
  lacks?: string[];
}

export interface LogAnswer {
  submission?: string;
  job: string;
  state: JobState;
  path: string;
}

export interface DownloadAnswer {
  job: string;
  state: string;
  dir: string;
  files: { name: string; type: string; path?: string; error?: string }[];
}

export interface ProfilesAnswer {
  file?: string;
  default?: string;
  profiles: string[];
}

/** A row of juliahub.jobs: the server's list, also of jobs submitted elsewhere. */
export interface ListedJob {
  job: string;
  alias?: string;
  status: string;
  submitted?: string;
  started?: string;
  ended?: string;
  submission?: string;
  file?: string;
  url?: string;
}
