-- What a status line says: how many jobs run, or that the server is down, and
-- who is signed in.

local jobs = require("juliahub.jobs")
local server = require("juliahub.server")
local words = require("juliahub.words")

local M = {}

---@type juliahub.Status?
local session
local shown = ""

--- In a status line "%" would begin an item.
local function harmless(text) return (words.one_line(text):gsub("%%", "")) end

--- Who is signed in, and where; "" where that is not known.
function M.who()
  if not session or server.state ~= "running" then return "" end
  local host = session.server:gsub("^https?://", ""):gsub("/.*$", "")
  if not session.signedIn then return host == "" and "no server" or "not signed in to " .. host end
  local name = session.user or session.email
  return words.one_line(name and name .. " at " .. host or "signed in to " .. host)
end

--- The same as a sentence that begins one.
function M.sentence()
  local who = M.who()
  if session and session.signedIn and (session.user or session.email) then return "Signed in: " .. who end
  return (who:gsub("^%l", string.upper))
end

--- What the server said last of the session, nil if nothing.
---@return juliahub.Status?
function M.session() return vim.deepcopy(session) end

--- The text for a status line; "" where there is nothing to tell.
---@return string
function M.text()
  if server.state == "failed" then return words.icon("failed") .. " JuliaHub" end
  if server.state == "starting" then return words.icon("submitted") .. " JuliaHub" end
  local live = jobs.live()
  if #live == 1 then
    local job = live[1]
    local ran = words.elapsed(job, words.now())
    local what = job.state == "running" and ran and words.duration(ran) or words.state_word(job.state):lower()
    return harmless(("%s %s %s"):format(words.icon(job.state), words.name(job), what))
  elseif #live > 1 then
    return ("%s %d jobs"):format(words.icon("running"), #live)
  end
  if server.state ~= "running" then return "" end
  return words.icon("idle") .. " JuliaHub" .. (session and not session.signedIn and ": signed out" or "")
end

--- Tells status lines, if what they would show has changed.
local function changed()
  local now = M.text() .. "\n" .. M.who()
  if now == shown then return end
  shown = now
  vim.api.nvim_exec_autocmds("User", {
    pattern = "JuliaHubStatus",
    modeline = false,
    data = { text = M.text(), state = server.state, running = #jobs.live(), who = M.who() },
  })
  vim.cmd.redrawstatus({ bang = true })
end

--- Takes what the server says of the session.
---@param news juliahub.Status
function M.take(news)
  session = news
  changed()
end

jobs.on_change(changed)
server.on_change(changed)

return M
