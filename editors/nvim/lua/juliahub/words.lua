-- How jobs are told to people: names, states, durations, costs.

local config = require("juliahub.config")

local M = {}

local ended = { completed = true, failed = true, stopped = true, refused = true, cancelled = true }

--- Whether a submission is under way, or its job has not ended.
---@param job juliahub.Job
function M.is_live(job) return not ended[job.state] end

local unicode = {
  bundling = "↑",
  uploading = "↑",
  submitting = "↑",
  unknown = "?",
  submitted = "○",
  running = "●",
  completed = "✓",
  failed = "✗",
  refused = "✗",
  stopped = "■",
  cancelled = "■",
  idle = "○",
  folded = "▸",
  unfolded = "▾",
  dot = "·",
  more = "…",
}
local ascii = {
  bundling = "^",
  uploading = "^",
  submitting = "^",
  unknown = "?",
  submitted = "o",
  running = "*",
  completed = "+",
  failed = "x",
  refused = "x",
  stopped = "-",
  cancelled = "-",
  idle = "o",
  folded = ">",
  unfolded = "v",
  dot = "-",
  more = "...",
}

--- Whether the terminal can be trusted with more than ASCII.
local function is_unicode()
  if vim.env.TERM == "linux" then return false end -- the console's font has few of them
  for _, name in ipairs({ "LC_ALL", "LC_CTYPE", "LANG" }) do
    local locale = vim.env[name]
    if locale and locale ~= "" then return locale:lower():find("utf%-?8") ~= nil end
  end
  return vim.fn.has("win32") == 1 or vim.fn.has("mac") == 1
end

--- The signs for states and the like, by name.
---@return table<string, string>
function M.icons()
  local wanted = config.get().icons
  if wanted == "auto" then wanted = is_unicode() and "unicode" or "ascii" end
  return wanted == "unicode" and unicode or ascii
end

---@param name string a state, or "idle", "folded", "unfolded", "dot", "more"
function M.icon(name) return M.icons()[name] or "?" end

local state_words = {
  bundling = "Bundling",
  uploading = "Uploading",
  submitting = "Submitting",
  unknown = "Sent, no answer yet",
  submitted = "Waiting to run",
  running = "Running",
  completed = "Completed",
  failed = "Failed",
  stopped = "Stopped",
  refused = "Not submitted",
  cancelled = "Cancelled",
}

---@param state string
function M.state_word(state) return state_words[state] or M.plain(state) end

local highlights = {
  bundling = "Waiting",
  uploading = "Waiting",
  submitting = "Waiting",
  unknown = "Unknown",
  submitted = "Waiting",
  running = "Running",
  completed = "Completed",
  failed = "Failed",
  refused = "Failed",
  stopped = "Stopped",
  cancelled = "Stopped",
}

--- The highlight group of a state.
---@param state string
function M.highlight(state) return "JuliaHub" .. (highlights[state] or "Unknown") end

--- Text without what terminals use to draw: what a job wrote may hold anything.
---@param text string
function M.plain(text)
  text = text:gsub("\27%[[0-9;?]*[A-Za-z]", ""):gsub("[%z\1-\8\11-\31\127]", "")
  -- Signs that turn the direction of text, or end a line: U+2028–202E and U+2066–2069.
  return (text:gsub("\226\128[\168-\174]", ""):gsub("\226\129[\166-\169]", ""))
end

--- The same in one line.
---@param text string
function M.one_line(text) return vim.trim((M.plain(text):gsub("%s+", " "))) end

--- What a person calls a job: the name of its file, else its alias, else its id.
---@param job juliahub.Job
function M.name(job)
  for _, name in ipairs({ job.file and job.file:match("[^/\\]+$") or "", job.alias or "", job.job or "" }) do
    if name ~= "" then return M.one_line(name) end
  end
  return "Untitled"
end

--- Seconds since 1970 of a time as RFC 3339 writes it; nil if it is none.
---@param text string?
---@return number?
function M.time(text)
  local y, mo, d, h, mi, s, rest = (text or ""):match("^(%d+)-(%d+)-(%d+)[Tt ](%d+):(%d+):(%d+)(.*)$")
  if not y then return nil end
  local fraction, zone = rest:match("^(%.%d+)(.*)$")
  local sign, zh, zm = (zone or rest):match("^([+-])(%d+):?(%d*)$")
  local offset = sign and (tonumber(zh) * 60 + (tonumber(zm) or 0)) * (sign == "-" and -60 or 60) or 0
  -- Days since 1970 in the Gregorian calendar, years beginning in March.
  local year, month = tonumber(y) - (tonumber(mo) <= 2 and 1 or 0), (tonumber(mo) + 9) % 12
  local days = 365 * year
    + math.floor(year / 4)
    - math.floor(year / 100)
    + math.floor(year / 400)
    + math.floor((month * 306 + 5) / 10)
    + tonumber(d)
    - 1
    - 719468
  return days * 86400 + tonumber(h) * 3600 + tonumber(mi) * 60 + tonumber(s) - offset + (tonumber(fraction or "0") or 0)
