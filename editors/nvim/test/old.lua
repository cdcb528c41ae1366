-- The plugin where Neovim has only what 0.11 has: what 0.12 brought is taken
-- away before it is loaded, and what 0.12 took away is put back.

local t = dofile(vim.env.LIB)

local has = vim.fn.has
vim.fn.has = function(feature) return feature == "nvim-0.12" and 0 or has(feature) end

-- Lenses as 0.11 has them: nothing asks for them by itself.
local lenses = {} -- titles by buffer
local asked = 0
for name in pairs(vim.lsp.codelens) do
  vim.lsp.codelens[name] = nil
end
vim.lsp.codelens.on_codelens = function(err, result, ctx)
  t.expect("lenses without an error", not err)
  asked = asked + 1
  lenses[ctx.bufnr] = vim.tbl_map(function(l) return l.command.title end, result or {})
end

-- The command is called with its first argument alone.
local start = require("juliahub.server").start
require("juliahub.server").start = function(dispatchers) return start(dispatchers) end

vim.lsp.enable("juliahub")

t.run({
  "nothing newer is named without a look",
  function()
    local newer = {
      "vim%.list%.",
      "vim%.net%.",
      "vim%.pos",
      "vim%.range",
      "vim%.fs%.ext",
      "vim%.text%.",
      "vim%.lsp%.get_configs",
      "nvim_ui_send",
      "nvim_open_tabpage",
      "exit_timeout",
      "[{ ]buf = ",
      "Iter:take",
      "vim%.ui%.progress",
    }
    for _, file in ipairs(vim.fn.glob(vim.env.PLUGIN .. "/lua/juliahub/*.lua", true, true)) do
      local text = t.contents(file)
      for _, name in ipairs(newer) do
        t.expect(vim.fs.basename(file) .. " without " .. name, not text:find(name))
      end
    end
  end,

  "lenses are asked for, and again when the server says so",
  function()
    local client = t.open("pi.jl")
    t.expect("refreshing is announced", client.capabilities.workspace.codeLens.refreshSupport)
    t.equal(
      "markers are one list",
      client.config.root_markers,
      { "JuliaProject.toml", "Project.toml", "JuliaHub.toml", ".git" }
    )
    local bufnr = vim.api.nvim_get_current_buf()
    t.await("the first", function() return vim.list_contains(lenses[bufnr] or {}, "▶ Submit") end)
    local before = asked
    vim.api.nvim_exec_autocmds("InsertLeave", { buffer = bufnr })
    t.await("after leaving insert mode", function() return asked > before end)
    vim.cmd("JuliaHub submit")
    t.settled("pi.jl", "completed")
    t.await("those of the job", function()
      return vim.iter(lenses[bufnr]):any(function(l) return l:find("Completed", 1, true) ~= nil end)
    end)
  end,

  "all the rest works",
  function()
    vim.cmd("JuliaHub jobs")
    t.press("<Tab>", "pi.jl")
    t.press("<CR>", "     pi.csv")
    t.await("a result is opened", function() return vim.api.nvim_buf_get_name(0):find("/pi%.csv$") end)
    vim.cmd("JuliaHub logs pi.jl")
    t.await("a log", function() return table.concat(t.lines(), "\n"):find("π is about", 1, true) end)
    t.expect("checkhealth", t.health():find("It runs: version", 1, true) ~= nil)
    t.open("pi.jl")
    local old = t.client()
    vim.cmd("JuliaHub restart")
    t.await(
      "another server",
      function() return t.client() and t.client().id ~= old.id and vim.lsp.buf_is_attached(0, t.client().id) end
    )
    t.expect(
      "nothing was warned of",
      #vim.tbl_filter(function(n) return n.level >= vim.log.levels.WARN end, t.notes) == 0
    )
  end,
})
