-- The log of a job as a buffer, juliahub://log/JOB, which grows as the job's
-- file does. Windows whose cursor is at the end stay there. The file is read on
-- from where the last look ended: 'autoread' would read ten megabytes a second.

local jobs = require("juliahub.jobs")
local words = require("juliahub.words")

local M = {}

local scheme = "juliahub://log/"
--- How often a log that is open is looked at, in milliseconds.
local interval = 500
--- As much as is read at once, in bytes.
local chunk = 1024 * 1024

---@class juliahub.Log
---@field job string
---@field path string the job's log file
---@field offset integer bytes that were read
---@field inode integer
---@field rest string the last line, which has no end yet, as it was read
---@field ended boolean what was read last ended a line
---@field timer? uv.uv_timer_t

local open = {} ---@type table<integer, juliahub.Log> by buffer

--- Replaces the end of a buffer from a line on, and takes the windows along that
--- are at its end.
---@param bufnr integer
---@param first integer 0-based
---@param lines string[]
local function append(bufnr, first, lines)
  local last = vim.api.nvim_buf_line_count(bufnr)
  local following = vim.tbl_filter(
    function(win) return vim.api.nvim_win_get_cursor(win)[1] >= last end,
    vim.fn.win_findbuf(bufnr)
  )
  vim.bo[bufnr].modifiable = true
  vim.api.nvim_buf_set_lines(bufnr, first, -1, false, lines)
  vim.bo[bufnr].modifiable = false
  vim.bo[bufnr].modified = false
  for _, win in ipairs(following) do
    vim.api.nvim_win_set_cursor(win, { vim.api.nvim_buf_line_count(bufnr), 0 })
  end
end

--- Reads what is new, all of it if the file is another one or was cut.
---@param bufnr integer
---@return boolean read whether there was anything
local function read_on(bufnr)
  local log = open[bufnr]
  if not log or not vim.api.nvim_buf_is_loaded(bufnr) then return false end
  local stat = vim.uv.fs_stat(log.path)
  if not stat then return false end
  local anew = stat.ino ~= log.inode or stat.size < log.offset
  if anew then
    log.inode, log.offset, log.rest = stat.ino, 0, ""
  elseif stat.size == log.offset then
    return false
  end
  local fd = vim.uv.fs_open(log.path, "r", 0)
  if not fd then return false end
  local parts = {}
  while true do
    local data = vim.uv.fs_read(fd, chunk, log.offset)
    if not data or data == "" then break end
    log.offset = log.offset + #data
    parts[#parts + 1] = data
  end
  vim.uv.fs_close(fd)
  local lines = vim.split(log.rest .. table.concat(parts), "\n", { plain = true })
  log.rest = lines[#lines]
  for i, line in ipairs(lines) do
    lines[i] = words.plain((line:gsub("\r$", "")))
  end
  -- The last line goes on, unless it was ended: then the next one is below it.
  local count = vim.api.nvim_buf_line_count(bufnr)
  local first = anew and 0 or log.ended and count or count - 1
  log.ended = log.rest == "" and #lines > 1
  if log.ended then lines[#lines] = nil end -- no empty line below the end
  append(bufnr, first, lines)
  return true
end

---@param bufnr integer
local function stop(bufnr)
  local log = open[bufnr]
  if log and log.timer then
    log.timer:close()
    log.timer = nil
  end
end

--- Whether nothing more comes: the job has ended, and its log is whole.
---@param log juliahub.Log
local function is_whole(log)
  local job = jobs.find(log.job)
  return job ~= nil and not words.is_live(job) and job.settled == true
end

--- Follows a log until it is whole, or its buffer is gone.
---@param bufnr integer
local function follow(bufnr)
  local log = open[bufnr]
  if not log or log.timer then return end
  log.timer = assert(vim.uv.new_timer())
  log.timer:start(
    interval,
    interval,
    vim.schedule_wrap(function()
      if not open[bufnr] or not vim.api.nvim_buf_is_loaded(bufnr) then return stop(bufnr) end
      local whole = is_whole(log) -- before the look: what came between comes along
      if not read_on(bufnr) and whole then stop(bufnr) end
    end)
  )
end

--- The buffer of a job's log.
---@param bufnr integer
---@param job string
---@param path string
local function attach(bufnr, job, path)
  stop(bufnr)
  open[bufnr] = { job = job, path = path, offset = 0, inode = -1, rest = "", ended = false }
  vim.b[bufnr].juliahub_job = job
  local o = vim.bo[bufnr]
  o.buftype, o.bufhidden, o.swapfile, o.undolevels, o.modifiable = "nofile", "hide", false, -1, false
  if o.filetype ~= "log" then o.filetype = "log" end
  require("juliahub.show").closes(bufnr)
  vim.api.nvim_create_autocmd({ "BufUnload", "BufWipeout" }, {
    group = vim.api.nvim_create_augroup("juliahub.log." .. bufnr, {}),
    buffer = bufnr,
    desc = "juliahub: follow the log no longer",
    callback = function()
      stop(bufnr)
      open[bufnr] = nil
    end,
  })
  if not read_on(bufnr) then append(bufnr, 0, { "" }) end
  follow(bufnr)
end

--- Shows the log of a job at its end.
---@param job string
---@param path string
function M.show(job, path)
  local bufnr = vim.fn.bufadd(scheme .. job)
  M.paths[job] = path
  if vim.api.nvim_buf_is_loaded(bufnr) and open[bufnr] then
    read_on(bufnr)
    follow(bufnr)
  else
    vim.fn.bufload(bufnr) -- BufReadCmd does the rest
  end
  local win = require("juliahub.show").buffer(bufnr, true)
  vim.api.nvim_win_set_cursor(win, { vim.api.nvim_buf_line_count(bufnr), 0 })
end

M.paths = {} ---@type table<string, string> log files by job, as the server named them

--- Fills a buffer with this name: `:edit juliahub://log/jr-…`.
---@param bufnr integer
---@param name string
function M.read(bufnr, name)
  local job = name:sub(#scheme + 1)
  local known = jobs.find(job)
  local path = M.paths[job] or known and known.logFile
  if path then return attach(bufnr, job, path) end
  require("juliahub.server").execute("juliahub.logs", { job = job, show = false }, function(problem, answer)
    if problem then return vim.notify(problem, vim.log.levels.ERROR, { title = "JuliaHub" }) end
    if vim.api.nvim_buf_is_loaded(bufnr) then attach(bufnr, job, answer.path) end
  end)
end

-- A job's news often comes with new lines: no need to wait for the next look.
jobs.on_change(function(job)
  if not job or not job.job then return end
  for bufnr, log in pairs(open) do
    if log.job == job.job then
      read_on(bufnr)
      follow(bufnr)
    end
  end
end)

return M
