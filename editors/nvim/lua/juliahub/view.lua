-- The list of jobs, juliahub://jobs: running, finished today, older; below a
-- job that is unfolded its failure, its outputs and its result files.

local jobs = require("juliahub.jobs")
local words = require("juliahub.words")

local M = {}

local name = "juliahub://jobs"
--- How often the times of running jobs are shown anew while the list is in sight.
local interval = 1000
--- As wide as a name, and the remark at the end, may be.
local name_width, remark_width = 40, 100

local namespace = vim.api.nvim_create_namespace("juliahub.jobs")
local buffer = -1
local unfolded = {} ---@type table<string, true> by key
local helping = false -- the keys are shown
local timer ---@type uv.uv_timer_t?

--- What a line shows. Its id is the same as long as it shows that.
---@class juliahub.Node
---@field id string
---@field type "job"|"failure"|"outputs"|"result"|"text"
---@field key? string of the job
---@field file? string name of the result

local nodes = {} ---@type juliahub.Node[] by line

for group, link in pairs({
  Title = "Title",
  Group = "Statement",
  Running = "DiagnosticInfo",
  Waiting = "DiagnosticHint",
  Unknown = "DiagnosticWarn",
  Completed = "DiagnosticOk",
  Failed = "DiagnosticError",
  Stopped = "Comment",
  Name = "Directory",
  Time = "Number",
  Cost = "Number",
  Id = "Identifier",
  Remark = "Comment",
  Trouble = "DiagnosticWarn",
  Key = "Special",
  Help = "Comment",
  File = "String",
}) do
  vim.api.nvim_set_hl(0, "JuliaHub" .. group, { link = link, default = true })
end

-- Text ------------------------------------------------------------------------

---@alias juliahub.Chunk { [1]: string, [2]: string? } a text and its highlight group

---@param text string
---@param width integer cells
local function clip(text, width)
  if vim.fn.strdisplaywidth(text) <= width then return text end
  local more, n = words.icon("more"), width
  repeat -- a sign takes a cell or two
    n = n - 1
    text = vim.fn.strcharpart(text, 0, n)
  until n == 0 or vim.fn.strdisplaywidth(text .. more) <= width
  return text .. more
end

---@param text string
---@param width integer
local function pad(text, width) return text .. (" "):rep(width - vim.fn.strdisplaywidth(text)) end

--- What else there is to say of a job, at the end of its line.
---@param job juliahub.Job
---@return juliahub.Chunk
local function remark(job)
  if job.trouble then return { words.one_line(job.trouble), "JuliaHubTrouble" } end
  local text
  if words.is_live(job) then
    text = job.lastLine or ""
  elseif job.state == "completed" then
    text = job.outputs and words.outputs(job.outputs) or ""
  else
    text = job.message or job.reason or ""
  end
  return { clip(words.one_line(text), remark_width), "JuliaHubRemark" }
end

--- The cells of a job's line, which are aligned.
---@param job juliahub.Job
---@param now number
---@return juliahub.Chunk[]
local function cells(job, now)
  local cost = words.cost(job, now)
  local highlight = words.highlight(job.state)
  return {
    { words.icon(job.state), highlight },
    { clip(words.name(job), name_width), "JuliaHubName" },
    { words.state(job), highlight },
    { words.ran(job, now), "JuliaHubTime" },
    { cost and words.dollars(cost) or "", "JuliaHubCost" },
    { job.job or "", "JuliaHubId" },
    { job.node or "", "JuliaHubRemark" },
  }
end

local titles = { running = "Running", today = "Finished today", older = "Older" }

-- Keys ------------------------------------------------------------------------

---@param id string
---@param more? juliahub.Argument
local function runs(id, more)
  return function(job)
    local argument = job.submission ~= "" and { submission = job.submission } or { job = job.job }
    require("juliahub.commands").run(id, vim.tbl_extend("force", argument, more or {}))
  end
end

---@param job juliahub.Job
local function extend(job)
  vim.ui.input({ prompt = ("Extend %s by how many hours? "):format(words.name(job)), default = "1" }, function(answer)
    local hours = tonumber(answer)
    if not answer then return end
    if not hours or hours < 1 or hours ~= math.floor(hours) then
      return vim.notify("How much longer is a whole number of hours.", vim.log.levels.ERROR, { title = "JuliaHub" })
    end
    runs("juliahub.extendJob", { hours = hours })(job)
  end)
end

