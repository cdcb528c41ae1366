-- The Neovim of two editors that have the same file open. The other one submits
-- it. Environment: SERVER, WORKSPACE, READY (a file to make when the server is up).

local workspace = vim.env.WORKSPACE

local function say(...) io.stdout:write(table.concat({ ... }, " "), "\n") end

local function await(what, condition)
  local value
  local met = vim.wait(90000, function() value = condition() return value end, 30)
  if not met then
    say("FAIL", "waited in vain for: " .. what, vim.inspect(vim.diagnostic.get()))
    vim.cmd("cquit 1")
  end
  say("ok", what)
  return value
end

vim.lsp.config("juliahub", { cmd = { vim.env.SERVER }, filetypes = { "julia" }, root_markers = { "Project.toml" } })
vim.lsp.enable("juliahub")
vim.cmd.edit(workspace .. "/pi.jl")
local client = await("the server is attached", function()
  local c = vim.lsp.get_clients({ bufnr = 0, name = "juliahub" })[1]
  return c and c.initialized and c
end)
assert(io.open(vim.env.READY, "w")):close()

local function shown(state)
  local found = vim.iter(vim.diagnostic.get(0)):filter(function(d) return d.message:find("JuliaHub job", 1, true) end):totable()
  if #found > 1 then
    say("FAIL", "one job is shown twice:", vim.inspect(found))
    vim.cmd("cquit 1")
  end
  return found[1] and found[1].message:lower():find(state, 1, true) and found[1]
end

await("the other editor's job is shown here, too", function() return shown("jr-") end)
local job = await("it completes", function() return shown("completed") end).message:match("jr%-%w+")
say("JOB", job)
local answer = client:request_sync("workspace/executeCommand", {
  command = "juliahub.downloadResults",
  arguments = { { uri = vim.uri_from_bufnr(0), wait = true, show = false } },
}, 60000, 0)
if not answer or answer.err or #answer.result.files == 0 then
  say("FAIL", "the download: " .. vim.inspect(answer))
  vim.cmd("cquit 1")
end
say("PASS")
vim.cmd("qa!")
