-- A server that hangs is replaced, one that crashes comes back, one that keeps
-- crashing is left alone; its jobs go on meanwhile.

local t = dofile(vim.env.LIB)
local juliahub, server = require("juliahub"), require("juliahub.server")

vim.lsp.enable("juliahub")

local function pid() return t.expect("its process is known", server.pid(t.client())) end

local function alive(id) return vim.uv.kill(id, 0) == 0 end

--- Waits for a client other than one, attached to this buffer.
local function another(old)
  return t.await("another server serves the buffer", function()
    local c = vim.lsp.get_clients({ bufnr = 0, name = "juliahub" })[1]
    return c and c.id ~= old.id and c.initialized and not c:is_stopped() and c
  end)
end

t.run({
  "a server that hangs is replaced while a job runs",
  function()
    local go = t.waiting_script("wait.jl")
    t.open("wait.jl")
    vim.cmd("JuliaHub submit")
    local job = t.in_state("wait.jl", "running")
    local old, id = t.client(), pid()
    vim.uv.kill(id, "sigstop")
    vim.cmd("JuliaHub restart")
    another(old)
    t.await("the old process is gone", function() return not alive(id) end)
    t.equal("one client is left", #vim.lsp.get_clients({ name = "juliahub" }), 1)
    t.await("its jobs are known", function() return require("juliahub.jobs").get(job.submission) end)
    go()
    t.equal("the job went on", t.settled("wait.jl", "completed").job, job.job)
  end,

  "restarts do not pile up",
  function()
    local old, done = t.client(), 0
    for _ = 1, 3 do
      server.restart(function(problem)
        t.expect("it is restarted", not problem)
        done = done + 1
      end)
    end
    t.await("all are told", function() return done == 3 end)
    another(old)
    t.equal("one client is left", #vim.lsp.get_clients({ name = "juliahub" }), 1)
  end,

  "a server that crashes comes back, and its job goes on",
  function()
    local go = t.waiting_script("again.jl")
    t.open("again.jl")
    vim.cmd("JuliaHub submit")
    local job = t.in_state("again.jl", "running")
    local old = t.client()
    vim.uv.kill(pid(), "sigkill")
    another(old)
    go()
    t.equal("its job completes", t.settled("again.jl", "completed").job, job.job)
    t.await("the status line knows it up", function() return juliahub.status() == "○ JuliaHub" end)
  end,

  "a server that keeps crashing is left alone until it is asked for",
  function()
    for i = 2, 5 do
      local old = t.client()
      vim.uv.kill(pid(), "sigkill")
      if i < 5 then another(old) end
    end
    t.note("crashed 5 times in three minutes")
    t.equal("the status line shows it", juliahub.status(), "✗ JuliaHub")
    t.expect("checkhealth, too", t.health():find("crashed 5 times", 1, true) ~= nil)
    t.equal("nothing runs", #vim.lsp.get_clients({ name = "juliahub" }), 0)
    vim.cmd("JuliaHub restart")
    t.await(
      "it is back for the buffer",
      function() return #vim.lsp.get_clients({ bufnr = 0, name = "juliahub" }) == 1 and t.client() end
    )
  end,

  "a server that is stopped in order stays so, and comes when it is needed",
  function()
    local old = t.client()
    old:stop()
    t.await("it is gone", function() return #vim.lsp.get_clients({ name = "juliahub" }) == 0 end)
    t.await("the status line is empty", function() return juliahub.status() == "" end)
    vim.cmd("JuliaHub jobs")
    t.await("the list is there", function() return t.client() and t.row("again.jl") end)
  end,
})
