// Tests inside the extension host: the real VS Code API, the real language
// server, the emulator's jobs. run() is called by VS Code.

import { appendFileSync } from "node:fs";
import { tests } from "./tests";

export async function run(): Promise<void> {
  const report = process.env["JULIAHUB_TEST_REPORT"] ?? "";
  const say = (line: string): void => appendFileSync(report, `${line}\n`);
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    const begun = Date.now();
    try {
      const skipped = await test();
      say(`${skipped ? `skip ${name}: ${skipped}` : `ok   ${name}`} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed++;
      const nothingWorks = failed === 1 && name === Object.keys(tests)[0];
      say(`FAIL ${name}: ${error instanceof Error ? error.stack : String(error)}`);
      if (nothingWorks) break;
    }
  }
  if (failed > 0) throw new Error(`${failed} tests failed`);
}
