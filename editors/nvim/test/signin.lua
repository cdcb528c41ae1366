-- Signing in on the server's page, by :JuliaHub login and by a submission that
-- needs it, and signing out.

local t = dofile(vim.env.LIB)
local juliahub = require("juliahub")

vim.lsp.enable("juliahub")

--- Allows the sign-in whose page was opened last, as a person does there.
local function allow(pages)
  t.await("the page is opened", function() return #t.pages > pages end)
  local said = t.await("the code is said", function()
    local last
    for _, note in ipairs(t.notes) do
      last = note.text:match("the code (%S+)") or last
    end
    return last
  end)
  t.expect("the page is the server's: " .. t.pages[#t.pages], vim.startswith(t.pages[#t.pages], vim.env.URL))
  t.post("/emulator/approve", vim.json.encode({ user_code = said }))
end

t.run({
  "without a sign-in, all say so",
  function()
    t.open("pi.jl")
    t.await("who", function() return juliahub.who():find("^not signed in to 127") end)
    t.equal("the status line", juliahub.status(), "○ JuliaHub: signed out")
    vim.cmd("JuliaHub whoami")
    t.await("whoami", function() return t.notes[#t.notes] and t.notes[#t.notes].level == vim.log.levels.WARN end)
    t.expect("checkhealth", t.health():find(":JuliaHub login", 1, true) ~= nil)
  end,

  "login",
  function()
    local pages = #t.pages
    vim.cmd("JuliaHub login")
    allow(pages)
    t.note("Signed in to 127.0.0.1")
    t.await("who", function() return juliahub.who() ~= "" and not juliahub.who():find("not signed in", 1, true) end)
    t.await("the status line is quiet", function() return juliahub.status() == "○ JuliaHub" end)
    t.notes = {}
    vim.cmd("JuliaHub whoami")
    t.expect("in a sentence: " .. t.note("0 jobs running").text, t.notes[#t.notes].text:find("^Signed in") ~= nil)
  end,

  "logout",
  function()
    vim.cmd("JuliaHub logout")
    t.note("Signed out of 127.0.0.1")
    t.await("who", function() return juliahub.who():find("^not signed in to 127") end)
  end,

  "a submission signs in by itself, and goes on",
  function()
    local pages, go = #t.pages, t.waiting_script("wait.jl")
    t.notes = {}
    t.open("wait.jl")
    vim.cmd("JuliaHub submit")
    allow(pages)
    go()
    t.settled("wait.jl", "completed")
  end,
})
