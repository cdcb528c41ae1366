// The language server's process and the client that talks to it: found,
// started, restarted, and given up on when it keeps crashing.

import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { commands, type Disposable, EventEmitter, type ExtensionContext, l10n, type LogOutputChannel, window, workspace } from "vscode";
import {
  CloseAction, type ErrorHandler, ErrorAction, ExecuteCommandRequest, type ExecuteCommandRegistrationOptions, LanguageClient,
  type LanguageClientOptions, type Middleware, type RegistrationData, State, type StaticFeature,
} from "vscode-languageclient/node";
import { packageServer } from "./julia";
import { experimental, type Job, jobDidChange, jobsRequest, type Status, statusDidChange, statusRequest } from "./protocol";

export type ServerState = "starting" | "running" | "failed" | "stopped";

/** So many crashes within so long, and the server is not started again by itself. */
const maxCrashes = 5;
const crashWindow = 3 * 60_000;
/** How long the server may take to say goodbye: it ends uploads first. */
const farewell = 6_000;

/** There is no server to start; the message says what to do. */
export class NotFoundError extends Error {}

const documents = [
  { language: "julia", scheme: "file" },
  { language: "julia", scheme: "untitled" },
  { pattern: "**/{Project,JuliaProject}.toml", scheme: "file" },
  { pattern: "**/{Manifest,JuliaManifest}*.toml", scheme: "file" },
  { pattern: "**/JuliaHub.toml", scheme: "file" },
  { pattern: "**/.juliabundleignore", scheme: "file" },
];

export class Server implements Disposable {
  private readonly stateChanged = new EventEmitter<ServerState>();
  readonly onDidChangeState = this.stateChanged.event;
  private readonly jobChanged = new EventEmitter<Job>();
  readonly onJobChanged = this.jobChanged.event;
  private readonly statusChanged = new EventEmitter<Status>();
  readonly onStatusChanged = this.statusChanged.event;

  state: ServerState = "stopped";
  /** What is wrong while the state is "failed". */
  failure = "";
  private client: LanguageClient | undefined;
  private child: ChildProcess | undefined;
  private crashes: number[] = [];
  // Restarts queue up here: two at once would make two servers.
  private turn: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: ExtensionContext,
    private readonly output: LogOutputChannel,
    private readonly middleware: Middleware,
  ) {}

  get version(): string {
    return this.client?.initializeResult?.serverInfo?.version ?? "";
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Whether the server has a command. */
  has(command: string): boolean {
    return this.client?.initializeResult?.capabilities.executeCommandProvider?.commands.includes(command) ?? false;
  }

  start(): Promise<void> {
    return this.enqueue(() => this.startNow());
  }

  /** Starts anew whatever state the server is in: running, stuck, crashed or missing. */
  restart(): Promise<void> {
    this.crashes = [];
    return this.enqueue(async () => {
      await this.stopNow();
      await this.startNow();
    });
  }

  stop(): Promise<void> {
    return this.enqueue(() => this.stopNow());
  }

  dispose(): void {
    this.stateChanged.dispose();
    this.jobChanged.dispose();
    this.statusChanged.dispose();
  }

  /** Sends a command of the server; rejects with its sentence. */
  async execute(command: string, argument: object): Promise<unknown> {
    if (!this.client || this.state !== "running") {
      throw new Error(this.failure || l10n.t("The JuliaHub language server is not running."));
    }
    return this.client.sendRequest(ExecuteCommandRequest.type, { command, arguments: [argument] });
  }

  async jobs(): Promise<Job[]> {
    return (await this.client?.sendRequest(jobsRequest, {}))?.jobs ?? [];
  }

  /** Who is signed in; undefined where the server is one that does not tell. */
  async status(): Promise<Status | undefined> {
    const offered = this.client?.initializeResult?.capabilities.experimental as Record<string, unknown> | undefined;
    const messages = offered?.[experimental];
    if (!this.client || !messages || typeof messages !== "object" || !("status" in messages)) return undefined;
    return this.client.sendRequest(statusRequest, {});
  }

  /** Tells the server that settings have changed which it cannot see changing. */
  async settingsChanged(): Promise<void> {
    await this.client?.sendNotification("workspace/didChangeConfiguration", { settings: null });
  }

  private enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }

  private setState(state: ServerState, failure = ""): void {
    if (state === this.state && failure === this.failure) return;
    this.state = state;
    this.failure = failure;
    void commands.executeCommand("setContext", "juliahub.ui.state", state);
    this.stateChanged.fire(state);
  }

  private async startNow(): Promise<void> {
    if (this.client) return;
    this.setState("starting");
    const client = this.makeClient();
    this.client = client;
    try {
      await client.start();
    } catch (error) {
      if (this.client === client) this.setState("failed", sentence(error));
      this.output.error(String(error));
      throw error;
    }
  }

  private makeClient(): LanguageClient {
    const options: LanguageClientOptions = {
      documentSelector: documents,
      outputChannel: this.output,
      middleware: this.middleware,
      errorHandler: this.errorHandler(() => this.client === client),
      initializationFailedHandler: () => false, // said by hand, once
    };
    const client: LanguageClient = new LanguageClient("juliahub-lsp", "JuliaHub", () => this.spawn(), options);
    client.registerFeature(announce);
    tolerateOthers(client, this.output);
    client.onNotification(jobDidChange, (job) => this.jobChanged.fire(job));
    client.onNotification(statusDidChange, (status) => this.statusChanged.fire(status));
    client.onDidChangeState(({ newState }) => {
      if (this.client !== client) return;
      if (newState === State.Running) this.setState("running");
      if (newState === State.Starting) this.setState("starting");
    });
    return client;
  }

  private async spawn(): Promise<{ process: ChildProcess; detached: boolean }> {
    const path = await findServer(this.context, workspace.getConfiguration("juliahubLsp").get<string>("path", "").trim());
    this.output.info(`starting ${path}`);
    const env = { ...process.env };
    const server = packageServer();
    if (!env["JULIA_PKG_SERVER"] && server) env["JULIA_PKG_SERVER"] = server;
    // Not in the workspace: on Windows a process's directory cannot be removed.
    const child = spawn(path, [], { env, cwd: homedir(), windowsHide: true });
    this.child = child;
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (error) => reject(new NotFoundError(l10n.t("{0} cannot be started: {1}", path, error.message))));
    });
    // "Detached", because the client would kill a server that still ends its uploads.
    return { process: child, detached: true };
  }

  /** Ends client and process. It never fails, and takes seconds at most. */
  private async stopNow(): Promise<void> {
    const { client, child } = this;
    this.client = undefined; // from here on the end of the process is no crash
    this.child = undefined;
    let polite = false;
    try {
      if (client?.state === State.Running) {
        await client.stop(2000);
        polite = true;
      }
    } catch (error) {
      this.output.warn(`the server did not stop: ${sentence(error)}`);
    }
    if (child) await end(child, polite ? farewell : 0);
    try {
      await client?.dispose(0);
    } catch {
      // It was not running: nothing to dispose of.
    }
    this.setState("stopped");
  }

  private errorHandler(isCurrent: () => boolean): ErrorHandler {
    return {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => {
        if (!isCurrent()) return { action: CloseAction.DoNotRestart, handled: true };
        const now = Date.now();
        this.crashes = [...this.crashes.filter((at) => now - at < crashWindow), now];
        if (this.crashes.length < maxCrashes) return { action: CloseAction.Restart, handled: true };
        this.setState("failed", l10n.t("The JuliaHub language server crashed {0} times in three minutes.", maxCrashes));
        void this.offerHelp();
        return { action: CloseAction.DoNotRestart, handled: true };
      },
    };
  }

  /** Says once that the server cannot be had, and what can be done. */
  async offerHelp(): Promise<void> {
    const restart = l10n.t("Restart"), output = l10n.t("Show Output"), path = l10n.t("Set Path");
    const choice = await window.showErrorMessage(this.failure, restart, path, output);
    if (choice === restart) await commands.executeCommand("juliahub.ui.restart");
    if (choice === output) this.output.show();
    if (choice === path) await commands.executeCommand("workbench.action.openSettings", "juliahubLsp.path");
  }
}

