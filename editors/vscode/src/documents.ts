// Read-only documents: logs, which follow their file, and outputs of jobs.

import { stat, readFile } from "node:fs/promises";
import { unwatchFile, watchFile } from "node:fs";
import {
  type Disposable, EventEmitter, l10n, languages, Range, Selection, type TextDocument, type TextDocumentContentProvider, type TextEditor,
  TextEditorRevealType, Uri, window, workspace,
} from "vscode";
import { type Jobs, keyOf } from "./jobs";
import type { Job } from "./protocol";
import { nameOf } from "./words";

const scheme = "juliahub";
/** How often a log that is open is looked at. */
const interval = 1000;

export class Documents implements TextDocumentContentProvider, Disposable {
  private readonly changed = new EventEmitter<Uri>();
  readonly onDidChange = this.changed.event;
  private readonly disposables: { dispose(): unknown }[] = [];
  private readonly watched = new Map<string, string>(); // document's URI → file

  constructor(private readonly jobs: Jobs) {
    this.disposables.push(
      this.changed,
      workspace.registerTextDocumentContentProvider(scheme, this),
      workspace.onDidOpenTextDocument((d) => this.watch(d)),
      workspace.onDidCloseTextDocument((d) => this.unwatch(d.uri.toString())),
      workspace.onDidChangeTextDocument((e) => e.document.uri.scheme === scheme && follow(e.document)),
      jobs.onDidChange((job) => job?.logFile && this.touch(job)),
    );
    for (const d of workspace.textDocuments) this.watch(d);
  }

  dispose(): void {
    for (const key of [...this.watched.keys()]) this.unwatch(key);
    for (const d of this.disposables) d.dispose();
  }

  /** Opens the log of a job, at its end. */
  async showLog(job: Job, path: string): Promise<void> {
    const name = `${nameOf(job)} ${job.job ?? ""}.log`.replace(/[/\\]/g, "-");
    const uri = Uri.from({ scheme, path: `/${name}`, query: JSON.stringify({ log: path }) });
    this.changed.fire(uri); // a document that was open before is brought up to date
    const doc = await languages.setTextDocumentLanguage(await workspace.openTextDocument(uri), "log");
    const editor = await window.showTextDocument(doc, { preview: false });
    const end = doc.lineAt(doc.lineCount - 1).range.end;
    editor.selection = new Selection(end, end);
    toEnd(editor);
  }

  /** Opens the outputs of a job. */
  async showOutputs(job: Job): Promise<void> {
    const name = `${nameOf(job)} ${job.job ?? ""}.json`.replace(/[/\\]/g, "-");
    const uri = Uri.from({ scheme, path: `/${name}`, query: JSON.stringify({ outputs: keyOf(job) }) });
    await window.showTextDocument(await workspace.openTextDocument(uri), { preview: true });
  }

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const { log, outputs } = JSON.parse(uri.query) as { log?: string; outputs?: string };
    if (outputs) return pretty(this.jobs.get(outputs)?.outputs ?? "");
    try {
      return plain(await readFile(log ?? "", "utf8"));
    } catch {
      return l10n.t("The log is not there yet.") + "\n";
    }
  }

  private watch(doc: TextDocument): void {
    if (doc.uri.scheme !== scheme) return;
    const { log } = JSON.parse(doc.uri.query) as { log?: string };
    const key = doc.uri.toString();
    if (!log || this.watched.has(key)) return;
    this.watched.set(key, log);
    // Polling one file costs nothing and works on every file system.
    watchFile(log, { interval, persistent: false }, () => this.changed.fire(doc.uri));
  }

  private unwatch(key: string): void {
    const log = this.watched.get(key);
    this.watched.delete(key);
    if (log && ![...this.watched.values()].includes(log)) unwatchFile(log);
  }

  /** A job's news often comes with new lines: no need to wait for the next look. */
  private touch(job: Job): void {
    for (const [key, log] of this.watched) {
      if (log === job.logFile) this.changed.fire(Uri.parse(key, true));
    }
  }
}

/** Whether a log has anything in it yet. */
export async function isThere(path: string): Promise<boolean> {
  return stat(path).then((s) => s.size > 0, () => false);
}

/** Keeps the end in sight where it was in sight: who scrolled up stays there. */
const ends = new WeakMap<TextDocument, number>();

function follow(doc: TextDocument): void {
  const before = ends.get(doc) ?? 0;
  ends.set(doc, doc.lineCount);
  for (const editor of window.visibleTextEditors) {
    const last = editor.visibleRanges.at(-1)?.end.line ?? 0;
    if (editor.document === doc && last >= before - 2) toEnd(editor);
  }
}

function toEnd(editor: TextEditor): void {
  ends.set(editor.document, editor.document.lineCount);
  const end = editor.document.lineAt(editor.document.lineCount - 1).range.end;
  editor.revealRange(new Range(end, end), TextEditorRevealType.Default);
}

/** Text without what terminals use to draw: a log may hold progress bars. */
function plain(text: string): string {
  return text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g, "");
}

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), undefined, 2) + "\n";
  } catch {
    return plain(json);
  }
}
