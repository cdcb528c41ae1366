-- :checkhealth juliahub

local M = {}

local health = vim.health

local function check_neovim()
  health.start("JuliaHub: Neovim")
  local version = tostring(vim.version())
  if vim.fn.has("nvim-0.11") == 0 then
    health.error("Neovim " .. version .. " is too old", "Install Neovim 0.11 or newer.")
  else
    health.ok("Neovim " .. version)
  end
  local config, problems = require("juliahub.config").get()
  for _, problem in ipairs(problems) do
    health.error(problem, "See :help juliahub-config.")
  end
  if #problems == 0 then health.ok("vim.g.juliahub: " .. vim.inspect(config, { newline = " ", indent = "" })) end
  local words = require("juliahub.words")
  health.info(("Icons: %s %s %s"):format(words.icon("running"), words.icon("completed"), words.icon("failed")))
end

---@return boolean
local function check_binary()
  health.start("JuliaHub: language server")
  local server = require("juliahub.server")
  local cmd, from = server.find()
  if not cmd then
    health.error(from, {
      "Build it with `make build` in its repository, and put bin/juliahub-lsp on your PATH.",
      'Or name it: vim.g.juliahub = { cmd = "/path/to/juliahub-lsp" }',
    })
    return false
  end
  local ok, run = pcall(vim.system, { cmd[1], "version" }, { text = true })
  local result = ok and run:wait(5000) or nil
  if not result or result.code ~= 0 then
    health.error(("%s (%s) does not run"):format(cmd[1], from), result and result.stderr or tostring(run))
    return false
  end
  health.ok(("%s (%s): %s"):format(cmd[1], from, vim.trim((result.stdout:gsub("%s+", " ")))))
  return true
end

local function check_client()
  local server = require("juliahub.server")
  if vim.lsp.is_enabled and not vim.lsp.is_enabled(server.name) then
    health.warn("It is not started with Julia files", 'Put vim.lsp.enable("juliahub") into your init.lua.')
  end
  local client = server.client()
  if not client then
    if server.failure ~= "" then
      health.error(server.failure, ":JuliaHub restart")
    else
      health.info("It does not run: open a Julia file, or do :JuliaHub jobs")
    end
    return
  end
  local folders = vim.tbl_map(function(f) return f.name end, client.workspace_folders or {})
  health.ok(
    ("It runs: version %s, process %s, positions in %s"):format(
      client.server_info and client.server_info.version or "?",
      server.pid(client) or "?",
      client.offset_encoding
    )
  )
  health.info("Folders: " .. (#folders > 0 and table.concat(folders, ", ") or "none"))
end

local function check_session()
  health.start("JuliaHub: sign-in and jobs")
  local server = require("juliahub.server")
  local client = server.client()
  if not client then return health.info("Not known while the server does not run") end
  local answer = client:request_sync("juliahub/status", vim.empty_dict(), 2000)
  if not answer or not answer.result then
    health.error("The server does not answer", ":JuliaHub restart")
    return
  end
  local status = server.without_null(answer.result)
  require("juliahub.status").take(status)
  if status.signedIn then
    health.ok(require("juliahub.status").sentence())
  else
    health.warn(status.reason or "Not signed in", ":JuliaHub login")
  end
  local jobs = require("juliahub.jobs")
  health.info(("%d jobs known, %d running"):format(#jobs.list(), #jobs.live()))
  local sysname = vim.uv.os_uname().sysname
  local opener = ({ Linux = "xdg-open", Darwin = "open" })[sysname]
  if opener and vim.fn.executable(opener) == 0 and vim.fn.executable("wslview") == 0 then
    health.warn(
      "No browser can be opened from here: " .. opener .. " is missing",
      "Pages are shown as messages instead."
    )
  end
  health.info("`juliahub-lsp doctor` looks at the rest: the server, Julia, its depot and registries")
end

function M.check()
  check_neovim()
  if check_binary() then
    check_client()
    check_session()
  end
end

return M