---@type { key: string, doc: string, job?: fun(job: juliahub.Job), run?: fun() }[]
M.keys = {
  { key = "<CR>", doc = "unfold the job, open the file, go to the line", run = function() M.enter() end },
  { key = "<Tab>", doc = "unfold, fold", run = function() M.toggle() end },
  { key = "l", doc = "logs", job = runs("juliahub.logs", { show = false }) },
  { key = "d", doc = "download results", job = runs("juliahub.downloadResults") },
  { key = "o", doc = "open in browser", job = runs("juliahub.openJob", { show = false }) },
  { key = "e", doc = "extend the time limit", job = extend },
  { key = "x", doc = "stop: kill the job", job = runs("juliahub.cancelJob") },
  { key = "w", doc = "stop watching", job = runs("juliahub.stopWatching") },
  { key = "r", doc = "run again", job = runs("juliahub.rerun") },
  { key = "D", doc = "dismiss: off the list", job = runs("juliahub.dismissJob") },
  { key = "i", doc = "all that is known", job = runs("juliahub.job") },
  {
    key = "gf",
    doc = "go to the file, at the line that failed",
    job = function(job) require("juliahub.commands").go_to(job) end,
  },
  { key = "y", doc = "copy the job's id", job = function(job) M.copy(job) end },
  { key = "R", doc = "refresh, with jobs from elsewhere", run = function() M.refresh() end },
  { key = "q", doc = "close", run = function() require("juliahub.show").close() end },
  { key = "?", doc = "these keys", run = function() M.help() end },
}

-- Rendering -------------------------------------------------------------------

--- The lines to show, each with what it shows.
---@class juliahub.Page
---@field lines juliahub.Chunk[][]
---@field nodes juliahub.Node[]

