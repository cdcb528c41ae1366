-- What the drives of the plugin share: a Neovim that has it on its runtimepath,
-- conditions that are awaited, and what a person would see.
-- Environment: SERVER (the binary), WORKSPACE, URL and TOKEN of the emulator.

local M = {}

M.workspace = vim.env.WORKSPACE

function M.say(...) io.stdout:write(table.concat({ ... }, " "), "\n") end

function M.fail(message)
  M.say("FAIL", message)
  M.say("notes:", vim.inspect(M.notes))
  M.say("diagnostics:", vim.inspect(vim.tbl_map(function(d) return { d.lnum, d.message } end, vim.diagnostic.get())))
  M.say("buffer:", vim.api.nvim_buf_get_name(0), table.concat(vim.api.nvim_buf_get_lines(0, 0, 60, false), "\n"))
  vim.cmd("cquit 1")
end

--- Waits for a condition and returns what made it true.
function M.await(what, condition)
  local value
  local met = vim.wait(120000, function()
    value = condition()
    return value
  end, 20)
  if not met then M.fail("waited in vain for: " .. what) end
  M.say("ok", what)
  return value
end

function M.expect(what, condition)
  if not condition then M.fail("not so: " .. what) end
  M.say("ok", what)
  return condition
end

function M.equal(what, got, want)
  if not vim.deep_equal(got, want) then
    M.fail(("%s: %s, want %s"):format(what, vim.inspect(got), vim.inspect(want)))
  end
  M.say("ok", what)
end

-- What a person would see and do ------------------------------------------------

M.notes = {} -- every vim.notify
vim.notify = function(text, level) M.notes[#M.notes + 1] = { text = text, level = level or vim.log.levels.INFO } end
vim.notify_once = vim.notify

--- Waits for a message that holds a text.
function M.note(text)
  return M.await("a message: " .. text, function()
    return vim.iter(M.notes):find(function(n) return n.text:find(text, 1, true) ~= nil end)
  end)
end

M.pages = {} -- every page and file that was opened outside
vim.ui.open = function(what)
  M.pages[#M.pages + 1] = what
  return { wait = function() return { code = 0 } end }, nil
end

M.questions = {} -- every choice that was asked for
M.answer = 1 -- which one is taken; a function chooses by the items
vim.ui.select = function(items, opts, choose)
  M.questions[#M.questions + 1] = { prompt = opts.prompt, items = items }
  local index = type(M.answer) == "function" and M.answer(items) or M.answer
  choose(items[index], index)
end

M.input = "1"
vim.ui.input = function(_, done) done(M.input) end

M.jobs = {} -- every User JuliaHubJob
vim.api.nvim_create_autocmd("User", {
  pattern = "JuliaHubJob",
  callback = function(event) M.jobs[#M.jobs + 1] = event.data end,
})

-- The plugin --------------------------------------------------------------------

vim.g.juliahub = { cmd = vim.env.SERVER }

function M.client()
  local c = vim.lsp.get_clients({ name = "juliahub" })[1]
  return c and c.initialized and not c:is_stopped() and c or nil
end

--- Opens a file of the workspace, and waits for the server.
function M.open(name)
  vim.cmd.edit(vim.fn.fnameescape(M.workspace .. "/" .. name))
  return M.await("the server is attached to " .. name, function()
    local c = vim.lsp.get_clients({ bufnr = 0, name = "juliahub" })[1]
    return c and c.initialized and not c:is_stopped() and c
  end)
end

function M.write(name, text)
  local path = M.workspace .. "/" .. name
  vim.fn.mkdir(vim.fs.dirname(path), "p")
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

function M.contents(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

--- A script whose job waits until a file is there, and prints before and after.
function M.waiting_script(name)
  local flag = M.workspace .. "/" .. name .. ".go"
  local text = ([[
println("waiting")
flush(stdout)
while !isfile(%q)
    sleep(0.05)
end
println("let go")
]]):format(flag)
  M.write(name, text)
  return function() M.write(name .. ".go", "") end
end

--- The newest job of a file, when it is as a function wants it.
function M.job(name, what, is)
  return M.await(("the job of %s is %s"):format(name, what), function()
    for _, job in ipairs(require("juliahub").jobs()) do
      if (job.file or ""):find("/" .. name, 1, true) then return is(job) and job end
    end
  end)
end

function M.in_state(name, state)
  return M.job(name, state, function(job) return job.state == state and (job.job or "") ~= "" and job end)
end

--- Waits until the work at a job's end is done.
function M.settled(name, state)
  return M.job(name, state .. " and settled", function(job) return job.state == state and job.settled and job end)
end

function M.lines(bufnr) return vim.api.nvim_buf_get_lines(bufnr or 0, 0, -1, false) end

--- The list's line of a job, as the buffer has it.
function M.row(text)
  local list = vim.fn.bufnr("^juliahub://jobs$")
  if list == -1 then return nil end
  for i, line in ipairs(M.lines(list)) do
    if line:find(text, 1, true) then return line, i end
  end
end

--- Presses keys in the list, on the line that holds a text.
function M.press(keys, text)
  vim.api.nvim_set_current_win(vim.fn.bufwinid("^juliahub://jobs$"))
  local _, row = M.await("a line of the list: " .. text, function()
    local _, row = M.row(text)
    if row then vim.api.nvim_win_set_cursor(0, { row, 0 }) end
    return row
  end)
  M.feed(keys)
  return row
end

function M.feed(keys) vim.api.nvim_feedkeys(vim.keycode(keys), "mx", false) end

--- The whole of :checkhealth juliahub.
function M.health()
  vim.cmd("silent checkhealth juliahub")
  local text = table.concat(M.lines(), "\n")
  vim.cmd("silent! bwipeout!")
  return text
end

--- A request to the emulator.
function M.post(path, body)
  local host, port = vim.env.URL:match("^http://([^:]+):(%d+)")
  local tcp, answer, done = assert(vim.uv.new_tcp()), "", false
  local request = (
    "POST %s HTTP/1.1\r\nHost: %s:%s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
    .. "Content-Length: %d\r\nConnection: close\r\n\r\n%s"
  ):format(path, host, port, vim.env.TOKEN, #body, body)
  tcp:connect(host, tonumber(port), function(err)
    assert(not err, err)
    tcp:write(request)
    tcp:read_start(function(failed, data)
      assert(not failed, failed)
      if data then
        answer = answer .. data
      else
        tcp:close()
        done = true
      end
    end)
  end)
  M.await("the emulator's answer", function() return done end)
  M.expect("it took " .. path .. ": " .. answer:match("^[^\r]*"), answer:find("^HTTP/1.1 2") ~= nil)
end

--- Runs a drive: the functions of a list, one after the other.
function M.run(steps)
  local ok, err = xpcall(function()
    for i = 1, #steps, 2 do
      M.say("--", steps[i])
      steps[i + 1]()
    end
  end, debug.traceback)
  if not ok then M.fail(err) end
  M.say("PASS", "Neovim", tostring(vim.version()))
  vim.cmd("qa!")
end

return M
