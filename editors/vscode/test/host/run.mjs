// Runs dist/tests.js inside VS Code's extension host.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { extension, withSession } from "../session.mjs";

/** Fifteen minutes: a minute and a half on an idle machine, and slow ones are slow. */
const limit = 15 * 60_000;

await withSession(async ({ dir, both, origin, context, page }) => {
  // The window calls these when the tests have ended.
  let end;
  const ended = new Promise((resolve) => { end = resolve; });
  await context.exposeFunction("codeAutomationLog", () => undefined);
  await context.exposeFunction("codeAutomationExit", (code) => end(code));
  const remote = `vscode-remote://${new URL(origin).host}`;
  const payload = JSON.stringify([["extensionDevelopmentPath", remote + extension], ["extensionTestsPath", `${remote}${extension}/dist/tests.js`]]);
  await page.goto(`${origin}/?workspace=${encodeURI(both)}&payload=${encodeURIComponent(payload)}`);
  const timer = setTimeout(() => end("too late"), limit);
  const code = await ended;
  clearTimeout(timer);
  const report = join(dir, "report.txt");
  process.stdout.write(existsSync(report) ? readFileSync(report, "utf8") : "no test ran\n");
  if (code !== 0) {
    await page.screenshot({ path: join(extension, "dist", "failed-host.png") });
    throw new Error(`the tests in the extension host ended with ${code}`);
  }
}, { julia: true });
