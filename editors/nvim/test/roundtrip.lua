-- A day with the language server in a bare Neovim: plain vim.lsp.config, no plugin.
-- Environment: SERVER (the binary), WORKSPACE (holds pi.jl and fails.jl).
-- Prints "ok WHAT" for every step; lines "RESULT PATH" name what was downloaded.

local workspace = vim.env.WORKSPACE
local simulated = (vim.env.SIMULATED or "") ~= "" -- no Julia: nothing is run

local function say(...) io.stdout:write(table.concat({ ... }, " "), "\n") end

local function fail(message)
  say("FAIL", message)
  say(vim.inspect(vim.diagnostic.get()))
  vim.cmd("cquit 1")
end

-- Waits for a condition and returns what made it true.
local function await(what, condition)
  local value
  local met = vim.wait(120000, function() value = condition() return value end, 20)
  if not met then fail("waited in vain for: " .. what) end
  say("ok", what)
  return value
end

-- What the server shows in the status line: every work-done progress by its
-- token, as Neovim's own LspProgress event tells it.
local progress = {}
vim.api.nvim_create_autocmd("LspProgress", {
  callback = function(event)
    local token, value = event.data.params.token, event.data.params.value
    local p = progress[token] or { reports = 0 }
    progress[token] = p
    if value.kind == "begin" then p.title, p.began = value.title, true end
    if value.kind == "report" then p.reports = p.reports + 1 end
    if value.percentage then
      if p.percentage and value.percentage < p.percentage then fail("progress went back in " .. p.title) end
      p.percentage = value.percentage
    end
    if value.kind == "end" then p.ended, p.last = true, value.message or "" end
  end,
})

local function running()
  return vim.iter(vim.tbl_values(progress)):filter(function(p) return p.began and not p.ended end):totable()
end

vim.lsp.config("juliahub", {
  cmd = { vim.env.SERVER },
  filetypes = { "julia" },
  root_markers = { "Project.toml", ".git" },
})
vim.lsp.enable("juliahub")

local function client()
  local c = vim.lsp.get_clients({ bufnr = 0, name = "juliahub" })[1]
  return c and c.initialized and not c:is_stopped() and c
end

local function open(name)
  vim.cmd.edit(workspace .. "/" .. name)
  return await("server attached to " .. name, client)
end

-- The code actions at the cursor, by the id of their command.
local function actions()
  local params = vim.lsp.util.make_range_params(0, client().offset_encoding)
  params.context = { diagnostics = {}, triggerKind = 1 }
  local answer = client():request_sync("textDocument/codeAction", params, 10000, 0)
  if not answer or answer.err then fail("code actions: " .. vim.inspect(answer)) end
  local found = {}
  for _, action in ipairs(answer.result) do
    local command = type(action.command) == "table" and action.command.command or action.command
    if command and not action.disabled and not found[command] then found[command] = action end
  end
  return found
end

-- Runs a code action as a person does, through Neovim's own menu.
local function choose(command)
  local action = await("code action " .. command, function() return actions()[command] end)
  vim.lsp.buf.code_action({
    apply = true,
    filter = function(offered) return offered.title == action.title end,
  })
end

local function diagnostics(severity)
  return vim.diagnostic.get(0, { severity = severity })
end

local function contents(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

-- The results directories there are, newest last by name.
local function results(name)
  return vim.fn.glob(workspace .. "/juliahub-results/*/" .. name, true, true)
end

local function submit_and_watch_to_the_end()
  open("pi.jl")
  choose("juliahub.submitScript")
  await("a job is shown in progress", function()
    return vim.iter(running()):find(function(p) return p.percentage or p.reports > 0 end)
  end)
  if not simulated then
    await("the script's own progress was shown, and reached its end", function()
      return vim.iter(vim.tbl_values(progress)):find(function(p)
        return p.title:find("pi.jl", 1, true) and (p.percentage or 0) > 0 and p.ended
      end)
    end)
  end
  await("every progress has ended", function() return #running() == 0 end)
  await("the job's state is on the file: completed", function()
    return vim.iter(diagnostics(vim.diagnostic.severity.HINT)):find(function(d) return d.message:lower():find("completed") end)
  end)
end

local function read_the_log()
  choose("juliahub.logs")
  await("the log is shown", function()
    if not vim.api.nvim_buf_get_name(0):find("%.log$") then return false end
    local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), "\n")
    return text:find(simulated and "SIMULATED" or "π is about 3.14", 1, true)
  end)
end

local function download()
  open("pi.jl")
  choose("juliahub.downloadResults")
  local file = await("the result is on the disk", function() return results(simulated and "*" or "pi.csv")[1] end)
  await("the result has bytes", function() return #(contents(file) or "") > 0 end)
  say("RESULT", file)
  if simulated then return end -- a job that is not run makes no table
  await("the table is opened", function() return vim.api.nvim_buf_get_name(0):find("pi%.csv$") ~= nil end)
end

local function see_a_failure_at_its_line()
  open("fails.jl")
  choose("juliahub.submitScript")
  if simulated then return end -- what is not run does not fail
  local problem = await("the failure is shown", function() return diagnostics(vim.diagnostic.severity.ERROR)[1] end)
  local line = vim.api.nvim_buf_get_lines(0, problem.lnum, problem.lnum + 1, false)[1]
  if not line:find("the job fails on this line", 1, true) then
    fail("the failure is shown at line " .. problem.lnum + 1 .. ": " .. line)
  end
  say("ok", "it is at the line that failed:", problem.lnum + 1)
  if not problem.message:find("no readings to take the mean of", 1, true) then fail(problem.message) end
  await("every progress has ended", function() return #running() == 0 end)
end

local function restart_while_a_job_runs()
  open("pi.jl")
  choose("juliahub.submitScript")
  local shown = await("the second job runs", function()
    return vim.iter(diagnostics(vim.diagnostic.severity.INFO)):find(function(d) return d.message:lower():find("running") end)
  end)
  local job = shown.message:match("jr%-%w+")
  local old = client()
  old:stop()
  await("the server stopped", function() return old:is_stopped() end)
  progress = {}
  vim.cmd("edit") -- Neovim starts the server again for this buffer
  await("another server took its place", function()
    local new = client()
    return new and new.id ~= old.id
  end)
  await("the job from before is picked up and completes", function()
    return #running() == 0 and vim.iter(diagnostics(vim.diagnostic.severity.HINT)):find(function(d)
      return d.message:find(job, 1, true) and d.message:lower():find("completed")
    end)
  end)
  choose("juliahub.downloadResults")
  await("its result is on the disk, too", function()
    local files = results(simulated and "*" or "pi.csv")
    return #files >= 2 and vim.iter(files):all(function(f) return #(contents(f) or "") > 0 end)
  end)
  for _, file in ipairs(results("pi.csv")) do say("RESULT", file) end
end

local ok, err = xpcall(function()
  submit_and_watch_to_the_end()
  read_the_log()
  download()
  see_a_failure_at_its_line()
  restart_while_a_job_runs()
end, debug.traceback)
if not ok then fail(err) end
say("PASS", "Neovim", tostring(vim.version()))
vim.cmd("qa!")
