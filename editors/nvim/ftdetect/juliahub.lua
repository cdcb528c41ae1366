vim.filetype.add({ filename = { [".juliabundleignore"] = "juliabundleignore" } })
