std = "luajit"
read_globals = { "vim" }
globals = { "vim.g", "vim.b", "vim.w", "vim.o", "vim.bo", "vim.wo", "vim.env", "vim.ui", "vim.fn", "vim.notify", "vim.notify_once", "vim.lsp" }
max_line_length = 140
