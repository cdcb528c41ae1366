-- What a person can do. The server's commands run here whether they come from
-- :JuliaHub, a key of the list, a lens or a code action: M.run sends them and
-- shows what came of it, once.

local jobs = require("juliahub.jobs")
local server = require("juliahub.server")
local show = require("juliahub.show")
local words = require("juliahub.words")

local M = {}

---@param text string
---@param level? integer
function M.say(text, level) vim.notify(text, level or vim.log.levels.INFO, { title = "JuliaHub" }) end

---@param problem string
local function fail(problem) M.say(problem, vim.log.levels.ERROR) end

--- A line that is seen and goes: no message, nothing to dismiss.
local function murmur(text) vim.api.nvim_echo({ { "JuliaHub: " .. text } }, false, {}) end

-- Outcomes --------------------------------------------------------------------

--- What is shown when a command was answered, by its id. The others show
--- nothing: what came of them is in the list, the lens and the progress.
---@type table<string, fun(answer: any, argument: juliahub.Argument)>
local outcomes = {}

local function submitted(answer)
  local unsaved = #(answer.unsaved or {})
  if answer.joined then
    murmur("this is being submitted already")
  elseif unsaved > 0 then
    murmur(("submitting what the editor shows, %d unsaved"):format(unsaved))
  else
    murmur("submitting")
  end
end
outcomes["juliahub.submitScript"] = submitted
outcomes["juliahub.submitAppBundle"] = submitted
outcomes["juliahub.rerun"] = submitted

outcomes["juliahub.logs"] = function(answer) require("juliahub.logs").show(answer.job, answer.path) end

