local conex = require "conex"
local cx = assert(conex.open())
local AF_UNIX = 1

local ask = {
  socket = function(call)                       -- plain numbers can't change behind our back, so proceed is safe
    if call.args[1] == AF_UNIX then return call:proceed() end
    print(("pid %d wants a socket of family %d: no"):format(call.pid, call.args[1]))
    return call:fail("EACCES")
  end,
  fchownat = function(call) return call:ret(0) end,     -- "done", as fakeroot says it
  mknodat = function(call)
    print("mknod", call:string(call.args[2], 4096))     -- a copy, good for a log; never proceed on what it points to
    return call:fail("EPERM")
  end,
}
local r, message = cx:run{ "legacy-tool", image = "my/legacy:1", stdout = "host", ask = ask }
print(r and tostring(r.exit) or message)
cx:close()
