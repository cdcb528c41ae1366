-- vim.lsp.enable("juliahub"): submit Julia files to JuliaHub, beside whatever
-- other server there is for Julia. See :help juliahub.

local server = require("juliahub.server")
local client = require("juliahub.client")

-- From 0.12 on a list of markers is in the order of their priority; here the
-- nearest project counts, whichever of the names it goes by.
local projects = { "JuliaProject.toml", "Project.toml", "JuliaHub.toml" }

---@type vim.lsp.Config
return {
  cmd = server.start,
  filetypes = { "julia", "toml", "juliabundleignore" },
  root_markers = vim.fn.has("nvim-0.12") == 1 and { projects, ".git" } or vim.list_extend(projects, { ".git" }),
  root_dir = client.root_dir,
  reuse_client = server.reuse,
  capabilities = client.capabilities(),
  handlers = client.handlers,
  before_init = server.before_init,
  on_init = client.on_init,
  on_attach = client.on_attach,
  on_exit = server.on_exit,
}
