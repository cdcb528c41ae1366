-- Defines :JuliaHub and the buffers juliahub://…; everything else is loaded
-- when it is first used.

if vim.g.loaded_juliahub then return end
vim.g.loaded_juliahub = true

if vim.fn.has("nvim-0.11") == 0 then
  vim.notify("JuliaHub needs Neovim 0.11 or newer.", vim.log.levels.WARN)
  return
end

vim.api.nvim_create_user_command("JuliaHub", function(opts) require("juliahub.commands").command(opts) end, {
  nargs = "*",
  bang = true,
  range = true,
  desc = "Submit to JuliaHub, watch jobs, read logs, get results",
  complete = function(lead, line, pos) return require("juliahub.commands").complete(lead, line, pos) end,
})

vim.api.nvim_create_autocmd("BufReadCmd", {
  group = vim.api.nvim_create_augroup("juliahub.buffers", {}),
  pattern = "juliahub://*",
  desc = "juliahub: the list of jobs, a job's log",
  callback = function(event)
    if event.match == "juliahub://jobs" then return require("juliahub.view").read(event.buf) end
    if vim.startswith(event.match, "juliahub://log/") then
      return require("juliahub.logs").read(event.buf, event.match)
    end
    vim.notify("JuliaHub shows juliahub://jobs and juliahub://log/JOB.", vim.log.levels.ERROR, { title = "JuliaHub" })
  end,
})
