-- A day with the plugin: submit a script and an appbundle, watch them in the
-- list, read a log that grows, fail at a line, download, cancel, run again.

local t = dofile(vim.env.LIB)
local juliahub = require("juliahub")

vim.lsp.enable("juliahub")

local lists = 0
vim.api.nvim_create_autocmd("User", { pattern = "JuliaHubStatus", callback = function() lists = lists + 1 end })

-- What fidget, lualine and others show.
local progress = {}
vim.api.nvim_create_autocmd("LspProgress", {
  callback = function(event)
    local value = event.data.params.value
    progress[#progress + 1] = value.kind .. " " .. (value.title or "")
  end,
})

local function list() return vim.fn.bufwinid("^juliahub://jobs$") end

t.run({
  "a script is submitted and watched in the list",
  function()
    local go = t.waiting_script("wait.jl")
    t.open("wait.jl")
    t.await(
      "who is signed in is known",
      function() return juliahub.who():find("signed in to") or juliahub.who():find(" at ") end
    )
    vim.cmd("JuliaHub submit")
    local job = t.in_state("wait.jl", "running")
    t.expect("the status line tells: " .. juliahub.status(), juliahub.status():find("wait.jl %d+%a") ~= nil)
    t.expect("and holds no item of its own", not juliahub.status():find("%", 1, true))
    vim.cmd("JuliaHub jobs")
    t.await("the list has it", function() return t.row("wait.jl") end)
    t.expect("under its heading", vim.list_contains(t.lines(), "Running"))
    local line = t.row(job.job)
    t.expect(
      "with its state and time: " .. line,
      line:find("Running") and line:find("%d+s/1h") and line:find("wait.jl", 1, true)
    )
    t.equal("the cursor is on it", vim.api.nvim_win_get_cursor(0)[1], select(2, t.row(job.job)))
    t.await("its time goes on", function() return t.row(job.job) ~= line end)

    t.press("l", job.job)
    t.await("the log is open", function() return vim.api.nvim_buf_get_name(0) == "juliahub://log/" .. job.job end)
    local log = vim.api.nvim_get_current_buf()
    t.await("what was printed is there", function() return table.concat(t.lines(log), "\n"):find("waiting") end)
    t.equal("with the cursor at the end", vim.api.nvim_win_get_cursor(0)[1], vim.api.nvim_buf_line_count(log))
    local lines = vim.api.nvim_buf_line_count(log)
    -- A second window on the log, which looks at its beginning.
    vim.cmd("split")
    local upper = vim.api.nvim_get_current_win()
    vim.api.nvim_win_set_cursor(upper, { 1, 0 })
    vim.cmd("wincmd j")
    go()
    t.await("the log grows", function() return table.concat(t.lines(log), "\n"):find("let go", 1, true) end)
    t.expect("in lines of its own", vim.api.nvim_buf_line_count(log) > lines)
    t.await(
      "its end stays in sight",
      function() return vim.api.nvim_win_get_cursor(0)[1] == vim.api.nvim_buf_line_count(log) end
    )
    t.equal("who looks at the beginning stays there", vim.api.nvim_win_get_cursor(upper)[1], 1)
    local done = t.settled("wait.jl", "completed")
    t.await(
      "the log is the whole file",
      function() return table.concat(t.lines(log), "\n") .. "\n" == t.contents(done.logFile) end
    )
    t.expect("it cannot be edited", not vim.bo[log].modifiable and vim.bo[log].buftype == "nofile")
    t.feed("q")
    vim.api.nvim_win_close(upper, true)
    t.await("the list says so", function() return (t.row(job.job) or ""):find("Completed") end)
    t.expect("and has moved it", not vim.list_contains(t.lines(vim.fn.bufnr("^juliahub://jobs$")), "Running"))
    local seen = vim
      .iter(t.jobs)
      :map(function(d) return d.job.submission == job.submission and d.job.state or nil end)
      :totable()
    t.expect(
      "each change was told: " .. table.concat(seen, " "),
      vim.list_contains(seen, "running") and seen[#seen] == "completed"
    )
    t.expect("so was the status", lists > 1)
    t.await("and the progress, which has ended", function()
      local last = progress[#progress] or ""
      return #progress > 1
        and vim.startswith(progress[1], "begin ")
        and vim.startswith(last, "end ")
        and last:find("wait.jl", 1, true)
    end)
  end,

  "a job's results are below it, and come down",
  function()
    t.open("pi.jl")
    vim.cmd("JuliaHub submit")
    local done = t.settled("pi.jl", "completed")
    t.expect(
      "nothing was said of it",
      #vim.tbl_filter(function(n) return n.level >= vim.log.levels.WARN end, t.notes) == 0
    )
    vim.cmd("JuliaHub jobs")
    t.press("<Tab>", done.job)
    t.await("its outputs are there", function() return t.row("outputs  pi: 3.14") end)
    t.press("<CR>", "outputs  ")
    t.await(
      "as a document",
      function() return vim.bo.filetype == "json" and t.lines()[2]:find('"pi": 3.14', 1, true) end
    )
    t.feed("q")
    t.press("<CR>", "     pi.csv")
    t.await("the table is opened", function() return vim.api.nvim_buf_get_name(0):find("/pi%.csv$") end)
    t.say("RESULT", vim.api.nvim_buf_get_name(0))
    t.await("the list knows that it is here", function() return (t.row("     pi.csv") or ""):find("downloaded") end)
    t.open("pi.jl")
    vim.cmd("JuliaHub results")
    t.await("it is opened again", function() return vim.api.nvim_buf_get_name(0):find("/pi%.csv$") end)
  end,

  "a failure is at its line",
  function()
    t.open("fails.jl")
    vim.cmd("JuliaHub submit")
    local done = t.settled("fails.jl", "failed")
    local function problem() return vim.diagnostic.get(0, { severity = vim.diagnostic.severity.ERROR })[1] end
    local at = t.await("the failure is shown", problem)
    t.expect("at the line that failed", t.lines()[at.lnum + 1]:find("the job fails on this line", 1, true) ~= nil)
    vim.api.nvim_buf_set_lines(0, 0, 0, false, { "# a line above" })
    t.await("it moves with its line", function() return problem() and problem().lnum == at.lnum + 1 end)
    vim.cmd("JuliaHub jobs")
    t.expect(
      "the list says where: " .. t.row(done.job),
      t.row(done.job):find("Failed at line " .. at.lnum + 1, 1, true) ~= nil
    )
    t.press("<Tab>", done.job)
    t.press("<CR>", "line " .. at.lnum + 1 .. " of fails.jl")
    t.expect("the file is shown", vim.api.nvim_buf_get_name(0):find("/fails%.jl$") ~= nil)
    t.equal("at the line where it is now", vim.api.nvim_win_get_cursor(0)[1], at.lnum + 2)
    vim.cmd("silent edit!")
  end,

  "a project goes as an appbundle",
  function()
    t.open("project/report.jl")
    local clients = vim.lsp.get_clients({ name = "juliahub" })
    t.equal("one server serves all projects", #clients, 1)
    t.await("which knows the folder", function()
      return vim.iter(clients[1].workspace_folders):any(function(f) return f.name:find("/project$") ~= nil end)
    end)
    vim.cmd("JuliaHub preview appbundle")
    t.await(
      "the preview is shown",
      function() return table.concat(t.lines(), "\n"):find("appbundle", 1, true) and vim.bo.readonly end
    )
    t.feed("q")
    t.open("project/report.jl")
    vim.cmd("JuliaHub bundle")
    t.await(
      "and that of the bundle",
      function() return table.concat(t.lines(), "\n"):find("data/", 1, true) and vim.bo.readonly end
    )
    t.feed("q")
    t.open("project/report.jl")
    -- Its package lies outside: that is sent after one question.
    local asked = #t.questions
    t.answer = function(items) return #items end
    vim.cmd("JuliaHub appbundle")
    t.await(
      "it is asked for what lies outside",
      function() return #t.questions > asked and t.questions[#t.questions].prompt:find("Greetings", 1, true) end
    )
    t.answer = 1
    local done = t.settled("report.jl", "completed")
    t.equal("as such", done.kind, "appbundle")
  end,

  "a job is cancelled after a question, and run again",
  function()
    t.waiting_script("long.jl")
    t.open("long.jl")
    vim.cmd("JuliaHub submit")
    local job = t.in_state("long.jl", "running")
    vim.cmd("JuliaHub jobs")
    t.press("e", job.job)
    t.await("it may run longer", function() return (t.row(job.job) or ""):find("/2h", 1, true) end)
    t.press("x", job.job)
    t.expect("the question names it", t.questions[#t.questions].prompt:find("long.jl", 1, true) ~= nil)
    t.equal("its first answer is harmless", t.questions[#t.questions].items[1], "Let it run")
    t.equal("and was respected", t.in_state("long.jl", "running").job, job.job)
    t.answer = 2
    t.press("x", job.job)
    t.in_state("long.jl", "stopped")
    t.settled("long.jl", "stopped")
    t.press("r", job.job)
    local again = t.job(
      "long.jl",
      "another",
      function(j) return j.job and j.job ~= job.job and j.state == "running" and j end
    )
    t.press("o", again.job)
    t.await("its page is opened", function() return (t.pages[#t.pages] or ""):find(vim.env.URL, 1, true) end)
    t.press("y", again.job)
    t.equal("its id is copied", vim.fn.getreg('"'), again.job)
    t.press("l", again.job)
    t.await("its log is opened", function() return vim.api.nvim_buf_get_name(0) == "juliahub://log/" .. again.job end)
    local windows = #vim.api.nvim_tabpage_list_wins(0)
    t.press("i", again.job)
    t.await(
      "all about it is shown",
      function() return table.concat(t.lines(), "\n"):find(again.submission, 1, true) and vim.bo.readonly end
    )
    t.equal("in the log's window", #vim.api.nvim_tabpage_list_wins(0), windows)
    t.feed("q")
    vim.cmd("JuliaHub! cancel " .. again.job)
    t.in_state("long.jl", "stopped")
    t.settled("long.jl", "stopped")
    vim.cmd("JuliaHub jobs")
    t.press("D", again.job)
    t.await("it is off the list", function() return not t.row(again.job) end)
  end,

  "the command line completes",
  function()
    t.open("pi.jl")
    local function complete(line) return vim.fn.getcompletion(line, "cmdline") end
    t.equal("subcommands", complete("JuliaHub s"), { "selection", "submit" })
    t.expect("ids", vim.list_contains(complete("JuliaHub logs jr-"), t.settled("pi.jl", "completed").job))
    t.equal("ids of jobs that can be cancelled", complete("JuliaHub cancel "), {})
    t.equal("results", complete("JuliaHub results " .. t.settled("pi.jl", "completed").job .. " p"), { "pi.csv" })
    t.write("JuliaHub.toml", 'default-profile = "small"\n[profile.small]\nncpu = 1\n[profile.smart]\nncpu = 2\n')
    t.await("profiles", function() return vim.deep_equal(complete("JuliaHub submit sm"), { "small", "smart" }) end)
    t.equal("kinds, then profiles", complete("JuliaHub preview s"), { "script", "small", "smart" })
    vim.cmd("JuliaHub profile smart")
    t.await(
      "a profile is chosen",
      function() return vim.tbl_get(t.client().settings, "juliahub", "profile") == "smart" end
    )
  end,

  "keys are listed, jobs from elsewhere taken along",
  function()
    vim.cmd("JuliaHub jobs")
    t.feed("?")
    t.expect("a key with what it does", vim.iter(t.lines()):any(function(l) return l:find("^  l +logs$") ~= nil end))
    t.feed("?")
    t.feed("R")
    local ids = vim.tbl_map(function(j) return j.job end, juliahub.jobs())
    t.equal("each job once", #ids, #vim.fn.uniq(vim.fn.sort(ids)))
    t.expect("the window is the list's", list() ~= -1)
    local alone = vim.api.nvim_win_get_cursor(0)
    t.expect("with a cursor in it", alone[1] >= 1)
  end,
})
