-- The server's process and the client that talks to it: found, started,
-- restarted, and given up on when it keeps crashing.

local config = require("juliahub.config")

local M = {}

M.name = "juliahub" -- of the client, and of its configuration

--- So many crashes within so many seconds, and the server is not started again by itself.
local max_crashes, crash_window = 5, 180
--- Milliseconds that the server may take to say goodbye: it ends uploads first.
local farewell = 6000
--- Milliseconds after which a server that says nothing is stuck.
local patience = 2000

---@alias juliahub.ServerState "stopped"|"starting"|"running"|"failed"

---@type juliahub.ServerState
M.state = "stopped"
M.failure = "" -- what is wrong while the state is "failed"

local listeners = {} ---@type fun()[]
local pids = setmetatable({}, { __mode = "k" }) ---@type table<table, integer> by the client's rpc object
local buffers = {} ---@type table<integer, table<integer, true>> of each client
local sent_folders = {} ---@type table<integer, integer> how many folders a client was told of, by client
local crashes = {} ---@type number[] when
local restarting ---@type (fun(problem?: string))[]? who waits for the restart under way
local lost ---@type { config: table, buffers: integer[] }? what a server that crashed had served
local told ---@type string? the problem that was said last

--- Calls a function when the server's state changes.
---@param listener fun()
function M.on_change(listener) listeners[#listeners + 1] = listener end

---@param state juliahub.ServerState
---@param failure? string
local function set_state(state, failure)
  if state == M.state and (failure or "") == M.failure then return end
  M.state, M.failure = state, failure or ""
  for _, listener in ipairs(listeners) do
    listener()
  end
end

-- Finding it ------------------------------------------------------------------

--- The plugin's own directory, links resolved.
function M.home()
  local file = debug.getinfo(1, "S").source:sub(2)
  file = vim.uv.fs_realpath(file) or file
  return vim.fs.dirname(vim.fs.dirname(vim.fs.dirname(file)))
end

--- Where the server is: as set, on the PATH, or beside the plugin.
---@return string[]? cmd the command that starts it
---@return string problem what to do where there is none; else where it was found
function M.find()
  local set = config.get().cmd
  if set then
    local cmd = type(set) == "table" and vim.deepcopy(set) or { set }
    cmd[1] = vim.fs.normalize(cmd[1])
    if vim.fn.executable(cmd[1]) == 1 then return cmd, "vim.g.juliahub" end
    return nil, ("vim.g.juliahub.cmd names %s, which cannot be executed."):format(cmd[1])
  end
  local name = vim.fn.has("win32") == 1 and "juliahub-lsp.exe" or "juliahub-lsp"
  local on_path = vim.fn.exepath("juliahub-lsp")
  if on_path ~= "" then return { on_path }, "PATH" end
  -- Installed with the plugin, or built in the repository that the plugin is in.
  local home = M.home()
  for _, dir in ipairs({ home, vim.fs.dirname(vim.fs.dirname(home)) }) do
    local path = vim.fs.joinpath(dir, "bin", name)
    if vim.fn.executable(path) == 1 then return { path }, "beside the plugin" end
  end
  return nil,
    "The JuliaHub language server (juliahub-lsp) was not found: install it on your PATH, or name it in vim.g.juliahub.cmd."
end

--- Says once that there is no server, until it is another problem.
---@param problem string
function M.complain(problem)
  set_state("failed", problem)
  if told == problem then return end
  told = problem
  vim.notify(problem .. " See :checkhealth juliahub.", vim.log.levels.ERROR, { title = "JuliaHub" })
end

-- Starting it -----------------------------------------------------------------

---@return table<integer, true>
local function children()
  local ok, list = pcall(vim.api.nvim_get_proc_children, vim.fn.getpid())
  local set = {}
  for _, pid in ipairs(ok and list or {}) do
    set[pid] = true
  end
  return set
end

--- Gives lenses of one line columns of their own, in their order: Neovim sorts
--- them by column, and those of one column come out in any order.
---@param rpc vim.lsp.rpc.PublicClient
local function keep_order_of_lenses(rpc)
  local request = rpc.request
  rpc.request = function(method, params, done, ...)
    if method ~= "textDocument/codeLens" then return request(method, params, done, ...) end
    return request(method, params, function(err, lenses, ...)
      local next_column = {}
      for _, lens in ipairs(type(lenses) == "table" and lenses or {}) do
        local from = lens.range.start
        from.character = math.max(from.character, next_column[from.line] or 0)
        next_column[from.line] = from.character + 1
      end
      done(err, lenses, ...)
    end, ...)
  end
end

--- The `cmd` of the client's configuration. It remembers the process: one that
--- hangs does not go for less than SIGKILL, which Neovim never sends.
---@param dispatchers vim.lsp.rpc.Dispatchers
---@param client_config? vim.lsp.ClientConfig missing in Neovim 0.11
---@return vim.lsp.rpc.PublicClient
function M.start(dispatchers, client_config)
  client_config = client_config or vim.lsp.config[M.name]
  local cmd, problem = M.find()
  if not cmd then error(problem, 0) end
  local before = children()
  local rpc = vim.lsp.rpc.start(cmd, dispatchers, {
    cwd = client_config.cmd_cwd,
    env = client_config.cmd_env,
    detached = client_config.detached,
  })
  for pid in pairs(children()) do
    if not before[pid] then pids[rpc] = pid end
  end
  keep_order_of_lenses(rpc)
  told = nil
  set_state("starting")
  return rpc
end

--- The process of a client, where that is known.
---@param client vim.lsp.Client
---@return integer?
function M.pid(client) return pids[client.rpc] end

--- Whether a client of ours serves another project, too: one server for all.
--- It learns of the other root as of a workspace folder.
---@param client vim.lsp.Client
---@param wanted vim.lsp.ClientConfig
function M.reuse(client, wanted)
  if client.name ~= wanted.name or client:is_stopped() then return false end
  local root = wanted.root_dir
  if type(root) ~= "string" or root == "" then return true end
  local folders = client.workspace_folders or {}
  client.workspace_folders = folders
  local uri = vim.uri_from_fname(root)
  for _, folder in ipairs(folders) do
    if folder.uri == uri then return true end
  end
  folders[#folders + 1] = { uri = uri, name = root }
  M.tell_folders(client)
  return true
end

--- Tells the server of folders that came after its start.
---@param client vim.lsp.Client
function M.tell_folders(client)
  if not client.initialized then return end
  local folders = client.workspace_folders or {}
  local first = sent_folders[client.id] or #folders
  sent_folders[client.id] = #folders
  local added = vim.list_slice(folders, first + 1)
  if #added == 0 then return end
  client:notify("workspace/didChangeWorkspaceFolders", { event = { added = added, removed = {} } })
end

--- Notes how many folders initialize tells of.
---@param params lsp.InitializeParams
---@param id integer
local function note_folders(params, id)
  sent_folders[id] = type(params.workspaceFolders) == "table" and #params.workspaceFolders or 0
end

---@type vim.lsp.client.before_init_cb
function M.before_init(params)
  -- The client has no name for itself here: it is the one without a note.
  for _, client in ipairs(M.clients()) do
    if not client.initialized and not sent_folders[client.id] then note_folders(params, client.id) end
  end
end

--- All clients of ours, also those that are starting.
---@return vim.lsp.Client[]
function M.clients() return vim.lsp.get_clients({ name = M.name, _uninitialized = true }) end

--- The client that is up, nil if there is none.
---@return vim.lsp.Client?
function M.client()
  for _, client in ipairs(M.clients()) do
    if client.initialized and not client:is_stopped() then return client end
  end
  return nil
end

---@param client vim.lsp.Client
function M.on_init(client)
  lost = nil
  M.tell_folders(client)
  set_state("running")
end

---@param client vim.lsp.Client
---@param bufnr integer
function M.on_attach(client, bufnr)
  buffers[client.id] = buffers[client.id] or {}
  buffers[client.id][bufnr] = true
end

--- Starts a client for buffers, or with none for whoever asks.
---@param client_config table
---@param bufs integer[]
---@return string? problem
local function start(client_config, bufs)
  local cmd, problem = M.find()
  if not cmd and type(client_config.cmd) == "function" then return problem end
  if #bufs == 0 then
    return not vim.lsp.start(client_config, { attach = false }) and "The JuliaHub language server cannot be started."
      or nil
  end
  for _, bufnr in ipairs(bufs) do
    local id = vim.lsp.start(client_config, { bufnr = bufnr, reuse_client = M.reuse })
    if not id then return "The JuliaHub language server cannot be started." end
  end
  return nil
end

--- The configuration of now for a client that takes another's place.
---@param old? vim.lsp.Client
local function fresh_config(old)
  local made = vim.deepcopy(vim.lsp.config[M.name] or {})
  if old then
    made.root_dir, made.workspace_folders = old.root_dir, old.workspace_folders
  else
    made.root_dir = vim.fs.root(vim.fn.getcwd(), made.root_markers or {})
  end
  return made
end

--- Buffers that were a client's and still are there.
---@param id integer
local function buffers_of(id)
  return vim.tbl_filter(
    function(bufnr) return vim.api.nvim_buf_is_loaded(bufnr) and vim.bo[bufnr].buftype == "" end,
    vim.tbl_keys(buffers[id] or {})
  )
end

---@type vim.lsp.client.on_exit_cb
function M.on_exit(code, signal, id)
  local client = vim.lsp.get_client_by_id(id)
  local quiet = client == nil or client._is_stopping or restarting ~= nil
  local orderly = code == 0 and signal == 0 or signal == 15
  vim.schedule(function()
    local bufs = buffers_of(id)
    buffers[id], sent_folders[id] = nil, nil
    if vim.v.exiting ~= vim.NIL then return end
    if quiet or orderly then
      if not restarting and not M.client() then set_state("stopped") end
      return
    end
    if not client.initialized then
      return M.complain(
        ("The JuliaHub language server ended as soon as it was started, with exit code %d."):format(code)
      )
    end
    local now = vim.uv.hrtime() / 1e9
    crashes = vim.tbl_filter(function(at) return now - at < crash_window end, crashes)
    crashes[#crashes + 1] = now
    local served = { config = fresh_config(client), buffers = bufs }
    lost = served
    if #crashes >= max_crashes then
      return M.complain(
        ("The JuliaHub language server crashed %d times in three minutes. :JuliaHub restart tries again."):format(
          max_crashes
        )
      )
    end
    -- The client that crashed is forgotten by then, and its buffers detached.
    vim.schedule(function()
      local problem = start(served.config, served.buffers)
      if problem then M.complain(problem) end
    end)
  end)
end

--- Starts anew whatever state the server is in: running, stuck, crashed, missing.
---@param done? fun(problem?: string)
function M.restart(done)
  done = done or function() end
  if restarting then
    restarting[#restarting + 1] = done
    return
  end
  restarting, crashes, told = { done }, {}, nil
  local old = M.clients()
  local served = lost or { config = fresh_config(old[1]), buffers = {} }
  for _, client in ipairs(old) do
    vim.list_extend(served.buffers, buffers_of(client.id))
  end
  M.stop(old, function()
    lost = nil
    local problem = start(served.config, served.buffers)
    local waiting = restarting or {}
    restarting = nil
    if problem then
      M.complain(problem)
      for _, f in ipairs(waiting) do
        f(problem)
      end
      return
    end
    M.ready(function(failed)
      for _, f in ipairs(waiting) do
        f(failed)
      end
    end)
  end)
end

--- Ends clients and their processes, at the latest after some seconds.
---@param clients vim.lsp.Client[]
---@param done fun()
function M.stop(clients, done)
  local begun, answers = vim.uv.now(), {}
  for _, client in ipairs(clients) do
    if client.initialized and not client:is_stopped() then
      -- One that answers ends its uploads and goes by itself; one that does not is stuck.
      client:request("juliahub/jobs", vim.empty_dict(), function() answers[client.id] = true end)
    end
    client:stop()
  end
  local timer = assert(vim.uv.new_timer())
  timer:start(
    0,
    20,
    vim.schedule_wrap(function()
      if timer:is_closing() then return end
      local waited, left = vim.uv.now() - begun, false
      for _, client in ipairs(clients) do
        if vim.lsp.get_client_by_id(client.id) then
          left = true
          if waited > (answers[client.id] and farewell or patience) then M.kill(client) end
        end
      end
      if not left or waited > 2 * farewell then
        timer:close()
        done()
      end
    end)
  )
end

--- Ends a client's process without asking it.
---@param client vim.lsp.Client
function M.kill(client)
  local pid = M.pid(client)
  if pid and children()[pid] then vim.uv.kill(pid, "sigkill") end
end

-- Talking to it ---------------------------------------------------------------

--- Calls a function when there is a client that is up, started if need be.
---@param done fun(problem?: string, client?: vim.lsp.Client)
---@param bufnr? integer a buffer that the server has to know
function M.ready(done, bufnr)
  local starting = #M.clients() > 0 or restarting ~= nil
  local client = M.client()
  if client and bufnr and M.serves(bufnr) and not vim.lsp.buf_is_attached(bufnr, client.id) then
    vim.lsp.buf_attach_client(bufnr, client.id)
  end
  if client then return done(nil, client) end
  if not starting then
    local client_config = fresh_config()
    if bufnr and M.serves(bufnr) then client_config.root_dir = M.root(bufnr) end
    local problem = start(client_config, bufnr and M.serves(bufnr) and { bufnr } or {})
    if problem then
      set_state("failed", problem)
      return done(problem)
    end
  end
  local begun, timer = vim.uv.now(), assert(vim.uv.new_timer())
  timer:start(
    10,
    10,
    vim.schedule_wrap(function()
      if timer:is_closing() then return end
      local up = M.client()
      if not up and M.state ~= "failed" and vim.uv.now() - begun < 10000 then return end
      timer:close()
      if not up and M.state == "failed" then return done(M.failure) end
      if up then return M.ready(done, bufnr) end
      done("The JuliaHub language server does not answer. :JuliaHub restart starts it anew.")
    end)
  )
end

--- nil for JSON's null, which Neovim 0.12 gives as vim.NIL.
local function without_null(value)
  if value == vim.NIL then return nil end
  if type(value) ~= "table" then return value end
  for key, v in pairs(value) do
    value[key] = without_null(v)
  end
  return value
end
M.without_null = without_null

--- Sends a request; the answer or a sentence that says what is wrong comes later.
---@param method string
---@param params table
---@param done fun(problem?: string, answer?: any, code?: integer)
---@param bufnr? integer
function M.request(method, params, done, bufnr)
  M.ready(function(problem, client)
    if not client then return done(problem) end
    -- Without a buffer the changes of all buffers are sent first.
    client:request(
      method,
      params,
      function(err, answer) done(err and (err.message or tostring(err)), without_null(answer), err and err.code) end
    )
  end, bufnr)
end

--- Sends a command of the server.
---@param command string
---@param argument juliahub.Argument
---@param done fun(problem?: string, answer?: any, code?: integer)
---@param bufnr? integer
function M.execute(command, argument, done, bufnr)
  if next(argument) == nil then argument = vim.empty_dict() end
  M.request("workspace/executeCommand", { command = command, arguments = { argument } }, done, bufnr)
end

--- Sends a command and waits, for what cannot go on without the answer:
--- completion in the command line. nil if there is none in good time.
---@param command string
---@param argument juliahub.Argument
---@return any?
function M.execute_now(command, argument)
  local client = M.client()
  if not client then return nil end
  if next(argument) == nil then argument = vim.empty_dict() end
  local answer = client:request_sync("workspace/executeCommand", { command = command, arguments = { argument } }, 500)
  return answer and without_null(answer.result) or nil
end

-- What it serves --------------------------------------------------------------

local project_files = { ["Project.toml"] = true, ["JuliaProject.toml"] = true, ["JuliaHub.toml"] = true }

--- Whether the server has something to say about a buffer: a Julia file, or one
--- of the files that say what a project is. Other TOML files are not its business.
---@param bufnr integer
function M.serves(bufnr)
  local path = vim.api.nvim_buf_get_name(bufnr)
  if path == "" or path:find("^%a[%w+.-]+://") or vim.bo[bufnr].buftype ~= "" then return false end
  local name = vim.fs.basename(path)
  return vim.bo[bufnr].filetype == "julia"
    or name == ".juliabundleignore"
    or project_files[name]
    or name:find("^Manifest.*%.toml$") ~= nil
    or name:find("^JuliaManifest.*%.toml$") ~= nil
end

--- The project's directory of a buffer, nil if there is none.
---@param bufnr integer
---@return string?
function M.root(bufnr) return vim.fs.root(bufnr, (vim.lsp.config[M.name] or {}).root_markers or {}) end

return M
