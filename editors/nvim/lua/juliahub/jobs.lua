-- The jobs that the plugin knows: what the server tells, and after a refresh
-- the server's list of jobs that were submitted elsewhere.

local words = require("juliahub.words")

local M = {}

local ours = {} ---@type table<string, juliahub.Job> by key
local elsewhere = {} ---@type table<string, juliahub.Job> by key
local listeners = {} ---@type (fun(job?: juliahub.Job))[]

--- What tells a job from all others for as long as it is known.
---@param job juliahub.Job
function M.key(job) return job.submission ~= "" and job.submission or job.job or "" end

--- Calls a function with the job that changed, or with none when any may have.
---@param listener fun(job?: juliahub.Job)
function M.on_change(listener) listeners[#listeners + 1] = listener end

---@param job juliahub.Job?
local function changed(job)
  for _, listener in ipairs(listeners) do
    listener(job)
  end
end

--- All jobs to show, newest first.
---@return juliahub.Job[]
function M.list()
  local all, known = {}, {}
  for _, job in pairs(ours) do
    known[job.job or ""] = true
    all[#all + 1] = job
  end
  for _, job in pairs(elsewhere) do
    if not known[job.job] then all[#all + 1] = job end
  end
  all = vim.tbl_filter(function(job) return not job.dismissed end, all)
  table.sort(all, function(a, b)
    local one, other = words.time(a.created) or 0, words.time(b.created) or 0
    if one ~= other then return one > other end
    return M.key(a) < M.key(b)
  end)
  return all
end

---@param key string
---@return juliahub.Job?
function M.get(key) return ours[key] or elsewhere[key] end

---@return juliahub.Job[]
function M.live() return vim.tbl_filter(words.is_live, M.list()) end

--- The job that a person means: its id, its submission, or the newest of a file's name.
---@param word string?
---@return juliahub.Job?
function M.find(word)
  if not word or word == "" then return nil end
  if M.get(word) then return M.get(word) end
  local all = M.list()
  for _, field in ipairs({ "job", "name", "file" }) do
    for _, job in ipairs(all) do
      if (field == "name" and words.name(job) or job[field]) == word then return job end
    end
  end
  return nil
end

--- The newest job of a buffer, which its path or its URI names.
---@param bufnr integer
---@return juliahub.Job?
function M.of_buffer(bufnr)
  local path, uri = vim.api.nvim_buf_get_name(bufnr), M.uri(bufnr)
  local real = path ~= "" and vim.uv.fs_realpath(path) or path
  for _, job in ipairs(M.list()) do
    local file = job.file or ""
    if job.submission ~= "" and (file ~= "" and (file == path or file == real) or file == "" and job.uri == uri) then
      return job
    end
  end
  return nil
end

--- The name of a buffer in messages to the server.
---@param bufnr integer
function M.uri(bufnr)
  if bufnr == 0 then bufnr = vim.api.nvim_get_current_buf() end
  if vim.api.nvim_buf_get_name(bufnr) == "" then return "untitled:Untitled-" .. bufnr end
  return vim.uri_from_bufnr(bufnr)
end

--- Takes a job's news, and tells: the autocommand User JuliaHubJob has the job
--- and its earlier state in its data.
---@param job juliahub.Job
function M.put(job)
  local key = M.key(job)
  local before = ours[key]
  ours[key] = job
  changed(job)
  vim.api.nvim_exec_autocmds("User", {
    pattern = "JuliaHubJob",
    modeline = false,
    data = { job = vim.deepcopy(job), previous = before and before.state or nil },
  })
end

--- Replaces all that the server remembers.
---@param jobs juliahub.Job[]
function M.replace(jobs)
  ours = {}
  for _, job in ipairs(jobs) do
    ours[M.key(job)] = job
  end
  changed()
end

local listed_states = { submitted = true, running = true, completed = true, failed = true, stopped = true }

--- Takes the server's list; of our own jobs the records say more.
---@param server string
---@param rows juliahub.ListedJob[]
function M.replace_listed(server, rows)
  elsewhere = {}
  for _, row in ipairs(rows) do
    local state = row.status:lower()
    elsewhere[row.job] = {
      submission = "",
      job = row.job,
      server = server,
      status = row.status,
      state = listed_states[state] and state or "unknown",
      alias = row.alias,
      file = row.file,
      url = row.url,
      created = row.submitted or row.started or row.ended or "1970-01-01T00:00:00Z",
      submitted = row.submitted,
      started = row.started,
      ended = row.ended,
    }
  end
  changed()
end

return M
