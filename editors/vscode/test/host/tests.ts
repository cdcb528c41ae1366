// All tests, in their order: later ones find the jobs of earlier ones.

import { account } from "./account";
import { choices } from "./choices";
import type { Test } from "./helpers";
import { jobs } from "./jobs";
import { julia } from "./julia";
import { server } from "./server";
import { start } from "./start";

export const tests: Record<string, Test> = { ...start, ...jobs, ...choices, ...account, ...julia, ...server };
