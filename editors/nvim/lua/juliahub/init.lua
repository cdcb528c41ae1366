-- Submitting Julia files to JuliaHub from Neovim. The work is done by the
-- language server; the plugin shows it. See :help juliahub.

local M = {}

--- What is going on, for a status line: the running job or how many there are,
--- that the server is down, or "" where there is nothing to tell. It never
--- holds a "%".
---@return string
function M.status() return require("juliahub.status").text() end

--- Who is signed in, such as "alice at juliahub.com"; "" where that is not known.
---@return string
function M.who() return require("juliahub.status").who() end

--- All known jobs, newest first.
---@return juliahub.Job[]
function M.jobs() return vim.deepcopy(require("juliahub.jobs").list()) end

--- Runs a command of the server, such as "juliahub.submitScript", with its one
--- argument (docs/commands.md lists both), and shows what came of it.
---@param command string
---@param argument? juliahub.Argument
function M.run(command, argument) require("juliahub.commands").run(command, argument or {}) end

--- Asks the server for all that it remembers.
---@param done? fun(problem?: string)
function M.fetch(done)
  local server = require("juliahub.server")
  server.request("juliahub/jobs", vim.empty_dict(), function(problem, answer)
    if answer then require("juliahub.jobs").replace(answer.jobs or {}) end
    if done then done(problem) end
  end)
end

--- Asks the server for all that it remembers, and JuliaHub for jobs from elsewhere.
---@param done? fun(problem?: string)
function M.refresh(done)
  local server, jobs = require("juliahub.server"), require("juliahub.jobs")
  M.fetch(function(problem)
    if problem then return done and done(problem) end
    server.execute("juliahub.jobs", { limit = 50, wait = true, show = false }, function(failed, answer)
      if answer then jobs.replace_listed(answer.server, answer.jobs or {}) end
      if done then done(failed) end
    end)
  end)
end

return M
