-- What needs no server, or a server and no JuliaHub: where the server is looked
-- for, which buffers are its business, words, settings, completion, help, health,
-- and that nothing newer than Neovim 0.11 is called without a look.

local t = dofile(vim.env.LIB)
local root = vim.env.PLUGIN

--- The text of a message that a function makes.
local function said(run)
  t.notes = {}
  run()
  return t.notes[1] and t.notes[1].text or ""
end

--- The globals that a function and those in it read or write, out of its
--- bytecode: what a linter would find, without one.
local function globals_of(chunk)
  local jit = require("jit.util")
  local function op(f, pc) return bit.band(jit.funcbc(f, pc) or 0, 0xff) end
  local get, set = op(loadstring("return a"), 1), op(loadstring("a = nil"), 2)
  local names = {}
  local function look(f)
    local pc = 1
    while jit.funcbc(f, pc) do
      if op(f, pc) == get or op(f, pc) == set then
        names[jit.funck(f, -bit.rshift(jit.funcbc(f, pc), 16) - 1)] = true
      end
      pc = pc + 1
    end
    for i = -1, -jit.funcinfo(f).gcconsts, -1 do
      local constant = jit.funck(f, i)
      if type(constant) == "proto" then look(constant) end
    end
  end
  look(chunk)
  return names
end

