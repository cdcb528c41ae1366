-- What is sent: the lines of a range at their own numbers, what is in the
-- buffer and not on the disk, a buffer without a file.

local t = dofile(vim.env.LIB)

vim.lsp.enable("juliahub")

--- The log of the newest job of a file.
local function log_of(job)
  return t.await("its log", function()
    local text = job.logFile and t.contents(job.logFile)
    return text and text ~= "" and text
  end)
end

t.run({
  "a range is sent, and fails at its own line",
  function()
    t.write("parts.jl", 'println("one")\nprintln("two")\nprintln("three")\nerror("four")\nprintln("five")\n')
    t.open("parts.jl")
    vim.cmd("2,4JuliaHub submit")
    local text = log_of(t.settled("parts.jl", "failed"))
    t.expect("the lines of the range ran", text:find("two", 1, true) and text:find("three", 1, true))
    t.expect("and no others", not text:find("one\n", 1, true) and not text:find("five", 1, true))
    local problem = t.await(
      "the failure is shown",
      function() return vim.diagnostic.get(0, { severity = vim.diagnostic.severity.ERROR })[1] end
    )
    t.equal("at its line", problem.lnum, 3)
  end,

  "what was selected is sent",
  function()
    vim.cmd("normal! ggjVj\27") -- lines 2 and 3
    vim.cmd("JuliaHub selection")
    local job = t.settled("parts.jl", "completed")
    local text = log_of(job)
    t.expect(
      "these lines ran",
      text:find("two", 1, true) and text:find("three", 1, true) and not text:find("four", 1, true)
    )
  end,

  "what the editor shows is sent",
  function()
    t.write("unsaved.jl", 'println("on the disk")\n')
    t.open("unsaved.jl")
    vim.api.nvim_buf_set_lines(0, 0, 1, false, { 'println("in the buffer")' })
    vim.cmd("JuliaHub submit")
    local text = log_of(t.settled("unsaved.jl", "completed"))
    t.expect("the buffer's text ran", text:find("in the buffer", 1, true) and not text:find("on the disk", 1, true))
    t.equal("the file is as it was", t.contents(t.workspace .. "/unsaved.jl"), 'println("on the disk")\n')
  end,

  "where the settings say so, it is saved first",
  function()
    t.client().settings = { juliahub = { saveBeforeSubmit = true } }
    vim.api.nvim_buf_set_lines(0, 0, 1, false, { 'println("saved")' })
    vim.cmd("JuliaHub submit")
    t.await("it is", function() return t.contents(t.workspace .. "/unsaved.jl") == 'println("saved")\n' end)
    t.job(
      "unsaved.jl",
      "another",
      function(j) return j.state == "completed" and j.settled and t.contents(j.logFile):find("saved") and j end
    )
  end,

  "a buffer without a file is sent",
  function()
    vim.cmd("enew | setfiletype julia")
    vim.api.nvim_buf_set_lines(0, 0, -1, false, { 'println("no file")' })
    local uri = "untitled:Untitled-" .. vim.api.nvim_get_current_buf()
    vim.cmd("JuliaHub submit")
    local job = t.await("its job completes", function()
      return vim
        .iter(require("juliahub").jobs())
        :find(function(j) return j.uri == uri and j.state == "completed" and j.settled end)
    end)
    t.expect("it ran", log_of(job):find("no file", 1, true) ~= nil)
    t.equal("it is the buffer's job", require("juliahub.jobs").of_buffer(0).submission, job.submission)
    vim.cmd("bwipeout!")
  end,

  "what is no Julia file is not sent",
  function()
    vim.cmd.edit(t.workspace .. "/project/Project.toml")
    vim.cmd("JuliaHub submit")
    t.note("This is no Julia file")
  end,

  "lenses and code actions take the plugin's way",
  function()
    t.open("pi.jl")
    local lens = t.await("a lens", function()
      local all = vim.lsp.codelens.get({ bufnr = 0 })
      return vim
        .iter(all)
        :map(function(l) return l.lens.command end)
        :find(function(c) return c.command == "juliahub.submitScript" end)
    end)
    local columns = vim.tbl_map(
      function(l) return l.lens.range.start.character end,
      vim.lsp.codelens.get({ bufnr = 0 })
    )
    for i, column in ipairs(columns) do
      t.equal("lens " .. i .. " has its place", column, i - 1)
    end
    t.client():exec_cmd(lens, { bufnr = 0 })
    t.settled("pi.jl", "completed")
    t.await("the lens of the job", function()
      return vim
        .iter(vim.lsp.codelens.get({ bufnr = 0 }))
        :any(function(l) return l.lens.command.title:find("Completed", 1, true) ~= nil end)
    end)
    vim.lsp.buf.code_action({ apply = true, filter = function(a) return a.title == "Show logs" end })
    t.await(
      "its log is a buffer that follows",
      function() return vim.startswith(vim.api.nvim_buf_get_name(0), "juliahub://log/jr-") end
    )
  end,
})
