// What is there once the extension has started.

import assert from "node:assert/strict";
import * as vscode from "vscode";
import type { Api } from "../../src/extension";
import { api, open, type Test, use } from "./helpers";

export const start: Record<string, Test> = {
  "the extension starts the server": async () => {
    const extension = vscode.extensions.getExtension<Api>("juliahub-lsp.juliahub-lsp");
    assert(extension, "the extension is there");
    await open("pi.jl");
    use(await extension.activate());
    assert.equal(api.server.state, "running", api.server.failure);
    assert.notEqual(api.server.version, "");
    return undefined;
  },

  "the manifest and the code know the same commands": async () => {
    const manifest = vscode.extensions.getExtension("juliahub-lsp.juliahub-lsp")?.packageJSON as {
      contributes: { commands: { command: string }[]; keybindings: { command: string; key: string }[]; menus: Record<string, { command?: string }[]> };
    };
    const declared = manifest.contributes.commands.map((c) => c.command).sort();
    // Every view has some commands that VS Code makes: juliahub.ui.jobs.focus and the like.
    const registered = (await vscode.commands.getCommands(true)).filter((c) => c.startsWith("juliahub.ui.") && !c.startsWith("juliahub.ui.jobs."));
    assert.deepEqual(registered.sort(), declared);
    for (const item of [...Object.values(manifest.contributes.menus).flat(), ...manifest.contributes.keybindings]) {
      if (item.command) assert(declared.includes(item.command), item.command);
    }
    // The server's own ids are other ones, and there for keys and lenses.
    assert((await vscode.commands.getCommands(true)).includes("juliahub.submitScript"));
    return undefined;
  },

  "no key of ours is taken": async () => {
    const defaults = await vscode.workspace.openTextDocument(vscode.Uri.parse("vscode://defaultsettings/keybindings.json"));
    const keys = [...defaults.getText().matchAll(/"key":\s*"([^"]+)"[\s\S]*?"command":\s*"([^"]+)"/g)];
    assert(keys.length > 500, "VS Code's keys can be read");
    const others = keys.filter(([, key, command]) => key?.startsWith("ctrl+alt+j") && !command?.startsWith("juliahub.")).map(([, key, command]) => `${key} ${command}`);
    assert.deepEqual(others, []);
    assert(keys.some(([, , command]) => command === "juliahub.ui.submitScript"));
    return undefined;
  },
};
