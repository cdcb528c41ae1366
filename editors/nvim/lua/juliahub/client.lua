-- What lsp/juliahub.lua is made of: what the client can do beyond Neovim's own,
-- and what it does with the server's messages.

local config = require("juliahub.config")
local jobs = require("juliahub.jobs")
local server = require("juliahub.server")

local M = {}

-- Neovim 0.12 keeps lenses up to date by itself; for 0.11 it is done here.
local has_lenses = vim.lsp.codelens.enable ~= nil

--- Says to which buffers the server is attached, and where their project is.
---@param bufnr integer
---@param on_dir fun(root?: string)
function M.root_dir(bufnr, on_dir)
  if not server.serves(bufnr) then return end
  local cmd, problem = server.find()
  local own = (vim.lsp.config[server.name] or {}).cmd == server.start
  if not cmd and own then return server.complain(problem) end
  on_dir(server.root(bufnr))
end

--- Announces that we know the juliahub/… messages.
function M.capabilities()
  local own = { experimental = { juliahub = true } }
  if not has_lenses then own.workspace = { codeLens = { refreshSupport = true } } end
  return own
end

-- Lenses ----------------------------------------------------------------------

--- Asks for the lenses of a buffer, of our server alone (Neovim 0.11).
---@param client vim.lsp.Client
---@param bufnr integer
local function pull_lenses(client, bufnr)
  if client:is_stopped() or not vim.api.nvim_buf_is_loaded(bufnr) then return end
  local params = { textDocument = vim.lsp.util.make_text_document_params(bufnr) }
  client:request("textDocument/codeLens", params, vim.lsp.codelens.on_codelens, bufnr)
end

---@param client vim.lsp.Client
---@param bufnr integer
local function show_lenses(client, bufnr)
  if not config.get().lens then return end
  if has_lenses then return vim.lsp.codelens.enable(true, { client_id = client.id }) end
  pull_lenses(client, bufnr)
  local group = vim.api.nvim_create_augroup("juliahub.lens." .. bufnr, {})
  vim.api.nvim_create_autocmd({ "BufEnter", "InsertLeave", "BufWritePost" }, {
    group = group,
    buffer = bufnr,
    desc = "juliahub: refresh the lenses",
    callback = function()
      local now = server.client()
      if now then pull_lenses(now, bufnr) end
    end,
  })
end

-- The server's messages ---------------------------------------------------------

---@type table<string, function>
M.handlers = {
  ["juliahub/jobDidChange"] = function(_, job) jobs.put(server.without_null(job)) end,
  ["juliahub/statusDidChange"] = function(_, status) require("juliahub.status").take(server.without_null(status)) end,
  ["window/showDocument"] = function(_, params, ctx) return require("juliahub.show").document(params, ctx) end,
}
if not has_lenses then
  M.handlers["workspace/codeLens/refresh"] = function(_, _, ctx)
    local client = vim.lsp.get_client_by_id(ctx.client_id)
    for bufnr in pairs(client and client.attached_buffers or {}) do
      if client and config.get().lens then pull_lenses(client, bufnr) end
    end
    return vim.NIL
  end
end

--- Takes the server's commands, as lenses and code actions run them, by way of
--- the plugin, which shows what came of them. Those that a person has set stay.
---@param client vim.lsp.Client
local function take_commands(client)
  for _, id in ipairs(vim.tbl_get(client.server_capabilities, "executeCommandProvider", "commands") or {}) do
    client.commands[id] = client.commands[id]
      or function(command) require("juliahub.commands").run(id, command.arguments and command.arguments[1] or {}) end
  end
end

---@param client vim.lsp.Client
function M.on_init(client)
  take_commands(client)
  server.on_init(client)
  require("juliahub").fetch()
end

---@param client vim.lsp.Client
---@param bufnr integer
function M.on_attach(client, bufnr)
  server.on_attach(client, bufnr)
  show_lenses(client, bufnr)
end

return M
