-- The library can't build yet (conex_build): for cx:build(".", { image = "my/app:dev", args = { VERSION = "7" } }), whose job has the
-- same methods, stands an import. All else is as it was meant.
local conex = require "conex"
local cx <close> = assert(conex.open())

conex.loop(cx, function()                       -- every call below yields instead of blocking
  local job = assert(cx:import("app.tar", "my/app:dev"))
  for p in job:progress() do io.write("\r", p.step) end
  print("", assert(job:result()))

  local workers = {}
  for n = 1, 4 do
    workers[n] = conex.go(function()
      local c = assert(cx:run{ "app", "--shard", n, image = "my/app:dev", memory = "256M", timeout = 60, stdout = "pipe" })
      for line in c:lines() do print(n, line) end
      return assert(c:wait()).status
    end)
  end
  for n, w in ipairs(workers) do print(n, w:join()) end
end)
