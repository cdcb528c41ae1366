-- The plugin's own settings: vim.g.juliahub, a table or a function that makes
-- one. They are read at each use, so that they can be set at any time. What the
-- server does is set in the settings of vim.lsp.config("juliahub").

local M = {}

---@type juliahub.Config
M.defaults = { icons = "auto", open = "split", lens = true }

local choices = {
  icons = { "auto", "unicode", "ascii" },
  open = { "split", "vsplit", "tab", "edit" },
}

--- What is wrong with a setting, nil if nothing is.
---@param key string
---@param value any
---@return string?
local function problem(key, value)
  if key == "cmd" then
    if type(value) == "string" and value ~= "" then return nil end
    if vim.islist(value) and type(value[1]) == "string" then return nil end
    return "cmd has to be the path of the server, or a list: the path and its arguments"
  elseif key == "lens" then
    return type(value) ~= "boolean" and "lens has to be true or false" or nil
  elseif choices[key] then
    return not vim.list_contains(choices[key], value)
        and ("%s has to be one of: %s"):format(key, table.concat(choices[key], ", "))
      or nil
  end
  return ("there is no setting %s"):format(key)
end

--- The settings, and what is wrong with them: there the default counts.
---@return juliahub.Config config, string[] problems
function M.get()
  local given = vim.g.juliahub
  if type(given) == "function" then given = given() end
  local config, problems = vim.deepcopy(M.defaults), {}
  if given ~= nil and type(given) ~= "table" then
    return config, { "vim.g.juliahub has to be a table, or a function that returns one" }
  end
  for key, value in vim.spairs(given or {}) do
    local wrong = problem(tostring(key), value)
    if wrong then
      problems[#problems + 1] = "vim.g.juliahub: " .. wrong
    else
      config[key] = value
    end
  end
  return config, problems
end

return M