t.run({
  "every file is Lua, and loads",
  function()
    local files = vim.fs.find(
      function(name) return name:find("%.lua$") ~= nil end,
      { path = root, limit = math.huge, type = "file" }
    )
    t.expect("they are found: " .. #files, #files >= 15)
    for _, file in ipairs(files) do
      local chunk, problem = loadfile(file)
      t.expect(file:sub(#root + 2), chunk or t.fail(problem))
    end
    for _, name in ipairs({
      "config",
      "words",
      "jobs",
      "status",
      "server",
      "client",
      "commands",
      "show",
      "logs",
      "view",
      "health",
    }) do
      t.expect("juliahub." .. name, type(require("juliahub." .. name)) == "table")
    end
  end,

  "no name of a global is mistyped",
  function()
    for _, file in ipairs(vim.fn.glob(root .. "/**/*.lua", true, true)) do
      for name in pairs(globals_of(assert(loadfile(file)))) do
        if rawget(_G, name) == nil then t.fail(file .. " uses the global " .. name) end
      end
    end
  end,

  "the help has its tags",
  function()
    local dir = vim.fn.tempname()
    vim.fn.mkdir(dir)
    vim.uv.fs_copyfile(root .. "/doc/juliahub.txt", dir .. "/juliahub.txt")
    vim.cmd.helptags(dir)
    local tags = t.contents(dir .. "/tags")
    local missing = {}
    for tag in t.contents(dir .. "/juliahub.txt"):gmatch("|([^|%s]+)|") do
      local own = tag:find("[jJ]ulia[hH]ub") ~= nil
      if own and not tags:find(tag .. "\t", 1, true) then missing[#missing + 1] = tag end
      if not own and #vim.fn.getcompletion(tag, "help") == 0 then missing[#missing + 1] = tag end
    end
    t.equal("links that lead nowhere", missing, {})
    for _, name in ipairs(require("juliahub.commands").names()) do
      t.expect(":JuliaHub-" .. name, tags:find("\n:JuliaHub-" .. name .. "\t", 1, true) ~= nil)
    end
    local text = t.contents(dir .. "/juliahub.txt")
    for _, key in ipairs(require("juliahub.view").keys) do
      t.expect("the key " .. key.key, text:find("\n`?" .. vim.pesc(key.key) .. "`? +") ~= nil)
    end
    local wide = vim.iter(vim.gsplit(text, "\n")):find(function(l) return vim.fn.strdisplaywidth(l) > 78 end)
    t.equal("a line that is too wide", wide, nil)
    local saying = text:match("%-%-%-([^\n]*)vim:tw=78")
    t.expect("it ends with its modeline", saying ~= nil or text:find("\n vim:tw=78:ts=8:noet:ft=help:norl:\n$") ~= nil)
  end,

  "words",
  function()
    local words = require("juliahub.words")
    local now = words.time("2026-05-04T12:00:00Z")
    t.equal("a time", now, 1777896000)
    t.equal("with an offset and a fraction", words.time("2026-05-04T14:30:00.5+02:30"), now + 0.5)
    t.equal("of long ago", words.time("0001-01-01T00:00:00Z"), -62135596800)
    t.equal("of a leap day", words.time("2024-02-29T00:00:00Z"), 1709164800)
    t.equal("none", words.time("soon"), nil)
    local job = {
      submission = "s",
      state = "running",
      server = "",
      created = "2026-05-04T10:00:00Z",
      started = "2026-05-04T10:55:00Z",
      pricePerHour = 0.6,
      nodes = 2,
      percent = 41.7,
      file = "/a b/train.jl",
    }
    vim.g.juliahub = { icons = "unicode" }
    t.equal("a summary", words.summary(job, now), "Running 41% · 1h05m · $1.30")
    vim.g.juliahub = { icons = "ascii" }
    t.equal("in ASCII", words.summary(job, now), "Running 41% - 1h05m - $1.30")
    for name, icon in pairs(words.icons()) do
      t.expect("the sign for " .. name, not icon:find("[\128-\255]"))
    end
    t.equal(
      "durations",
      vim.tbl_map(words.duration, { 0, 59.9, 60, 3600, 3660, 86400 }),
      { "0s", "59s", "1m", "1h", "1h01m", "24h" }
    )
    t.equal("dollars", vim.tbl_map(words.dollars, { 0, 0.004, 1.299 }), { "$0.00", "<$0.01", "$1.30" })
    t.equal(
      "bytes",
      vim.tbl_map(words.bytes, { -1, 0, 999, 1500, 15000, 1.5e6, 1.5e7 }),
      { "", "0 B", "999 B", "1.5 kB", "15 kB", "1.5 MB", "15 MB" }
    )
    t.equal("names", words.name(job), "train.jl")
    t.equal("of jobs without a file", words.name({ job = "jr-1", alias = "a\27[31mb\n c" }), "ab c")
    t.equal("groups", words.group(job, now), "running")
    t.equal("of yesterday", words.group({ state = "failed", ended = "2026-05-01T11:00:00Z" }, now), "older")
    t.equal("plain text", words.plain("a\27[1;31mb\0c\226\128\174d\tπ"), "abcd\tπ")
    t.equal("outputs", words.outputs('{"b": "x", "a": [1]}'), "a: [1], b: x")
    t.equal("a state that nobody knows", words.state_word("new"), "new")
  end,

  "settings",
  function()
    local config = require("juliahub.config")
    vim.g.juliahub = nil
    t.equal("defaults", config.get(), config.defaults)
    vim.g.juliahub = { open = "window", cmd = 3, colour = "red", lens = false }
    local got, problems = config.get()
    t.equal("what is wrong", #problems, 3)
    t.equal("does not count", { got.open, got.cmd, got.lens }, { "split", nil, false })
    t.expect("checkhealth says so", t.health():find("open has to be one of: split, vsplit, tab, edit", 1, true) ~= nil)
    vim.g.juliahub = nil
    vim.g.juliahub = function() return { icons = "ascii" } end
    t.equal("a function makes them", config.get().icons, "ascii")
    vim.g.juliahub = nil
    vim.env.LC_ALL, vim.env.TERM = "C", "xterm"
    t.equal("no UTF-8, no signs beyond ASCII", require("juliahub.words").icon("running"), "*")
    vim.env.LC_ALL = "en_US.utf8"
    t.equal("else they are", require("juliahub.words").icon("running"), "●")
    vim.env.TERM = "linux"
    t.equal("but on the console", require("juliahub.words").icon("running"), "*")
  end,

  "the server is looked for where it is set, on the PATH, beside the plugin",
  function()
    local server = require("juliahub.server")
    local dir = vim.fn.tempname()
    local function place(name)
      local path = vim.fs.joinpath(dir, name, "juliahub-lsp")
      vim.fn.mkdir(vim.fs.dirname(path), "p")
      vim.fn.writefile({ "#!/bin/sh" }, path)
      vim.uv.fs_chmod(path, 493) -- 0755
      return path
    end
    local home, path = server.home, vim.env.PATH
    server.home = function() return dir .. "/repository/editors/nvim" end
    vim.g.juliahub = { cmd = dir .. "/nothing" }
    local cmd, problem = server.find()
    t.expect("what is set and not there: " .. problem, cmd == nil and problem:find("cannot be executed", 1, true))
    vim.g.juliahub = nil
    vim.env.PATH = dir .. "/path"
    cmd, problem = server.find()
    t.expect("nowhere: " .. problem, cmd == nil and problem:find("was not found", 1, true))
    t.expect("checkhealth says what to do", t.health():find("make build", 1, true) ~= nil)
    local built = place("repository/bin")
    t.equal("built in the repository", server.find(), { built })
    local shipped = place("repository/editors/nvim/bin")
    t.equal("shipped with the plugin", server.find(), { shipped })
    local on_path = place("path")
    t.equal("on the PATH", server.find(), { on_path })
    vim.g.juliahub = { cmd = place("set") }
    t.equal("set", server.find(), { dir .. "/set/juliahub-lsp" })
    vim.g.juliahub = { cmd = { dir .. "/set/juliahub-lsp", "--trace" } }
    t.equal("with arguments", server.find(), { dir .. "/set/juliahub-lsp", "--trace" })
    server.home, vim.env.PATH = home, path
  end,

  "without a server that is said once, and nothing is started",
  function()
    vim.g.juliahub = { cmd = "/nowhere/juliahub-lsp" }
    t.notes = {}
    vim.lsp.enable("juliahub")
    vim.cmd.edit(vim.fn.fnameescape(t.write("one.jl", "1")))
    vim.cmd.edit(vim.fn.fnameescape(t.write("two.jl", "2")))
    t.equal("messages", #t.notes, 1)
    t.expect("which say what to do: " .. t.notes[1].text, t.notes[1].text:find(":checkhealth juliahub", 1, true))
    t.equal(
      "the status line shows it",
      require("juliahub").status(),
      require("juliahub.words").icon("failed") .. " JuliaHub"
    )
    t.expect(
      "a command says it, too",
      said(function() vim.cmd("JuliaHub jobs") end):find("cannot be executed", 1, true)
    )
    vim.cmd("silent! bwipeout!")
    vim.g.juliahub = { cmd = vim.env.SERVER }
  end,

  "a server that does not come up is said so once, and not tried again",
  function()
    local path = vim.fn.tempname()
    vim.fn.writefile({ "#!/bin/sh", "exit 3" }, path)
    vim.uv.fs_chmod(path, 493) -- 0755
    vim.g.juliahub = { cmd = path }
    t.notes = {}
    vim.cmd.edit(vim.fn.fnameescape(t.write("dead.jl", "0")))
    t.note("ended as soon as it was started, with exit code 3")
    t.await(
      "the client is gone",
      function() return #vim.lsp.get_clients({ name = "juliahub", _uninitialized = true }) == 0 end
    )
    vim.cmd("silent! bwipeout!")
    vim.lsp.enable("juliahub", false)
    vim.g.juliahub = { cmd = vim.env.SERVER }
  end,

  "a log grows, is cut, is another",
  function()
    local logs = require("juliahub.logs")
    local path = t.write("job.log", "one\ntw")
    logs.show("jr-test", path)
    t.equal("as it is", t.lines(), { "one", "tw" })
    local function becomes(what, text, want)
      t.write("job.log", text)
      t.await(what, function() return vim.deep_equal(t.lines(), want) end)
    end
    becomes("a line goes on", "one\ntwo", { "one", "two" })
    becomes("it ends", "one\ntwo\n", { "one", "two" })
    becomes("another follows", "one\ntwo\n\nthree\r\n", { "one", "two", "", "three" })
    becomes(
      "colours are left out, also in two parts",
      "one\ntwo\n\nthree\r\n\27[3",
      { "one", "two", "", "three", "[3" }
    )
    becomes(
      "when the rest comes",
      "one\ntwo\n\nthree\r\n\27[31mred\27[0m π\n",
      { "one", "two", "", "three", "red π" }
    )
    t.equal("the cursor has followed", vim.api.nvim_win_get_cursor(0)[1], 5)
    becomes("it is cut", "four\n", { "four" })
    t.write("other.log", "five\nsix\n")
    assert(vim.uv.fs_rename(t.workspace .. "/other.log", path))
    t.await("it is another file", function() return vim.deep_equal(t.lines(), { "five", "six" }) end)
    vim.cmd("bwipeout!")
  end,

  "the list in ASCII is all ASCII, and aligned",
  function()
    vim.g.juliahub = { cmd = vim.env.SERVER, icons = "ascii" }
    local jobs, view = require("juliahub.jobs"), require("juliahub.view")
    local list = {}
    local states = { "bundling", "unknown", "submitted", "running", "completed", "failed", "stopped", "refused" }
    for i, state in ipairs(states) do
      list[i] = {
        submission = "s" .. i,
        job = "jr-" .. i,
        state = state,
        server = "",
        created = ("2026-05-04T10:00:0%dZ"):format(i),
        started = "2026-05-04T10:00:00Z",
        ended = i > 4 and "2026-05-04T10:0" .. i .. ":00Z" or nil,
        pricePerHour = 0.5,
        file = "/home/ada/" .. ("a"):rep(i) .. ".jl",
        node = "m6",
        reason = "because",
        lastLine = ("long "):rep(1000),
        results = {
          { name = "a.csv", type = "result", size = 1200 },
          { name = "picture.png", type = "result", size = -1 },
        },
      }
    end
    list[2].file = "/home/ada/" .. ("π"):rep(60) .. ".jl" -- names may be wide, and are cut
    jobs.replace(list)
    vim.cmd("edit juliahub://jobs")
    local columns = {}
    for _, job in ipairs(list) do
      local line = t.expect("a line for " .. job.job, t.row(job.job .. " "))
      columns[vim.fn.strdisplaywidth(line:sub(1, line:find(job.job, 1, true)))] = true
      if job ~= list[2] then t.expect("of ASCII: " .. line:sub(1, 60), not line:find("[\128-\255]")) end
    end
    t.equal("all ids in one column", vim.tbl_count(columns), 1)
    t.press("<Tab>", "jr-5 ")
    t.expect("files are below", t.row("     picture.png") and t.row("     a.csv        1.2 kB"))
    t.press("<Tab>", "     a.csv")
    t.expect("and gone when it is folded", not t.row("     a.csv"))
    jobs.replace({})
    view.render()
    vim.g.juliahub = { cmd = vim.env.SERVER }
  end,

  "which buffers are its business",
  function()
    local function attached(path)
      vim.cmd.edit(vim.fn.fnameescape(path))
      local bufnr = vim.api.nvim_get_current_buf()
      return require("juliahub.server").serves(bufnr), vim.bo.filetype
    end
    t.write(".juliabundleignore", "# nothing\n*.csv\n!keep.csv\n")
    local yes = {
      ["a.jl"] = "julia",
      ["JuliaHub.toml"] = "toml",
      ["Project.toml"] = "toml",
      ["JuliaProject.toml"] = "toml",
      ["Manifest.toml"] = "toml",
      ["Manifest-v1.11.toml"] = "toml",
      ["JuliaManifest.toml"] = "toml",
      [".juliabundleignore"] = "juliabundleignore",
    }
    for name, filetype in vim.spairs(yes) do
      local serves, got = attached(t.workspace .. "/served/" .. name)
      t.equal(name, { serves, got }, { true, filetype })
    end
    for _, name in ipairs({ "Cargo.toml", "pyproject.toml", "a.md" }) do
      t.equal(name, (attached(t.workspace .. "/served/" .. name)), false)
    end
    vim.cmd.edit(vim.fn.fnameescape(t.workspace .. "/.juliabundleignore"))
    t.equal("comments", vim.bo.commentstring, "# %s")
    vim.cmd("syntax on")
    t.equal("and their colour", vim.fn.synIDattr(vim.fn.synID(1, 3, 1), "name"), "juliabundleignoreComment")
    t.equal("that of a negation", vim.fn.synIDattr(vim.fn.synID(3, 1, 1), "name"), "juliabundleignoreNegation")
  end,

  "a command starts the server where nothing else has",
  function()
    vim.cmd("silent! %bwipeout!")
    t.write("three.jl", "3")
    vim.cmd.edit(vim.fn.fnameescape(t.workspace .. "/three.jl"))
    t.equal("no client yet", #vim.lsp.get_clients({ name = "juliahub", _uninitialized = true }), 0)
    vim.cmd("JuliaHub preview")
    t.await("the preview is there", function() return table.concat(t.lines(), "\n"):find("three.jl", 1, true) end)
    local file = vim.fn.bufnr(t.workspace .. "/three.jl")
    t.equal("the file is the server's now", #vim.lsp.get_clients({ name = "juliahub", bufnr = file }), 1)
    vim.lsp.enable("juliahub")
  end,

  "it attaches to them, and to no other TOML file",
  function()
    vim.cmd("silent! %bwipeout!")
    t.open("one.jl")
    vim.cmd.edit(vim.fn.fnameescape(t.write("project/pyproject.toml", "")))
    local other = vim.api.nvim_get_current_buf()
    t.open("project/Project.toml")
    t.equal("to no other", #vim.lsp.get_clients({ bufnr = other, name = "juliahub" }), 0)
    t.open(".juliabundleignore")
    t.equal("all by one server", #vim.lsp.get_clients({ name = "juliahub" }), 1)
  end,

  "all of the server's commands go by way of the plugin",
  function()
    local theirs = t.client().server_capabilities.executeCommandProvider.commands
    t.expect("there are some: " .. #theirs, #theirs > 20)
    for _, id in ipairs(theirs) do
      t.expect(id, type(t.client().commands[id]) == "function")
    end
    -- And those that the plugin sends by name exist.
    local text = t.contents(root .. "/lua/juliahub/commands.lua") .. t.contents(root .. "/lua/juliahub/view.lua")
    for id in text:gmatch('"(juliahub%.%l%a*%u?%a*)"') do
      local known = vim.list_contains(theirs, id) or package.loaded[id] ~= nil
      t.expect(id .. " exists", known)
    end
  end,

  "checkhealth finds all in order",
  function()
    local text = t.health()
    t.expect("the process", text:find("process " .. require("juliahub.server").pid(t.client()), 1, true) ~= nil)
    for _, bad in ipairs({ "ERROR", "not started with Julia files" }) do
      t.expect("no " .. bad, not text:find(bad, 1, true) or t.fail(text))
    end
  end,

  "the command line",
  function()
    t.expect(
      "an unknown subcommand names the others",
      said(function() vim.cmd("JuliaHub fly") end):find("appbundle", 1, true) ~= nil
    )
    t.equal("all are completed", vim.fn.getcompletion("JuliaHub ", "cmdline"), require("juliahub.commands").names())
    t.equal("after a range", vim.fn.getcompletion("1,2JuliaHub ap", "cmdline"), { "appbundle" })
    t.equal("and after a bang", vim.fn.getcompletion("JuliaHub! ca", "cmdline"), { "cancel" })
    for name, subcommand in pairs(require("juliahub.commands").subcommands) do
      t.expect(name .. " says what it does", #subcommand.doc > 10)
    end
    vim.cmd("JuliaHub logs jr-nothing")
    t.await(
      "a job that there is not is an error",
      function() return t.notes[#t.notes] and t.notes[#t.notes].level == vim.log.levels.ERROR end
    )
  end,

  "the list is empty, and says what to do",
  function()
    vim.cmd("JuliaHub jobs")
    t.await("it is there", function() return table.concat(t.lines(), "\n"):find("No jobs yet", 1, true) end)
    t.expect("it cannot be edited", not vim.bo.modifiable and vim.bo.buftype == "nofile" and not vim.bo.buflisted)
    t.feed("l")
    t.feed("q")
    vim.g.juliahub = { cmd = vim.env.SERVER, open = "edit" }
    local windows = #vim.api.nvim_list_wins()
    vim.cmd("JuliaHub jobs")
    t.equal("where the settings say", #vim.api.nvim_list_wins(), windows)
  end,

  "what the client says of itself is on record",
  function()
    local record = { capabilities = t.client().capabilities }
    t.say("CAPABILITIES", vim.json.encode(record.capabilities))
  end,
})