---@param page juliahub.Page
---@param chunks juliahub.Chunk[]
---@param node? juliahub.Node
local function add(page, chunks, node)
  page.lines[#page.lines + 1] = chunks
  page.nodes[#page.nodes + 1] = node or { id = "line " .. #page.lines, type = "text" }
end

---@param page juliahub.Page
---@param job juliahub.Job
local function add_details(page, job)
  local key = jobs.key(job)
  local indent = (" "):rep(5)
  if job.failedAt then
    local where = ("line %d of %s"):format(job.failedAt.line + 1, vim.fn.fnamemodify(job.failedAt.path, ":t"))
    local why = job.message or job.reason or ""
    add(page, {
      { indent .. words.icon("failed") .. " " .. where, "JuliaHubFailed" },
      { why ~= "" and "  " .. clip(words.one_line(why), remark_width) or "", "JuliaHubRemark" },
    }, { id = key .. "/failure", type = "failure", key = key })
  end
  if job.outputs and job.outputs ~= "" then
    add(page, {
      { indent .. "outputs  ", "JuliaHubHelp" },
      { clip(words.outputs(job.outputs), remark_width), "JuliaHubRemark" },
    }, { id = key .. "/outputs", type = "outputs", key = key })
  end
  local width = 0
  for _, file in ipairs(job.results or {}) do
    width = math.max(width, vim.fn.strdisplaywidth(clip(words.one_line(file.name), name_width)))
  end
  for _, file in ipairs(job.results or {}) do
    local about = { words.bytes(file.size), file.path and "downloaded" or "" }
    add(page, {
      { indent .. pad(clip(words.one_line(file.name), name_width), width), "JuliaHubFile" },
      { "  " .. vim.trim(table.concat(about, "  ")), "JuliaHubRemark" },
    }, { id = key .. "/result/" .. file.name, type = "result", key = key, file = file.name })
  end
end

--- Whether there is anything below a job.
---@param job juliahub.Job
local function has_details(job) return job.failedAt ~= nil or (job.outputs or "") ~= "" or #(job.results or {}) > 0 end

---@return juliahub.Page
local function page_of(all, now)
  ---@type juliahub.Page
  local page = { lines = {}, nodes = {} }
  local who = require("juliahub.status").who()
  local dot = " " .. words.icon("dot") .. " "
  local live = #vim.tbl_filter(words.is_live, all)
  add(page, {
    { "JuliaHub", "JuliaHubTitle" },
    { who ~= "" and dot .. who or "", "JuliaHubRemark" },
    { live > 0 and dot .. live .. " running" or "", "JuliaHubRunning" },
    { "   ? ", "JuliaHubKey" },
    { "keys", "JuliaHubHelp" },
  })
  if helping then
    for _, key in ipairs(M.keys) do
      add(page, { { "  " .. pad(key.key, 7), "JuliaHubKey" }, { key.doc, "JuliaHubHelp" } })
    end
  end
  if #all == 0 then
    add(page, { { "" } })
    add(page, {
      {
        "  No jobs yet. :JuliaHub submit in a Julia file makes one; R looks for those from elsewhere.",
        "JuliaHubHelp",
      },
    })
  end
  local rows, widths = {}, {}
  for _, job in ipairs(all) do
    rows[job] = cells(job, now)
    for i, cell in ipairs(rows[job]) do
      widths[i] = math.max(widths[i] or 0, vim.fn.strdisplaywidth(cell[1]))
    end
  end
  for _, group in ipairs({ "running", "today", "older" }) do
    local titled = false
    for _, job in ipairs(all) do
      if words.group(job, now) == group then
        if not titled then
          add(page, { { "" } })
          add(page, { { titles[group], "JuliaHubGroup" } }, { id = "group " .. group, type = "text" })
          titled = true
        end
        local key = jobs.key(job)
        local fold = has_details(job) and words.icon(unfolded[key] and "unfolded" or "folded") or " "
        local chunks = { { fold .. " ", "JuliaHubHelp" } }
        for i, cell in ipairs(rows[job]) do
          if widths[i] > 0 then
            chunks[#chunks + 1] = { pad(cell[1], widths[i]) .. (i == 1 and " " or "  "), cell[2] }
          end
        end
        chunks[#chunks + 1] = remark(job)
        add(page, chunks, { id = key, type = "job", key = key })
        if unfolded[key] then add_details(page, job) end
      end
    end
  end
  return page
end

--- Writes the page into the buffer.
---@param page juliahub.Page
local function write(page)
  local lines, marks = {}, {}
  for row, chunks in ipairs(page.lines) do
    local text = ""
    for _, chunk in ipairs(chunks) do
      if chunk[2] and chunk[1] ~= "" then marks[#marks + 1] = { row - 1, #text, #text + #chunk[1], chunk[2] } end
      text = text .. chunk[1]
    end
    lines[row] = text
  end
  if not vim.deep_equal(lines, vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) then
    vim.bo[buffer].modifiable = true
    vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
    vim.bo[buffer].modifiable = false
    vim.bo[buffer].modified = false
  end
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  for _, mark in ipairs(marks) do
    vim.api.nvim_buf_set_extmark(buffer, namespace, mark[1], mark[2], { end_col = mark[3], hl_group = mark[4] })
  end
end

--- Shows the list as it is now. The cursors stay on what they are on.
function M.render()
  if not vim.api.nvim_buf_is_loaded(buffer) then return end
  local wins, on = vim.fn.win_findbuf(buffer), {}
  for _, win in ipairs(wins) do
    local node = nodes[vim.api.nvim_win_get_cursor(win)[1]]
    on[win] = node and node.id
  end
  local page = page_of(jobs.list(), words.now())
  write(page)
  nodes = page.nodes
  for _, win in ipairs(wins) do
    for row, node in ipairs(nodes) do
      if node.id == on[win] then
        vim.api.nvim_win_set_cursor(win, { row, vim.api.nvim_win_get_cursor(win)[2] })
        break
      end
    end
  end
end

-- What keys do ----------------------------------------------------------------

---@return juliahub.Node?
local function node_at_cursor()
  if vim.api.nvim_get_current_buf() ~= buffer then return nil end
  return nodes[vim.api.nvim_win_get_cursor(0)[1]]
end

--- The job at the cursor, nil if this is another buffer or line.
---@return juliahub.Job?
function M.job_at_cursor()
  local node = node_at_cursor()
  return node and node.key and jobs.get(node.key) or nil
end

function M.toggle()
  local job = M.job_at_cursor()
  if not job then return end
  local key = jobs.key(job)
  unfolded[key] = not unfolded[key] or nil
  M.render()
end

function M.enter()
  local node, job = node_at_cursor(), M.job_at_cursor()
  if not node or not job then return end
  local commands, show = require("juliahub.commands"), require("juliahub.show")
  if node.type == "job" then
    if has_details(job) then return M.toggle() end
    return commands.run("juliahub.job", job.submission ~= "" and { submission = job.submission } or { job = job.job })
  elseif node.type == "failure" then
    return commands.go_to(job)
  elseif node.type == "outputs" then
    return M.show_outputs(job)
  end
  for _, file in ipairs(job.results or {}) do
    if file.name == node.file then
      if file.path and vim.uv.fs_stat(file.path) then
        if show.file(file.path) then commands.say("It is at " .. file.path) end
      else
        runs("juliahub.downloadResults", { files = { file.name } })(job)
      end
    end
  end
end

--- Shows the outputs of a job as a document of their own.
---@param job juliahub.Job
function M.show_outputs(job)
  local text, ok, value = job.outputs or "", pcall(vim.json.decode, job.outputs or "")
  if ok and type(value) == "table" and not vim.islist(value) then
    local lines = {}
    for key, v in vim.spairs(value) do
      lines[#lines + 1] = ("  %s: %s"):format(vim.json.encode(key), vim.json.encode(v))
    end
    text = "{\n" .. table.concat(lines, ",\n") .. "\n}"
  end
  local bufnr = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, vim.split(words.plain(text), "\n", { plain = true }))
  vim.bo[bufnr].filetype, vim.bo[bufnr].bufhidden, vim.bo[bufnr].modifiable = "json", "wipe", false
  local show = require("juliahub.show")
  show.buffer(bufnr, true)
  show.closes(bufnr)
end

---@param job juliahub.Job
function M.copy(job)
  if not job.job then return end
  vim.fn.setreg('"', job.job)
  pcall(vim.fn.setreg, "+", job.job) -- there may be no clipboard
  vim.api.nvim_echo({ { "JuliaHub: " .. job.job .. " copied" } }, false, {})
end

function M.help()
  helping = not helping
  M.render()
end

function M.refresh()
  require("juliahub").refresh(function(problem)
    if problem then vim.notify(problem, vim.log.levels.ERROR, { title = "JuliaHub" }) end
  end)
end

-- The buffer --------------------------------------------------------------------

--- The times of running jobs go on while the list is in sight, no longer.
local function tick()
  if timer then return end
  timer = assert(vim.uv.new_timer())
  timer:start(
    interval,
    interval,
    vim.schedule_wrap(function()
      if not timer then return end
      if #jobs.live() == 0 or not vim.api.nvim_buf_is_loaded(buffer) or #vim.fn.win_findbuf(buffer) == 0 then
        timer:close()
        timer = nil
        return
      end
      M.render()
    end)
  )
end

---@param bufnr integer
local function set_keys(bufnr)
  for _, key in ipairs(M.keys) do
    vim.keymap.set("n", key.key, function()
      if key.run then return key.run() end
      local job = M.job_at_cursor()
      if job then return key.job(job) end
      vim.api.nvim_echo({ { "JuliaHub: there is no job on this line" } }, false, {})
    end, { buffer = bufnr, nowait = true, desc = "JuliaHub: " .. key.doc })
  end
end

--- How windows show the list, and no other buffer.
local function set_window()
  local o = vim.wo[0][0]
  o.cursorline, o.wrap, o.number, o.relativenumber, o.signcolumn = true, false, false, false, "no"
  o.foldcolumn, o.list, o.spell, o.colorcolumn = "0", false, false, ""
end

--- Makes a buffer the list: `:edit juliahub://jobs`.
---@param bufnr integer
function M.read(bufnr)
  buffer = bufnr
  local o = vim.bo[bufnr]
  o.buftype, o.bufhidden, o.swapfile, o.undolevels, o.buflisted = "nofile", "hide", false, -1, false
  o.filetype = "juliahubjobs"
  set_keys(bufnr)
  local group = vim.api.nvim_create_augroup("juliahub.jobs", {})
  vim.api.nvim_create_autocmd("BufWinEnter", {
    group = group,
    buffer = bufnr,
    desc = "juliahub: show the list of jobs",
    callback = function()
      set_window()
      M.render()
      tick()
    end,
  })
  if vim.fn.bufwinid(bufnr) ~= -1 then vim.api.nvim_win_call(vim.fn.bufwinid(bufnr), set_window) end
  M.render()
  tick()
end

--- Opens the list, and brings it up to date.
function M.open()
  local bufnr = vim.fn.bufadd(name)
  vim.fn.bufload(bufnr)
  require("juliahub.show").buffer(bufnr)
  M.to_first()
  require("juliahub").fetch(function(problem)
    if problem then return vim.notify(problem, vim.log.levels.ERROR, { title = "JuliaHub" }) end
    M.to_first()
  end)
end

--- Puts the cursor on the first job, unless it is on one.
function M.to_first()
  local win = vim.fn.bufwinid(buffer)
  if win == -1 then return end
  local at = nodes[vim.api.nvim_win_get_cursor(win)[1]]
  if at and at.key then return end
  for row, node in ipairs(nodes) do
    if node.type == "job" then return vim.api.nvim_win_set_cursor(win, { row, 0 }) end
  end
end

jobs.on_change(function()
  M.render()
  tick()
end)
vim.api.nvim_create_autocmd("User", {
  group = vim.api.nvim_create_augroup("juliahub.view", {}),
  pattern = "JuliaHubStatus",
  desc = "juliahub: who is signed in stands above the list",
  callback = function() M.render() end,
})

return M
