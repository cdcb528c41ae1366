-- Submits a job and quits while it runs. Then, with AFTER set, another Neovim:
-- finds it running, sees it end, and has its lens and diagnostics.

local t = dofile(vim.env.LIB)

vim.lsp.enable("juliahub")

t.run({
  "the editor is restarted while a job runs",
  function()
    local after = vim.env.AFTER or ""
    if after == "" then
      t.waiting_script("wait.jl")
      t.open("wait.jl")
      vim.cmd("JuliaHub submit")
      t.say("JOB", t.in_state("wait.jl", "running").job)
      return
    end
    t.open("wait.jl")
    t.equal("the job is known, and runs", t.in_state("wait.jl", "running").job, after)
    t.await("the file shows it", function()
      return vim
        .iter(vim.diagnostic.get(0))
        :any(function(d) return d.message:find(after, 1, true) and d.message:find("running") end)
    end)
    vim.cmd("JuliaHub jobs")
    t.await("the list shows it", function() return (t.row(after) or ""):find("Running") end)
    t.write("wait.jl.go", "")
    t.settled("wait.jl", "completed")
    t.await("the list follows", function() return (t.row(after) or ""):find("Completed") end)
    vim.cmd("edit juliahub://log/" .. after)
    t.await("its log is whole", function() return table.concat(t.lines(), "\n"):find("let go", 1, true) end)
  end,
})
