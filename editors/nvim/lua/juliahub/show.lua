-- Where files, texts and pages are shown.

local config = require("juliahub.config")

local M = {}

local splits = { split = "botright split", vsplit = "botright vsplit", tab = "tab split" }

--- Shows a buffer of ours: in the window that has it, else as the setting says.
---@param bufnr integer
---@return integer window
function M.buffer(bufnr)
  local win = vim.fn.bufwinid(bufnr)
  if win ~= -1 then
    vim.api.nvim_set_current_win(win)
    return win
  end
  local split = splits[config.get().open]
  if split then vim.cmd(split) end
  vim.api.nvim_win_set_buf(0, bufnr)
  return vim.api.nvim_get_current_win()
end

--- Goes to a window for files: this one, or the last that is no list of ours.
local function file_window()
  local candidates = { vim.api.nvim_get_current_win(), vim.fn.win_getid(vim.fn.winnr("#")) }
  vim.list_extend(candidates, vim.api.nvim_tabpage_list_wins(0))
  for _, win in ipairs(candidates) do
    local is_window = win ~= 0 and vim.api.nvim_win_is_valid(win)
    if is_window and vim.bo[vim.api.nvim_win_get_buf(win)].buftype == "" and vim.fn.win_gettype(win) == "" then
      return vim.api.nvim_set_current_win(win)
    end
  end
  vim.cmd("aboveleft split")
end

local outside = {}
for ext in
  ("png jpg jpeg gif webp bmp tif tiff ico pdf mp4 webm mp3 wav zip tar gz tgz zst xz 7z jld2 h5 hdf5 parquet arrow"):gmatch(
    "%S+"
  )
do
  outside[ext] = true
end

--- Whether a file is better shown by another program.
---@param path string
local function is_binary(path)
  if outside[(path:match("%.([^./\\]+)$") or ""):lower()] then return true end
  local file = io.open(path, "rb")
  if not file then return false end
  local head = file:read(1024) or ""
  file:close()
  return head:find("\0", 1, true) ~= nil
end

--- Opens a local file, in another program if it is no text.
---@param path string
---@param line? integer 0-based
---@return string? problem
function M.file(path, line)
  if is_binary(path) then
    local _, err = vim.ui.open(path)
    return err
  end
  local bufnr = vim.fn.bufadd(path)
  vim.bo[bufnr].buflisted = true
  local win = vim.fn.bufwinid(bufnr)
  if win ~= -1 then
    vim.api.nvim_set_current_win(win)
    vim.cmd.checktime(bufnr)
  else
    file_window()
    vim.cmd("normal! m'")
    vim.cmd.buffer(bufnr)
  end
  if line then
    vim.api.nvim_win_set_cursor(0, { math.min(line + 1, vim.api.nvim_buf_line_count(bufnr)), 0 })
    vim.cmd("normal! zvzz")
  end
  return nil
end

--- Shows a text that the server wrote for us: a preview, a list. It is read anew
--- each time, and nobody means to edit it.
---@param path string
local function text(path)
  local bufnr = vim.fn.bufadd(path)
  vim.bo[bufnr].swapfile = false
  M.buffer(bufnr)
  vim.cmd("silent edit!")
  vim.bo[bufnr].bufhidden = "wipe"
  vim.bo[bufnr].readonly, vim.bo[bufnr].modifiable = true, false
  vim.bo[bufnr].buflisted = false
  vim.keymap.set("n", "q", "<Cmd>close<CR>", { buffer = bufnr, desc = "JuliaHub: close" })
end

--- Whether a file is a text that the server wrote to be shown: in a directory
--- of its own among the temporary ones.
---@param path string
local function is_text(path) return vim.fs.basename(vim.fs.dirname(path)):find("^juliahub%-%d+$") ~= nil end

--- Opens a web page.
---@param url string
---@return string? problem
function M.page(url)
  local _, err = vim.ui.open(url)
  return err
end

--- The handler of window/showDocument. Unlike Neovim's own it does not wait for
--- a browser, and opens pictures outside.
---@param params lsp.ShowDocumentParams
---@param ctx lsp.HandlerContext
function M.document(params, ctx)
  if params.external then return { success = M.page(params.uri) == nil } end
  if not vim.startswith(params.uri, "file:") then return vim.lsp.handlers["window/showDocument"](nil, params, ctx) end
  local path = vim.uri_to_fname(params.uri)
  if is_text(path) then
    text(path)
    return { success = true }
  end
  local line = type(params.selection) == "table" and params.selection.start.line or nil
  return { success = M.file(path, line) == nil }
end

return M
