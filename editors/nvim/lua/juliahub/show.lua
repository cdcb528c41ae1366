-- Where files, texts and pages are shown.

local config = require("juliahub.config")

local M = {}

local splits = { split = "botright split", vsplit = "botright vsplit", tab = "tab split" }

--- A window of this tab that shows a log or a text: the next one takes its place.
---@return integer?
local function pane()
  for _, win in ipairs(vim.api.nvim_tabpage_list_wins(0)) do
    if vim.b[vim.api.nvim_win_get_buf(win)].juliahub_pane then return win end
  end
end

--- Shows a buffer of ours: in the window that has it, else as the setting says.
---@param bufnr integer
---@param is_pane? boolean it is a log or a text, not the list
---@return integer window
function M.buffer(bufnr, is_pane)
  local win = vim.fn.bufwinid(bufnr)
  if win == -1 and is_pane then win = pane() or -1 end
  local split = splits[config.get().open]
  if win ~= -1 then
    vim.api.nvim_set_current_win(win)
  elseif split then
    vim.cmd(split)
  end
  if vim.api.nvim_get_current_buf() ~= bufnr then vim.api.nvim_win_set_buf(0, bufnr) end
  if is_pane then vim.b[bufnr].juliahub_pane = true end
  return vim.api.nvim_get_current_win()
end

--- Closes the window, or in the last one leaves its buffer.
function M.close()
  if #vim.api.nvim_tabpage_list_wins(0) > 1 or #vim.api.nvim_list_tabpages() > 1 then
    vim.api.nvim_win_close(0, false)
  elseif vim.fn.bufnr("#") > 0 and vim.api.nvim_buf_is_loaded(vim.fn.bufnr("#")) then
    vim.cmd.buffer("#")
  else
    vim.cmd.enew()
  end
end

--- Maps `q` in a buffer to closing its window.
---@param bufnr integer
function M.closes(bufnr) vim.keymap.set("n", "q", M.close, { buffer = bufnr, nowait = true, desc = "JuliaHub: close" }) end

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
  M.buffer(bufnr, true)
  vim.cmd("silent edit!")
  vim.bo[bufnr].bufhidden = "wipe"
  vim.bo[bufnr].readonly, vim.bo[bufnr].modifiable = true, false
  vim.bo[bufnr].buflisted = false
  M.closes(bufnr)
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