end

---@return number seconds since 1970
function M.now()
  local seconds, micros = vim.uv.gettimeofday()
  return seconds + micros / 1e6
end

--- Seconds that the job has run; nil if it has not begun.
---@param job juliahub.Job
---@param now number
---@return number?
function M.elapsed(job, now)
  local started = M.time(job.started)
  return started and math.max(0, (M.time(job.ended) or now) - started)
end

--- A duration as short as it can be said: 42s, 7m, 1h05m.
---@param seconds number
function M.duration(seconds)
  seconds = math.floor(seconds)
  if seconds < 60 then return seconds .. "s" end
  local minutes = math.floor(seconds / 60)
  if minutes < 60 then return minutes .. "m" end
  if minutes % 60 == 0 then return minutes / 60 .. "h" end
  return ("%dh%02dm"):format(math.floor(minutes / 60), minutes % 60)
end

--- US dollars that the job has cost so far; nil where the price is not known.
---@param job juliahub.Job
---@param now number
---@return number?
function M.cost(job, now)
  local ran = M.elapsed(job, now)
  if not ran or (job.pricePerHour or 0) == 0 then return nil end
  return job.pricePerHour * math.max(1, job.nodes or 1) * ran / 3600
end

---@param amount number
function M.dollars(amount)
  if amount > 0 and amount < 0.01 then return "<$0.01" end
  return ("$%.2f"):format(amount)
end

--- How a job is, in a word or three.
---@param job juliahub.Job
function M.state(job)
  local at = job.failedAt
  if job.state == "failed" and at and at.path == job.file then return "Failed at line " .. at.line + 1 end
  if job.state == "running" and job.percent then return ("Running %d%%"):format(math.floor(job.percent)) end
  return M.state_word(job.state)
end

--- How long it has run, of how long it may.
---@param job juliahub.Job
---@param now number
function M.ran(job, now)
  local ran = M.elapsed(job, now)
  if not ran then return "" end
  local limit = job.state == "running" and (job.limitHours or 0) > 0 and "/" .. job.limitHours .. "h" or ""
  return M.duration(ran) .. limit
end

--- One line: state, time, cost where it is a cent or more.
---@param job juliahub.Job
---@param now number
function M.summary(job, now)
  local parts, spent = { M.state(job), M.ran(job, now) }, M.cost(job, now)
  if spent and spent >= 0.01 then parts[#parts + 1] = M.dollars(spent) end
  if job.trouble then parts[#parts + 1] = M.one_line(job.trouble) end
  return table.concat(vim.tbl_filter(function(p) return p ~= "" end, parts), " " .. M.icon("dot") .. " ")
end

---@param n integer
function M.bytes(n)
  if n < 0 then return "" end
  if n < 1000 then return n .. " B" end
  if n < 1e6 then return (n < 10000 and "%.1f kB" or "%.0f kB"):format(n / 1000) end
  return (n < 1e7 and "%.1f MB" or "%.0f MB"):format(n / 1e6)
end

--- Where in the list a job stands.
---@param job juliahub.Job
---@param now number
---@return "running"|"today"|"older"
function M.group(job, now)
  if M.is_live(job) then return "running" end
  local function day(t) return os.date("%Y-%m-%d", math.floor(t)) end
  local at = M.time(job.ended) or M.time(job.created) or 0
  return day(math.max(0, at)) == day(now) and "today" or "older"
end

--- Outputs in a line: the members of an object, else the text as it is.
---@param json string
function M.outputs(json)
  local ok, value = pcall(vim.json.decode, json)
  if ok and type(value) == "table" and not vim.islist(value) then
    local parts = {}
    for key, v in vim.spairs(value) do
      parts[#parts + 1] = key .. ": " .. (type(v) == "string" and v or vim.json.encode(v))
    end
    json = table.concat(parts, ", ")
  end
  return M.one_line(json)
end

return M
