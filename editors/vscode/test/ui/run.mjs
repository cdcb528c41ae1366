// A person's round trip through VS Code's window with the packaged extension:
// submit a script, watch, read the log, get the results, see where another one
// fails, send a project, stop a job. Takes the screenshots of the docs.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { extension, until, withSession } from "../session.mjs";

const { IMAGES } = process.env;
const begun = Date.now();
const say = (text) => console.log(`ok   ${text} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);

await withSession(async (session) => {
  const { page } = session;
  page.setDefaultTimeout(40_000);
  try {
    await roundTrip(session, helpers(session));
  } catch (error) {
    await page.screenshot({ path: join(extension, "dist", "failed-ui.png") });
    throw error;
  }
}, { vsix: join(extension, "dist/juliahub-lsp.vsix") });

/** What a person does, in terms of what is on the screen. */
function helpers({ page, simulated }) {
  const row = (text) => page.locator(`.pane-body .monaco-list-row:has-text(${JSON.stringify(text)})`).first();
  /** Picks an entry by its name. A document that opens meanwhile closes the picker: then it is opened again. */
  const pick = async (name, key, text) => {
    const found = page.locator(`.quick-input-list .monaco-list-row:has-text(${JSON.stringify(name)})`).first();
    await until(`${name} can be picked`, async () => {
      await page.keyboard.press(key);
      const input = page.locator(".quick-input-widget input");
      return input.fill(text, { timeout: 2000 }).then(() => found.click({ timeout: 2000 })).then(() => true, () => false);
    });
    await page.locator(".quick-input-widget").waitFor({ state: "hidden" });
  };
  const ui = {
    row,
    tab: (name) => page.locator(`.tab.active:has-text(${JSON.stringify(name)})`),
    async shot(name, { still = false } = {}) {
      if (simulated) return; // a picture of nothing that ran
      if (!still) await page.mouse.move(640, 795);
      await page.evaluate(() => document.fonts.ready);
      await page.locator(".quick-input-widget").waitFor({ state: "hidden" });
      await page.screenshot({ path: join(IMAGES, `${name}.png`), caret: "hide" });
    },
    /** What the editor shows; it draws spaces as unbreakable ones. */
    text: async () => (await page.locator(".editor-instance .view-lines").first().innerText()).replaceAll("\u00a0", " "),
    async openFile(name) {
      await pick(name, "Control+p", name);
      await page.locator(`.tab.active:has-text(${JSON.stringify(name)})`).waitFor();
    },
    palette: (title) => pick(title, "F1", `>${title}`),
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
    clearNotifications: () => ui.palette("Notifications: Clear All Notifications"),
  };
  return ui;
}

async function roundTrip(session, ui) {
  const { page, origin, workspace, simulated } = session;
  // Long enough to be looked at while it runs.
  const script = join(workspace, "pi.jl");
  writeFileSync(script, readFileSync(script, "utf8").replace("points = 3_000_000", "points = 6_000_000"));
  await page.goto(`${origin}/?folder=${encodeURI(workspace)}`);
  await page.locator(".explorer-folders-view .monaco-list-row:has-text('pi.jl')").dblclick();
  await page.locator(".codelens-decoration:has-text('Submit')").waitFor();
  say("the packaged extension and its own server are there");

  await ui.showView("JuliaHub");
  await page.locator(".welcome-view-content:has-text('No jobs yet')").waitFor();
  await page.mouse.move(349, 400); // the border of the side bar: room for all of a row
  await page.mouse.down();
  await page.mouse.move(420, 400, { steps: 4 });
  await page.mouse.up();
  await page.locator(".editor-actions .action-label[aria-label^='Submit as Script']").first().click();
  await ui.row("pi.jl").waitFor();
  if (!simulated) await page.locator(".pane-body .monaco-list-row", { hasText: /pi\.jl.*Running [2-9]\d %/ }).waitFor();
  await page.locator(".statusbar-item:has-text('1 job')").waitFor();
  await ui.shot("vscode-running");
  say("a script is submitted by the button in the title bar, and runs");

  await ui.row("Completed").waitFor();
  await page.locator(".codelens-decoration:has-text('Completed')").waitFor();
  await ui.clearNotifications();
  await ui.press("Completed", "Show Log");
  await ui.tab(".log").waitFor();
  await until("the log has its last line", async () => (await ui.text()).includes(simulated ? "SIMULATED" : "π is about 3.14"));
  await ui.shot("vscode-log");
  say("its log is read");

  await ui.press("Completed", "Download Results");
  const results = join(workspace, "juliahub-results");
  await until("the results are on the disk", () => existsSync(results) && readdirSync(results).some((d) => d.startsWith("jr-")));
  if (!simulated) {
    await ui.row("pi.csv").click(); // the list shows what has come
    await ui.tab("pi.csv").waitFor();
    await ui.clearNotifications();
    await ui.shot("vscode-results");
    const job = readdirSync(results).find((d) => d.startsWith("jr-"));
    assert.match(readFileSync(join(results, job, "pi.csv"), "utf8"), /^points,estimate\n/);
  }
  say("its results are downloaded and opened");

  await ui.openFile("fails.jl");
  await page.locator(".codelens-decoration:has-text('Submit') a:has-text('Submit')").first().click();
  await ui.row("fails.jl").waitFor();
  if (!simulated) {
    await page.locator(".monaco-editor .squiggly-error").first().waitFor();
    await page.locator(".codelens-decoration:has-text('Failed at line 6')").waitFor();
    await ui.clearNotifications();
    await ui.expand("fails.jl");
    await ui.row("Failed at line 6").click();
    await page.locator(".view-line:has-text('the job fails on this line')").hover({ position: { x: 100, y: 8 } });
    await page.locator(".monaco-hover:has-text('no readings to take the mean of')").first().waitFor();
    await ui.shot("vscode-failure", { still: true });
    await page.mouse.move(640, 795);
  }
  say("a script that fails is marked at its line");

  await ui.openFile("report.jl");
  await page.keyboard.press("Control+Alt+j");
  await page.keyboard.press("b");
  await ui.row("report.jl").waitFor();
  await page.locator(".pane-body .monaco-list-row:has-text('report.jl'):has-text('Completed')").waitFor();
  await ui.press("report.jl", "Download Results");
  await until("the report is on the disk", () => existsSync(join(workspace, "project/juliahub-results")));
  if (!simulated) await ui.tab("report.txt").waitFor();
  await ui.openFile("report.jl");
  say("a project goes as an appbundle, by keys");

  await ui.palette("JuliaHub: Preview Bundle");
  await until("the preview names the package", async () => (await ui.text()).includes("Greetings"));
  await ui.clearNotifications();
  await ui.shot("vscode-preview");
  say("what a bundle holds is shown");

  if (!simulated) await stopAJob(session, ui);
  await ui.palette("View: Close All Editors");
  await ui.palette("JuliaHub: Get Started");
  await page.locator(".getting-started-step, .step-title").first().waitFor();
  await ui.shot("vscode-walkthrough");
  say("the walkthrough opens");
}

async function stopAJob({ page, workspace }, ui) {
  writeFileSync(join(workspace, "slow.jl"), 'for i in 1:600\n    println("line ", i)\n    sleep(1)\nend\n');
  await ui.openFile("slow.jl");
  await page.locator(".codelens-decoration:has-text('Submit')").waitFor();
  await ui.palette("JuliaHub: Submit as Script");
  await page.locator(".pane-body .monaco-list-row:has-text('slow.jl'):has-text('Running')").waitFor();
  await ui.press("slow.jl", "Stop Job");
  await page.locator(".monaco-dialog-box .monaco-button:has-text('Stop Job')").click();
  await page.locator(".pane-body .monaco-list-row:has-text('slow.jl'):has-text('Stopped')").waitFor();
  say("a job is stopped after a question");
}
