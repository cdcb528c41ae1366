// A person's way through VS Code's window with the packaged extension: trust the
// workspace, submit by button, lens, key, code action and menu, watch, read logs,
// get results, see where a job fails, stop one. Takes the screenshots of the docs.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { extension, until, withSession } from "../session.mjs";

const { IMAGES } = process.env;
const begun = Date.now();
const say = (text) => console.log(`ok   ${text} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);

await withSession(async (session) => {
  const { page } = session;
  page.setDefaultTimeout(120_000);
  const ui = helpers(session);
  try {
    for (const step of [trusted, script, failure, appbundle, menus, account, stopped, walkthrough]) await step(session, ui);
  } catch (error) {
    await page.screenshot({ path: join(extension, "dist", "failed-ui.png") });
    throw error;
  }
}, { vsix: join(extension, "dist/juliahub-lsp.vsix"), trust: true });

/** What a person does, in terms of what is on the screen. */
function helpers({ page, workspace, simulated }) {
  const row = (text) => page.locator(`.pane-body .monaco-list-row:has-text(${JSON.stringify(text)})`).first();
  const widget = page.locator(".quick-input-widget");
  const choice = (name) => page.locator(`.quick-input-list .monaco-list-row:has-text(${JSON.stringify(name)})`).first();
  /** Picks an entry by its name. A document that opens meanwhile closes the picker: then it is opened again. */
  const pick = async (name, key, text) => {
    await until(`${name} can be picked`, async () => {
      if (await widget.isVisible()) await page.keyboard.press("Escape");
      await page.keyboard.press(key);
      return widget.locator("input").fill(text, { timeout: 10_000 }).then(() => choice(name).click({ timeout: 10_000 })).then(() => true, () => false);
    }, 120);
  };
  const ui = {
    row,
    widget,
    choice,
    job: (name, state) => page.locator(`.pane-body .monaco-list-row:has-text(${JSON.stringify(name)}):has-text(${JSON.stringify(state)})`).first(),
    tab: (name) => page.locator(`.tab.active:has-text(${JSON.stringify(name)})`),
    lens: (text) => page.locator(`.codelens-decoration a:has-text(${JSON.stringify(text)})`).first(),
    status: (text) => page.locator(`.statusbar-item[id="juliahub-lsp.juliahub-lsp.juliahub.ui.status"]:has-text(${JSON.stringify(text)})`),
    async shot(name, { still = false } = {}) {
      if (simulated) return; // a picture of nothing that ran
      await ui.palette("Notifications: Clear All Notifications", !still);
      if (!still) await page.mouse.move(640, 695);
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: join(IMAGES, `${name}.png`), caret: "hide" });
    },
    /** What the editor shows; it draws spaces as unbreakable ones. */
    text: async () => (await page.locator(".editor-instance .view-lines").first().innerText()).replaceAll("\u00a0", " "),
    /** Opens a file of the workspace, by its whole path: the search for names may not know a new file yet. */
    async openFile(path) {
      await pick(basename(path), "Control+p", join(workspace, path));
      await ui.tab(basename(path)).waitFor();
    },
    async palette(title, wanted = true) {
      if (!wanted) return;
      await pick(title, "F1", `>${title}`);
      await until(`${title} was chosen`, async () => !(await widget.isVisible()) || (await widget.locator("input").inputValue()) !== `>${title}`);
    },
    async showView(label) {
      await page.locator(`.activitybar .action-item a[aria-label^="${label}"]`).click();
    },
    /** Presses a button that a row of the list shows under the mouse. */
    async press(text, action) {
      await row(text).hover();
      await row(text).locator(`.action-label[aria-label^="${action}"]`).click();
    },
    async expand(text) {
      if ((await row(text).getAttribute("aria-expanded")) === "false") await row(text).locator(".monaco-tl-twistie").click();
    },
    /** Puts the cursor into a line of the editor. */
    async cursor(text) {
      await page.locator(`.view-line:has-text(${JSON.stringify(text)})`).first().click();
      await page.locator(".monaco-editor.focused").first().waitFor();
    },
    /** Presses Ctrl+Alt+J and a letter; VS Code says when it waits for the second key. */
    async keys(letter) {
      await page.keyboard.press("Control+Alt+j");
      await page.locator(".statusbar-item:has-text('Waiting for second key')").waitFor();
      await page.keyboard.press(letter);
    },
    /** Opens the context menu of what is found, and takes the way through it. */
    async menu(place, ...way) {
      await place.click({ button: "right" });
      for (const entry of way) {
        const item = page.locator(".monaco-menu .action-item").filter({ has: page.locator(`.action-label:text-is(${JSON.stringify(entry)})`) }).last();
        await item.hover();
        await item.click();
      }
    },
    async closeAll() {
      await ui.palette("View: Close All Editors");
      await page.locator(".tab").first().waitFor({ state: "hidden" });
    },
  };
  return ui;
}

async function trusted({ page, origin, workspace }, ui) {
  await page.goto(`${origin}/?folder=${encodeURI(workspace)}`);
  await page.locator(".explorer-folders-view .monaco-list-row:has-text('pi.jl')").dblclick();
  await page.locator(".statusbar-item:has-text('Restricted Mode')").waitFor();
  await ui.palette("Extensions: Show Installed Extensions");
  const entry = ".extensions-list .monaco-list-row:has-text('JuliaHub Jobs')";
  await page.locator(`${entry} .disabled, ${entry}.disabled`).first().waitFor();
  assert.equal(await page.locator(".codelens-decoration").count(), 0);
  assert.equal(await page.locator('.activitybar a[aria-label^="JuliaHub"]').count(), 0);
  say("in a workspace that is not trusted nothing of the extension runs");

  await ui.palette("Workspaces: Manage Workspace Trust");
  await page.locator(".workspace-trust-editor .monaco-button:text-is('Trust')").first().click();
  await page.locator('.activitybar a[aria-label^="JuliaHub"]').waitFor();
  await ui.openFile("pi.jl");
  await ui.lens("Submit").waitFor();
  say("trusted, the packaged extension and its own server are there");
}

async function script({ page, workspace, simulated }, ui) {
  await ui.closeAll();
  // Long enough to be looked at while it runs.
  const file = join(workspace, "pi.jl");
  writeFileSync(file, readFileSync(file, "utf8").replace("points = 3_000_000", "points = 6_000_000"));
  await ui.openFile("pi.jl");
  await ui.showView("JuliaHub");
  await page.locator(".welcome-view-content:has-text('No jobs yet')").waitFor();
  await page.mouse.move(349, 400); // the border of the side bar: room for all of a row
  await page.mouse.down();
  await page.mouse.move(400, 400, { steps: 4 });
  await page.mouse.up();
  await ui.status("emulator").waitFor();
  await page.locator(".editor-actions .action-label[aria-label^='Submit as Script']").first().click();
  await ui.row("pi.jl").waitFor();
  if (!simulated) {
    await ui.status("emulator · 1 job").waitFor();
    await page.locator(".pane-body .monaco-list-row", { hasText: /pi\.jl.*Running [2-9]\d %/ }).waitFor();
    await ui.shot("vscode-running");
  }
  say("a script is submitted by the button in the title bar, and runs");

  await ui.job("pi.jl", "Completed").waitFor();
  await ui.lens("Completed").waitFor();
  await ui.lens("Logs").click();
  await ui.tab(".log").waitFor();
  await until("the log has its last line", async () => (await ui.text()).includes(simulated ? "SIMULATED" : "π is about 3.14"));
  await ui.shot("vscode-log");
  say("its log is read, by the lens");

  await ui.press("pi.jl", "Download Results");
  const results = join(workspace, "juliahub-results");
  const job = await until("the results are on the disk", () => existsSync(results) && readdirSync(results).find((d) => d.startsWith("jr-")));
  if (!simulated) {
    await ui.job("pi.csv", "downloaded").click();
    await ui.tab("pi.csv").waitFor();
    assert.match(readFileSync(join(results, job, "pi.csv"), "utf8"), /^points,estimate\n/);
  }
  say("its results are downloaded and opened");
}

async function failure({ page, workspace, simulated }, ui) {
  await ui.closeAll();
  // The line that fails is in a package that travels along.
  const file = join(workspace, "Greetings/src/Greetings.jl");
  writeFileSync(file, readFileSync(file, "utf8").replace("    span(date) =", '    from <= to || error("no report ends before it begins")\n    span(date) ='));
  writeFileSync(join(workspace, "project/backwards.jl"), `# Looks back from summer to winter, which fails: in the package, not here.

using Dates
using Greetings

println(greeting("Uccle", Date(2025, 6), Date(2025, 1)))
`);
  await ui.openFile("project/backwards.jl");
  await ui.lens("Appbundle").click();
  await ui.row("backwards.jl").waitFor();
  if (!simulated) {
    await ui.job("backwards.jl", "Failed").waitFor();
    await ui.expand("backwards.jl");
    await ui.row("Failed at Greetings.jl:14").click();
    await ui.tab("Greetings.jl").waitFor();
    await page.locator(".monaco-editor .squiggly-error").first().waitFor();
    assert.match(await ui.text(), /no report ends before it begins/);
    await page.locator(".monaco-editor.focused").first().waitFor();
    await page.keyboard.press("F8");
    await page.locator(".marker-widget:has-text('no report ends before it begins')").waitFor();
    await ui.shot("vscode-failure", { still: true });
    await page.keyboard.press("Escape");
  }
  say("an appbundle that fails is marked at its line, in the package that travelled along");
}

async function appbundle({ page, workspace, simulated }, ui) {
  await ui.closeAll();
  await ui.openFile("project/report.jl");
  await ui.lens("Submit").waitFor();
  await ui.cursor("using Dates");
  await page.keyboard.press("Control+.");
  const action = page.locator(".action-widget .monaco-list-row:has-text('Submit project as appbundle')").first();
  await action.waitFor();
  await ui.shot("vscode-actions", { still: true });
  await action.click();
  await ui.job("report.jl", "Completed").waitFor();
  say("a project goes as an appbundle, by a code action");

  if (!simulated) {
    await ui.expand("report.jl");
    await ui.row("report.txt").click(); // it is not here yet
    await ui.tab("report.txt").waitFor();
    await ui.job("report.txt", "downloaded").waitFor();
    await until("the report is read", async () => (await ui.text()).includes("Greetings from Uccle"));
    assert(existsSync(join(workspace, "project/juliahub-results")));
    await ui.shot("vscode-results");
  }
  say("one of its files is downloaded and opened from the list");

  await ui.closeAll();
  await ui.openFile("project/report.jl");
  await ui.palette("JuliaHub: Preview Bundle");
  await ui.tab("bundle.txt").waitFor();
  await until("the preview names the package", async () => (await ui.text()).includes("Greetings"));
  await ui.shot("vscode-preview");
  await ui.openFile("pi.jl");
  await ui.cursor("using Logging");
  await ui.keys("p");
  await ui.tab("preview.txt").waitFor();
  await until("the preview shows the script", async () => (await ui.text()).includes("weather/pi.jl"));
  say("what a bundle and a job hold is shown");
}

async function menus({ page, workspace, simulated }, ui) {
  await ui.closeAll();
  writeFileSync(join(workspace, "lines.jl"), 'println("one")\nprintln("two")\n');
  await ui.openFile("lines.jl");
  await ui.lens("Submit").waitFor();
  await ui.cursor("two");
  await page.keyboard.press("Home");
  await page.keyboard.press("Shift+End");
  await ui.menu(page.locator(".view-line:has-text('two')").first(), "JuliaHub", "Submit Selection as Script");
  await ui.job("lines.jl", "Completed").waitFor();
  if (!simulated) {
    await ui.menu(ui.row("lines.jl"), "Show Log");
    await ui.tab(".log").waitFor();
    await until("only the selected line ran", async () => (await ui.text()).includes("two"));
    assert.doesNotMatch(await ui.text(), /^one/m);
  }
  say("selected lines are submitted by the editor's menu");

  await ui.showView("Explorer");
  const jobs = new Set(readdirSync(join(workspace, "project/juliahub-results"), { withFileTypes: true }).map((d) => d.name));
  await ui.menu(page.locator(".explorer-folders-view .monaco-list-row:has-text('project')").first(), "JuliaHub", "Submit Project as Appbundle");
  await ui.choice("report.jl").click();
  await ui.showView("JuliaHub");
  await until("there are two reports", async () => (await page.locator(".pane-body .monaco-list-row:has-text('report.jl'):has-text('Completed')").count()) === 2, 120);
  assert(jobs.size > 0);
  say("a folder is submitted by the explorer's menu");
}

async function account({ page }, ui) {
  await ui.closeAll();
  await ui.openFile("pi.jl");
  await ui.status("emulator").click();
  for (const entry of ["Sign Out", "Switch Profile…", "Show Jobs", "Show Output", "Restart"]) await ui.choice(entry).waitFor();
  await ui.choice("Restart").click();
  await ui.status("emulator").waitFor();
  await ui.lens("Completed").waitFor();
  await page.locator(".pane-body .monaco-list-row:has-text('pi.jl')").first().waitFor();
  say("the status bar says who is signed in, and its menu restarts the server");
}

async function stopped({ page, workspace, simulated }, ui) {
  if (simulated) return;
  writeFileSync(join(workspace, "slow.jl"), 'for i in 1:600\n    println("line ", i)\n    sleep(1)\nend\n');
  await ui.openFile("slow.jl");
  await ui.lens("Submit").waitFor();
  await ui.cursor("sleep");
  await ui.keys("s");
  await ui.job("slow.jl", "Running").waitFor();
  await ui.press("slow.jl", "Stop Job");
  await page.locator(".monaco-dialog-box .monaco-button:has-text('Stop Job')").click();
  await ui.job("slow.jl", "Stopped").waitFor();
  say("a job is stopped after a question");
}

async function walkthrough({ page }, ui) {
  await ui.closeAll();
  await ui.palette("View: Close Primary Side Bar");
  await ui.palette("JuliaHub: Get Started");
  const steps = ["Have the language server at hand", "Sign in", "Submit a script", "Watch your jobs", "Take the project along"];
  for (const step of steps) {
    await page.locator(`.getting-started-step:has-text(${JSON.stringify(step)})`).first().click();
    await page.locator(`.getting-started-step.expanded:has-text(${JSON.stringify(step)})`).waitFor();
  }
  await page.locator(".getting-started-step:has-text('Sign in')").first().click();
  await page.locator(".getting-started-step.expanded:has-text('Sign in') .monaco-button:has-text('Sign In')").waitFor();
  await until("its page is shown", () => visibleText(page, "Your sign-in is Julia's own"));
  await ui.shot("vscode-walkthrough");
  say("the walkthrough leads through its steps");
}

/** Whether one of the window's frames shows a text. */
async function visibleText(page, text) {
  for (const frame of page.frames()) {
    if (await frame.locator(`:text(${JSON.stringify(text)})`).first().isVisible().catch(() => false)) return true;
  }
  return false;
}
