// Submitting Julia files to JuliaHub from VS Code. The work is done by the
// language server; this shows it: commands, the Jobs view, the status bar.

import { commands, env, type ExtensionContext, Uri, window, workspace } from "vscode";
import type { Middleware, ShowDocumentParams } from "vscode-languageclient/node";
import { Account } from "./account";
import { Commands, openAny } from "./commands";
import { Documents } from "./documents";
import { Jobs } from "./jobs";
import { JobsView } from "./jobsView";
import { Profiles } from "./profiles";
import { sentence, Server } from "./server";
import { Settings } from "./settings";
import { StatusBar } from "./statusBar";

/** What other extensions, and the tests, may use. */
export interface Api {
  readonly server: Server;
  readonly jobs: Jobs;
  readonly view: JobsView;
  readonly account: Account;
  readonly statusBar: StatusBar;
}

/** How often the whole list is asked for while the view is open and jobs run: how far they are is no news by itself. */
const tick = 1_000;

let server: Server | undefined;

export async function activate(context: ExtensionContext): Promise<Api> {
  const output = window.createOutputChannel("JuliaHub", { log: true });
  const jobs = new Jobs();
  const settings = new Settings(context, () => void server?.settingsChanged());
  const middleware: Middleware = {
    executeCommand: (command, args) => ui.run(command, (args[0] ?? {}) as object),
    window: { showDocument: (params) => showDocument(params) },
    workspace: {
      configuration: async (params, token, next) => {
        const answer = await next(params, token);
        return Array.isArray(answer) ? settings.checked(answer) : answer;
      },
    },
  };
  const running = new Server(context, output, middleware);
  server = running;
  const view = new JobsView(jobs);
  const documents = new Documents(jobs);
  const profiles = new Profiles(context);
  const account = new Account();
  const ui: Commands = new Commands(context, running, jobs, view, documents, profiles);
  const statusBar = new StatusBar(jobs, running, account, () => ui.currentProfile());

  const fetch = async (): Promise<void> => {
    try {
      if (running.state !== "running") return;
      jobs.replace(await running.jobs());
      account.put(await running.status() ?? account.status);
    } catch (error) {
      output.warn(`the list of jobs: ${sentence(error)}`);
    }
  };
  const timer = setInterval(() => {
    if (view.tree.visible && jobs.live().length > 0) void fetch();
  }, tick);
  context.subscriptions.push(
    output, running, jobs, view, documents, profiles, account, ui, statusBar, { dispose: () => clearInterval(timer) },
    running.onJobChanged((job) => jobs.put(job)),
    running.onStatusChanged((status) => account.put(status)),
    running.onDidChangeState((state) => {
      void commands.executeCommand("setContext", "juliahub.ui.canSignIn", running.has("juliahub.signIn"));
      if (state === "running") void fetch();
      else account.put(undefined);
    }),
    window.onDidChangeActiveTextEditor(() => void statusBar.look()),
    profiles.onDidChange(() => void statusBar.look()),
    view.tree.onDidChangeVisibility((e) => e.visible && void fetch()),
    commands.registerCommand("juliahub.ui.restart", () => running.restart().catch(() => running.offerHelp())),
    commands.registerCommand("juliahub.ui.showOutput", () => output.show()),
    commands.registerCommand("juliahub.ui.walkthrough", () =>
      commands.executeCommand("workbench.action.openWalkthrough", `${context.extension.id}#start`, false)),
    workspace.onDidChangeConfiguration((e) => {
      if (e.affectsConfiguration("juliahubLsp.path")) void commands.executeCommand("juliahub.ui.restart");
    }),
  );
  if (context.globalState.get("submittedOnce")) void commands.executeCommand("setContext", "juliahub.ui.submittedOnce", true);
  // VS Code does not say why an extension did not come up: we do.
  await running.start().catch(() => void running.offerHelp());
  return { server: running, jobs, view, account, statusBar };
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}

/** Shows what the server asks for: pages outside, files in the editor that fits them. */
async function showDocument(params: ShowDocumentParams): Promise<{ success: boolean }> {
  const uri = Uri.parse(params.uri, true);
  if (params.external) return { success: await env.openExternal(uri) };
  await openAny(uri, params.takeFocus ?? true);
  return { success: true };
}
