-- Starts a store and three servers side by side, asks each whether it is well, and takes all down in order. One thread: all of it
-- yields. lua5.4 orchestrate.lua ROOTFS (or, without one, the image busybox)
local conex = require "conex"
local rootfs = arg[1]
local cx <close> = assert(conex.open())

local function run(options)
  options.rootfs, options.image = rootfs, not rootfs and "busybox" or nil
  return assert(cx:run(options))
end

-- Waits until a command in it ends with 0.
local function healthy(c, command)
  local deadline = conex.now() + 10
  repeat
    local p = c:exec(command)
    if p and p:wait().status == 0 then return true end
    c:wait(0.05)
  until conex.now() > deadline or c:state() ~= "running"
  error(c:id() .. " isn't well")
end

conex.loop(cx, function()
  assert(cx:network_create("lua-site"))
  local store = run { "/bin/sh", "-c", "echo 4711 >/tmp/x; exec nc -ll -p 6379 -e /bin/cat /tmp/x", id = "store", network = "lua-site",
    mounts = { "tmpfs:/tmp" } }
  healthy(store, { "/bin/sh", "-c", "nc 127.0.0.1 6379 </dev/null" })

  local servers = {}
  for n = 1, 3 do
    servers[n] = conex.go(function()
      local c = run { "/bin/sh", "-c", "echo '#!/bin/sh' >/tmp/w; echo 'echo 200 $(nc store 6379 </dev/null)' >>/tmp/w; chmod 755 /tmp/w;"
        .. "exec nc -ll -p 80 -e /tmp/w", id = "web" .. n, network = "lua-site", memory = "32M", mounts = { "tmpfs:/tmp:exec,mode=777" } }
      healthy(c, { "/bin/sh", "-c", "nc 127.0.0.1 80 </dev/null | grep 200" })
      return c
    end)
  end
  local up = {}
  for n, task in ipairs(servers) do up[n] = task:join() end
  print("all is up: " .. table.concat(cx:containers(), " "))

  for n, c in ipairs(up) do
    local p = assert(store:exec { "/bin/sh", "-c", "nc web" .. n .. " 80 </dev/null", stdout = "pipe" })
    print(("web %d: %s, %d KiB"):format(n, (p:output():gsub("%s+$", "")), c:stats().memory // 1024))
  end
  local count = 0
  for _, c in ipairs { up[1], up[2], up[3], store } do
    c:kill()
    assert(c:delete())
    count = count + 1
  end
  assert(cx:network_delete("lua-site"))
  print("done: " .. count .. " containers")
end)