outcomes["juliahub.downloadResults"] = function(answer, argument)
  local there, left = {}, {}
  for _, file in ipairs(answer.files or {}) do
    -- The outputs come along as a file, too: who asks for results means the others.
    local counts = file.type ~= "outputs" or #answer.files == 1
    if file.path and counts then there[#there + 1] = file.path end
    if file.error then left[#left + 1] = file.name .. ": " .. file.error end
  end
  if #left > 0 then M.say("Left out: " .. table.concat(left, "; "), vim.log.levels.WARN) end
  if #there == 1 or argument.files and there[1] then
    local problem = show.file(there[1])
    if problem then M.say("It is at " .. there[1]) end
  elseif #there > 1 then
    M.say(("%d results are in %s"):format(#there, vim.fn.fnamemodify(answer.dir, ":~:.")))
  elseif #left == 0 then
    M.say("The job left no results.")
  end
  M.refetch()
end

outcomes["juliahub.openJob"] = function(answer)
  if not answer.url or answer.url == "" then return M.say("The job has no page.", vim.log.levels.WARN) end
  if show.page(answer.url) then M.say(answer.url) end
end

outcomes["juliahub.signIn"] = function(answer) M.say("Signed in to " .. answer.server:gsub("^https?://", "")) end
outcomes["juliahub.signOut"] = function(answer) M.say("Signed out of " .. answer.server:gsub("^https?://", "")) end
outcomes["juliahub.extendJob"] = function(answer, argument)
  murmur(answer.message or ("the job may run %d h longer"):format(argument.hours or 1))
end
outcomes["juliahub.cancelJob"] = function(answer) murmur(answer.message or "cancelling") end
outcomes["juliahub.resolveManifest"] = function(answer)
  if answer.state ~= "done" then return murmur("the manifest: " .. answer.state) end
  murmur(
    ("Julia %s resolved the project%s"):format(answer.julia or "", answer.changed and "" or ", nothing has changed")
  )
  vim.cmd.checktime()
end
outcomes["juliahub.stopWatching"] = function() murmur("the job goes on, unwatched") end
outcomes["juliahub.restartTracking"] = function() require("juliahub").fetch() end
outcomes["juliahub.profiles"] = function(answer)
  if #answer.profiles == 0 then
    return M.say("There are no profiles: JuliaHub.toml beside the project defines them.")
  end
  local lines = vim.tbl_map(function(p) return p .. (p == answer.default and " (default)" or "") end, answer.profiles)
  M.say("Profiles: " .. table.concat(lines, ", "))
end

--- Commands whose outcome is a text that the server shows by itself.
local texts = {}
for name in ("previewJob previewBundle submissions jobs job nodes images"):gmatch("%S+") do
  texts["juliahub." .. name] = true
end

--- Commands that answer when they are done: Neovim does not wait for an answer.
local waits = {}
for name in ("downloadResults extendJob resolveManifest signIn"):gmatch("%S+") do
  waits["juliahub." .. name] = true
end

--- Asks anew for the list, to have what changed without being news.
function M.refetch() require("juliahub").fetch() end

--- Writes what is modified and the server's, where the settings say so.
---@param client vim.lsp.Client
local function save_first(client)
  if vim.tbl_get(client.settings, "juliahub", "saveBeforeSubmit") ~= true then return end
  for bufnr in pairs(client.attached_buffers) do
    if vim.bo[bufnr].modified and not vim.bo[bufnr].readonly then
      vim.api.nvim_buf_call(bufnr, function() vim.cmd("silent update") end)
    end
  end
end

local submits = { ["juliahub.submitScript"] = true, ["juliahub.submitAppBundle"] = true, ["juliahub.rerun"] = true }

--- Sends a command, and shows its outcome.
---@param id string
---@param given juliahub.Argument
---@param done? fun(problem?: string, answer?: any)
---@param bufnr? integer a buffer that the server has to know
local function send(id, given, done, bufnr)
  local argument = vim.deepcopy(given)
  if texts[id] and argument.show == nil then argument.show = true end
  if waits[id] and argument.wait == nil then argument.wait = true end
  server.ready(function(problem, client)
    if not client then return fail(problem or "") end
    if submits[id] then save_first(client) end
    server.execute(id, argument, function(failed, answer)
      if failed then
        fail(failed)
      elseif outcomes[id] and answer then
        outcomes[id](answer, argument)
      end
      if done then done(failed, answer) end
    end)
  end, bufnr)
end

--- Asks before a job is killed. The first answer is the harmless one.
---@param argument juliahub.Argument
---@param go fun()
local function ask_to_kill(argument, go)
  local job = jobs.find(argument.submission or argument.job)
  if job and not job.job then return go() end -- nothing runs yet
  local what = job and ("%s (%s)"):format(words.name(job), words.summary(job, words.now())) or argument.job or "the job"
  local answers = { "Let it run", "Kill the job" }
  vim.ui.select(
    answers,
    { prompt = "Kill " .. what .. "? What it has not written as a result is lost." },
    function(answer)
      if answer == answers[2] then go() end
    end
  )
end

--- Runs a command of the server.
---@param id string
---@param argument juliahub.Argument
---@param done? fun(problem?: string, answer?: any)
---@param bufnr? integer
function M.run(id, argument, done, bufnr)
  if id == "juliahub.cancelJob" then
    return ask_to_kill(argument, function() send(id, argument, done, bufnr) end)
  end
  send(id, argument, done, bufnr)
end

--- The argument that names a job.
---@param job juliahub.Job
---@return juliahub.Argument
local function target(job) return job.submission ~= "" and { submission = job.submission } or { job = job.job } end

-- Files -----------------------------------------------------------------------

--- The lines of a buffer as the protocol names them.
---@param bufnr integer
---@param first integer 1-based
---@param last integer
---@param encoding string
local function lines_of(bufnr, first, last, encoding)
  local text = vim.api.nvim_buf_get_lines(bufnr, last - 1, last, false)[1] or ""
  local width = encoding == "utf-8" and #text or vim.str_utfindex(text, encoding)
  return { start = { line = first - 1, character = 0 }, ["end"] = { line = last - 1, character = width } }
end

--- Runs a command on a buffer. One without a name exists for the server just as
--- long as that takes: Neovim does not tell it of such buffers.
---@param id string
---@param bufnr integer
---@param argument juliahub.Argument
---@param range? { [1]: integer, [2]: integer } first and last line
local function on_buffer(id, bufnr, argument, range)
  server.ready(function(problem, client)
    if not client then return fail(problem or "") end
    argument.uri = jobs.uri(bufnr)
    if range then argument.range = lines_of(bufnr, range[1], range[2], client.offset_encoding) end
    if vim.api.nvim_buf_get_name(bufnr) ~= "" then return send(id, argument, nil, bufnr) end
    local text = table.concat(vim.api.nvim_buf_get_lines(bufnr, 0, -1, false), "\n") .. "\n"
    local document = { uri = argument.uri, languageId = "julia", version = 0, text = text }
    client:notify("textDocument/didOpen", { textDocument = document })
    send(id, argument, function() client:notify("textDocument/didClose", { textDocument = { uri = argument.uri } }) end)
  end, bufnr)
end

--- The buffer that is meant: this one, or in one of our own lists the file of
--- the job there.
---@return integer? bufnr, string? problem
local function script_buffer()
  local bufnr = vim.api.nvim_get_current_buf()
  if vim.bo[bufnr].filetype == "julia" or vim.api.nvim_buf_get_name(bufnr):find("%.jl$") then return bufnr end
  local job = M.job_here()
  if job and job.file then
    local file = vim.fn.bufadd(job.file)
    vim.fn.bufload(file)
    return file
  end
  return nil, "This is no Julia file: go to the one to submit first."
end

-- Jobs ------------------------------------------------------------------------

--- The job that this buffer shows: the list's at the cursor, the log's.
---@return juliahub.Job?
function M.job_here()
  local of_log = vim.b.juliahub_job
  if of_log then return jobs.find(of_log) end
  return require("juliahub.view").job_at_cursor()
end

---@alias juliahub.Fits fun(job: juliahub.Job): boolean

---@type table<string, juliahub.Fits>
local fits = {
  submitted = function(job) return (job.job or "") ~= "" end,
  ended = function(job) return not words.is_live(job) and job.submission ~= "" end,
  live = words.is_live,
  watched = function(job) return words.is_live(job) and job.watched == true end,
  limited = function(job) return job.state == "running" and ((job.limitHours or 0) > 0 or job.submission == "") end,
  results = function(job) return (job.job or "") ~= "" and not words.is_live(job) end,
  placed = function(job) return job.file ~= nil or job.failedAt ~= nil end,
  any = function() return true end,
}

--- Finds the job that is meant, by a word or by where the cursor is, and asks
--- where that leaves several.
---@param word string? an id, or the name of a file
---@param fit juliahub.Fits
---@param go fun(job: juliahub.Job)
local function with_job(word, fit, go)
  if word and word ~= "" then
    local job = jobs.find(word)
    if job then return go(job) end
    if not word:find("^jr%-") then return fail(("There is no job %q."):format(word)) end
    return go({ submission = "", job = word, state = "unknown", server = "", created = "" }) -- the server may know it
  end
  local here = M.job_here()
  if here then return go(here) end
  local own = jobs.of_buffer(0)
  if own and fit(own) then return go(own) end
  local fitting = vim.tbl_filter(fit, jobs.list())
  if #fitting == 0 then return fail("There is no job for which this can be done.") end
  if #fitting == 1 then return go(fitting[1]) end
  vim.ui.select(fitting, {
    prompt = "Job",
    format_item = function(job)
      return ("%s %s  %s  %s"):format(
        words.icon(job.state),
        words.name(job),
        words.summary(job, words.now()),
        job.job or ""
      )
    end,
  }, function(job)
    if job then go(job) end
  end)
end

--- Runs a command on a job that is found when the list is there.
---@param id string
---@param word string?
---@param fit string
---@param more? juliahub.Argument
---@param unasked? boolean
local function on_job(id, word, fit, more, unasked)
  M.when_known(function()
    with_job(word, fits[fit], function(job)
      local argument = vim.tbl_extend("force", target(job), more or {})
      if unasked then return send(id, argument) end
      M.run(id, argument)
    end)
  end)
end

--- Calls a function when the list of jobs is there.
---@param go fun()
function M.when_known(go)
  if server.client() and #jobs.list() > 0 then return go() end
  require("juliahub").fetch(function(problem)
    if problem then return fail(problem) end
    go()
  end)
end

--- Goes to the line that failed, where the job has one, else to its file.
---@param job juliahub.Job
function M.go_to(job)
  local at = job.failedAt
  if not at and not job.file then return fail("The job's file is not known.") end
  if not at then return show.file(job.file) end
  show.file(at.path)
  -- The diagnostic knows where the line is now, after edits.
  local line = at.line
  for _, d in ipairs(vim.diagnostic.get(0, { severity = vim.diagnostic.severity.ERROR })) do
    if d.code == "job-failed" and job.job and d.message:find(job.job, 1, true) then line = d.lnum end
  end
  show.file(at.path, line)
end

-- :JuliaHub ---------------------------------------------------------------------

---@class juliahub.Call
---@field args string[] what follows the subcommand
---@field bang boolean
---@field range? { [1]: integer, [2]: integer }

---@class juliahub.Subcommand
---@field doc string
---@field args? string how its arguments read
---@field run fun(call: juliahub.Call)
---@field complete? string what its first argument is: "profile", "kind", or of which jobs the ids

---@param id string
---@param call juliahub.Call
---@param argument juliahub.Argument
local function on_script(id, call, argument)
  local bufnr, problem = script_buffer()
  if not bufnr then return fail(problem or "") end
  on_buffer(id, bufnr, argument, call.range)
end

local function whole_hours(word)
  local hours = tonumber(word)
  return hours and hours >= 1 and hours == math.floor(hours) and hours or nil
end

--- Sets the profile that counts when a command names none, until Neovim ends.
---@param name string? nil: none
local function set_profile(name)
  vim.lsp.config(server.name, { settings = { juliahub = { profile = name or "" } } })
  server.ready(function(problem, client)
    if not client then return fail(problem or "") end
    client.settings = vim.tbl_deep_extend("force", client.settings, { juliahub = { profile = name or "" } })
    client:notify("workspace/didChangeConfiguration", { settings = client.settings })
    murmur(name and "profile " .. name or "no profile")
  end)
end

local function choose_profile()
  local bufnr = script_buffer()
  server.execute("juliahub.profiles", bufnr and { uri = jobs.uri(bufnr) } or {}, function(problem, answer)
    if problem then return fail(problem) end
    if #answer.profiles == 0 then return outcomes["juliahub.profiles"](answer) end
    vim.ui.select(answer.profiles, {
      prompt = "Profile",
      format_item = function(p) return p .. (p == answer.default and " (default)" or "") end,
    }, function(name)
      if name then set_profile(name) end
    end)
  end, bufnr)
end

---@type table<string, juliahub.Subcommand>
M.subcommands = {
  submit = {
    doc = "submit the file, or the lines of the range, as a script",
    args = "[PROFILE]",
    complete = "profile",
    run = function(call) on_script("juliahub.submitScript", call, { profile = call.args[1] }) end,
  },
  selection = {
    doc = "submit the lines that were selected last, or of the range, as a script",
    args = "[PROFILE]",
    complete = "profile",
    run = function(call)
      local first, last = vim.fn.line("'<"), vim.fn.line("'>")
      call.range = call.range or first > 0 and { first, last } or nil
      if not call.range then return fail("Select the lines to submit first.") end
      on_script("juliahub.submitScript", call, { profile = call.args[1] })
    end,
  },
  appbundle = {
    doc = "submit the project as an appbundle that runs the file",
    args = "[PROFILE]",
    complete = "profile",
    run = function(call) on_script("juliahub.submitAppBundle", { args = {}, bang = false }, { profile = call.args[1] }) end,
  },
  preview = {
    doc = "show what a submission would send",
    args = "[script|appbundle] [PROFILE]",
    complete = "kind",
    run = function(call)
      local kind, profile = call.args[1], call.args[2]
      if kind ~= nil and kind ~= "script" and kind ~= "appbundle" then
        kind, profile = nil, kind
      end
      on_script("juliahub.previewJob", call, { kind = kind, profile = profile })
    end,
  },
  resolve = {
    doc = "resolve the project's manifest with the Julia of this computer",
    args = "[JULIA]",
    run = function(call)
      local bufnr = vim.api.nvim_get_current_buf()
      on_buffer("juliahub.resolveManifest", bufnr, { julia = call.args[1] })
    end,
  },
  bundle = {
    doc = "show what an appbundle of the project holds",
    args = "[PROFILE]",
    complete = "profile",
    run = function(call)
      local bufnr = vim.api.nvim_get_current_buf()
      if not server.serves(bufnr) then return on_script("juliahub.previewBundle", call, { profile = call.args[1] }) end
      on_buffer("juliahub.previewBundle", bufnr, { profile = call.args[1] })
    end,
  },
  jobs = {
    doc = "the list of jobs, with keys for what can be done with them",
    run = function() require("juliahub.view").open() end,
  },
  job = {
    doc = "all that is known of a job",
    args = "[JOB]",
    complete = "any",
    run = function(call) on_job("juliahub.job", call.args[1], "any") end,
  },
  logs = {
    doc = "the log of a job, which is followed while it runs",
    args = "[JOB]",
    complete = "submitted",
    run = function(call) on_job("juliahub.logs", call.args[1], "submitted", { show = false }) end,
  },
  results = {
    doc = "download the results of a job",
    args = "[JOB] [FILE…]",
    complete = "results",
    run = function(call)
      local files = vim.list_slice(call.args, 2)
      on_job("juliahub.downloadResults", call.args[1], "results", #files > 0 and { files = files } or nil)
    end,
  },
  cancel = {
    doc = "kill a job, or end a submission; with ! unasked",
    args = "[JOB]",
    complete = "live",
    run = function(call) on_job("juliahub.cancelJob", call.args[1], "live", nil, call.bang) end,
  },
  unwatch = {
    doc = "stop watching a job, which goes on",
    args = "[JOB]",
    complete = "watched",
    run = function(call) on_job("juliahub.stopWatching", call.args[1], "watched") end,
  },
  extend = {
    doc = "let a job run longer, by an hour if not said",
    args = "[JOB] [HOURS]",
    complete = "limited",
    run = function(call)
      local word, hours = call.args[1], whole_hours(call.args[2] or call.args[1])
      if call.args[2] and not hours then return fail("How much longer is a whole number of hours.") end
      if hours and not call.args[2] then word = nil end
      on_job("juliahub.extendJob", word, "limited", { hours = hours or 1 })
    end,
  },
  open = {
    doc = "open the job's page in the browser",
    args = "[JOB]",
    complete = "submitted",
    run = function(call) on_job("juliahub.openJob", call.args[1], "submitted", { show = false }) end,
  },
  again = {
    doc = "submit the file of a job again, as it is now",
    args = "[JOB]",
    complete = "ended",
    run = function(call) on_job("juliahub.rerun", call.args[1], "ended") end,
  },
  dismiss = {
    doc = "take a job off its file and off the list",
    args = "[JOB]",
    complete = "ended",
    run = function(call) on_job("juliahub.dismissJob", call.args[1], "ended") end,
  },
  file = {
    doc = "go to a job's file, at the line that failed",
    args = "[JOB]",
    complete = "placed",
    run = function(call)
      M.when_known(function() with_job(call.args[1], fits.placed, M.go_to) end)
    end,
  },
  profile = {
    doc = "choose the profile that counts when none is named; with ! none",
    args = "[PROFILE]",
    complete = "profile",
    run = function(call)
      if call.bang then return set_profile(nil) end
      if call.args[1] then return set_profile(call.args[1]) end
      choose_profile()
    end,
  },
  nodes = {
    doc = "what the server offers to run jobs on, with prices",
    run = function() M.run("juliahub.nodes", {}) end,
  },
  images = { doc = "the job images that the server offers", run = function() M.run("juliahub.images", {}) end },
  login = { doc = "sign in on the server's web page", run = function() M.run("juliahub.signIn", {}) end },
  logout = { doc = "forget the token of the server", run = function() M.run("juliahub.signOut", {}) end },
  whoami = { doc = "who is signed in, and where", run = function() M.whoami() end },
  refresh = {
    doc = "ask JuliaHub for all jobs at once, also those from elsewhere",
    run = function()
      M.run("juliahub.restartTracking", {}, function(problem)
        if not problem then require("juliahub").refresh(function(failed) return failed and fail(failed) end) end
      end)
    end,
  },
  restart = {
    doc = "restart the language server, also one that hangs",
    run = function()
      server.restart(function(problem)
        if not problem then murmur("the language server runs") end
      end)
    end,
  },
  health = { doc = "look for what is wrong", run = function() vim.cmd.checkhealth("juliahub") end },
}

--- Says who is signed in, where, with what running.
function M.whoami()
  server.request("juliahub/status", vim.empty_dict(), function(problem, status)
    if problem then return fail(problem) end
    local state = require("juliahub.status")
    state.take(status)
    if not status.signedIn then return M.say(status.reason or "Not signed in.", vim.log.levels.WARN) end
    local parts = { state.sentence() }
    if status.email and status.email ~= status.user then parts[1] = parts[1] .. " <" .. status.email .. ">" end
    if status.explicit then parts[#parts + 1] = "by JULIAHUB_TOKEN" end
    if status.expires then parts[#parts + 1] = "until " .. status.expires end
    if status.profile and status.profile ~= "" then parts[#parts + 1] = "profile " .. status.profile end
    parts[#parts + 1] = status.jobsRunning == 1 and "1 job running" or status.jobsRunning .. " jobs running"
    M.say(words.one_line(table.concat(parts, ", ")))
  end)
end

--- What :JuliaHub does.
---@param opts vim.api.keyset.create_user_command.command_args
function M.command(opts)
  local name = opts.fargs[1] or "jobs"
  local subcommand = M.subcommands[name]
  if not subcommand then
    return fail(("JuliaHub has no %q; there are: %s"):format(name, table.concat(M.names(), " ")))
  end
  subcommand.run({
    args = vim.list_slice(opts.fargs, 2),
    bang = opts.bang,
    range = opts.range > 0 and { opts.line1, opts.line2 } or nil,
  })
end

--- The subcommands' names, sorted.
---@return string[]
function M.names()
  local names = vim.tbl_keys(M.subcommands)
  table.sort(names)
  return names
end

---@return string[]
local function profile_names()
  local bufnr = script_buffer()
  local answer = server.execute_now("juliahub.profiles", bufnr and { uri = jobs.uri(bufnr) } or {})
  return answer and answer.profiles or {}
end

--- Completes :JuliaHub.
---@param lead string
---@param line string
---@param pos integer
---@return string[]
function M.complete(lead, line, pos)
  local before = line:sub(1, pos - #lead):match("JuliaHub!?%s+(.*)$") or ""
  local words_before = vim.split(vim.trim(before), "%s+", { trimempty = true })
  local candidates ---@type string[]
  local subcommand = M.subcommands[words_before[1] or ""]
  if #words_before == 0 then
    candidates = M.names()
  elseif not subcommand then
    candidates = {}
  elseif words_before[1] == "preview" then
    candidates = #words_before == 1 and vim.list_extend({ "script", "appbundle" }, profile_names()) or profile_names()
  elseif words_before[1] == "results" and #words_before > 1 then
    local job = jobs.find(words_before[2])
    candidates = vim.tbl_map(function(file) return file.name end, job and job.results or {})
  elseif #words_before > 1 or not subcommand.complete then
    candidates = {}
  elseif subcommand.complete == "profile" then
    candidates = profile_names()
  else
    candidates = vim.tbl_map(
      function(job) return job.job end,
      vim.tbl_filter(function(job) return job.job ~= nil and fits[subcommand.complete](job) end, jobs.list())
    )
  end
  return vim.tbl_filter(function(c) return vim.startswith(c, lead) end, candidates)
end

return M