/** Waits for a process to end by itself, then ends it. */
async function end(child: ChildProcess, patience: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const timer = setTimeout(() => child.kill("SIGKILL"), patience);
  await exited;
  clearTimeout(timer);
}

/** Announces that we know the juliahub/… messages. */
const announce: StaticFeature = {
  fillClientCapabilities: (capabilities) => {
    capabilities.experimental = { ...(capabilities.experimental as object | undefined), [experimental]: true };
  },
  initialize: () => undefined,
  getState: () => ({ kind: "static" }),
  clear: () => undefined,
};

/**
 * The client registers every command of the server with VS Code, where an id
 * can exist only once. Where another extension runs the same server, its
 * commands do: that is no reason not to start.
 */
function tolerateOthers(client: LanguageClient, output: LogOutputChannel): void {
  const feature = client.getFeature("workspace/executeCommand") as unknown as {
    register(data: RegistrationData<ExecuteCommandRegistrationOptions>): void;
  };
  const register = feature.register.bind(feature);
  feature.register = (data) => {
    for (const command of data.registerOptions.commands) {
      try {
        register({ id: `${data.id} ${command}`, registerOptions: { ...data.registerOptions, commands: [command] } });
      } catch {
        output.info(`${command} belongs to another extension`);
      }
    }
  };
}

/** Where the server is: as set, on the PATH, or beside the extension. */
export async function findServer(context: ExtensionContext, set: string): Promise<string> {
  if (set) {
    const path = set.replace(/^~(?=$|[/\\])/, homedir());
    if (await isExecutable(path)) return path;
    throw new NotFoundError(l10n.t("The setting juliahubLsp.path names {0}, which is not an executable file.", path));
  }
  const name = process.platform === "win32" ? "juliahub-lsp.exe" : "juliahub-lsp";
  const directories = (process.env["PATH"] ?? "").split(delimiter).filter(Boolean);
  // A package for one platform has its server in bin/, one for several has a directory for each.
  const bundled = [join("bin", `${process.platform}-${process.arch}`, name), join("bin", name)];
  for (const path of [...directories.map((d) => join(d, name)), ...bundled.map((p) => context.asAbsolutePath(p))]) {
    if (await isExecutable(path)) return path;
  }
  throw new NotFoundError(l10n.t("The JuliaHub language server (juliahub-lsp) was not found: install it on your PATH, or set its path."));
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(() => true, () => false);
}

export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
