-- All of the module, in whichever Lua runs this: tests/system/lua.sh. arg[1]: a busybox root file system.
local conex = require "conex"
local tap = require "tap"
local test, is, fails, raises = tap.test, tap.is, tap.fails, tap.raises
local root = arg[1]
local PUC51 = _VERSION == "Lua 5.1" and not jit

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read("*a")
  f:close()
  return text
end
local function exists(path) local f = io.open(path) if f then f:close() end return f ~= nil end
-- Those of this process, while nothing else is being done here: popen's own pipe is whole until it returns, and closed at the end.
local function descriptors()
  local name = os.tmpname()
  local p = io.popen("read _; ls /proc/$PPID/fd | wc -l >" .. name, "w")
  p:write("\n")
  p:close()
  local file = io.open(name)
  local n = tonumber(file:read("*a"))
  file:close()
  os.remove(name)
  return n
end

local cx = assert(conex.open())
local function sh(script, options)
  local o = { "/bin/sh", "-c", script, rootfs = root }
  for k, v in pairs(options or {}) do o[k] = v end
  return cx:run(o)
end
local function out(script, options)
  local o = { stdout = "pipe" }
  for k, v in pairs(options or {}) do o[k] = v end
  local c = assert(sh(script, o))
  local text = c:output()
  c:wait()
  c:delete()
  return text
end

test("output and status", function()
  local c = assert(sh("echo out; echo err >&2; exit 3", { stdout = "pipe", stderr = "pipe" }))
  local o, e = c:output()
  is(o, "out\n") is(e, "err\n")
  local x = assert(c:wait())
  is(x.status, 3) is(x.cause, "code") is(x.code, 3) is(tostring(x), "ended with 3")
  is(x.wall > 0, true)
  is(c:delete(), true) is(c:state(), "deleted") is(c:wait().code, 3)
end)

test("input, environment, place", function()
  is(out("cat", { input = "a\0b" }), "a\0b")
  is(out("echo $A$B", { env = { A = "1", "B=2" } }), "12\n")
  is(out("id -u; pwd; hostname", { user = "7:8", cwd = "/tmp", hostname = "box" }), "7\n/tmp\nbox\n")
  is(out("cat /tmp/hostname", { mounts = { "/etc:/tmp:ro" } }), read("/etc/hostname"))
  is(out("echo x >/tmp/a; cat /tmp/a", { mounts = { { target = "/tmp", type = "tmpfs", source = "tmpfs" } } }), "x\n")
end)

test("limits and time", function()
  local c = assert(sh("x=$(yes | head -c 100000000)", { memory = "16M", pids = 32 }))
  is(c:wait().cause, "oom")
  c = assert(sh("sleep 100", { timeout = 1 }))
  is(c:wait().cause, "timeout")
  c = assert(sh("sleep 100", { memory = 64 * 1024 * 1024 }))
  is(c:stats().memory_limit, 64 * 1024 * 1024)
  assert(c:update { memory = "32M", cpus = 0.5 })
  is(c:stats().memory_limit, 32 * 1024 * 1024)
  is(c:wait(0.05), false)
  is(c:delete(), true)
end)

test("errors", function()
  fails(2, "no-such", cx:run { "/bin/no-such", rootfs = root })
  local _, _, _, details = cx:run { "/bin/no-such", rootfs = root }
  is(details.stage, "exec") is(details.call, "execve") is(details.hint ~= "", true)
  fails(22, "id", cx:run { "/bin/true", rootfs = root, id = "no/slash" })
  fails(2, "nobody", cx:container("nobody"))
  raises("no option has this name: imagee", cx.run, cx, { "x", imagee = "y" })
  raises("stdout", cx.run, cx, { "x", rootfs = root, stdout = "pipes" })
  raises("12 parsecs", cx.run, cx, { "x", rootfs = root, memory = "12 parsecs" })
  raises("zero byte", cx.run, cx, { "a\0b", rootfs = root })
  raises("share", cx.run, cx, { "x", rootfs = root, share = { "nut" } })
  raises("mounts", cx.run, cx, { "x", rootfs = root, mounts = { "/nowhere" } })
  raises("timeout", cx.run, cx, { "x", rootfs = root, timeout = -1 })
  conex.raise(true)
  local e = raises("no-such", cx.run, cx, { "/bin/no-such", rootfs = root })
  conex.raise(false)
  is(e.code, 2) is(e.stage, "exec")
  is(conex.parse_size("1.5G"), 1610612736) is(conex.has("broker"), true) is(conex.has("teleport"), false)
end)

test("life", function()
  local c = assert(sh("trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done", { stdout = "pipe", id = "lua-life", labels = { role = "db" } }))
  is(c:line(), "up")
  is(c:state(), "running") is(c:id(), "lua-life") is(exists("/proc/" .. c:pid()), true)
  is(c:label("role"), "db") is(c:label("none"), nil)
  is(cx:container("lua-life"), c) is(cx:containers("role=db")[1], "lua-life")
  is(c:inspect().status, "running") is(c:spec():get("/process/args/1"), "-c")
  is(c:pause(), true) is(c:state(), "paused")
  assert(c:resume())
  is(c:stop().cause, "stopped") is(c:wait().code, 5)
  fails(3, "", c:kill(15))
  is(tostring(c), "container lua-life (exited)")
  c:delete()
end)

test("lines and stdin", function()
  local c = assert(sh("while read l; do echo \"<$l>\"; done; printf end", { stdin = "pipe", stdout = "pipe" }))
  assert(c:write("one\n"))
  is(c:line(), "<one>")
  assert(c:write("two\n"))
  c:close_stdin()
  local seen = {}
  for line in c:lines() do seen[#seen + 1] = line end
  is(table.concat(seen, ","), "<two>,end")
  c:delete()
end)

test("much output, and nobody who reads", function()
  local c = assert(sh("head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; yes 0123456789 | head -n 200000; printf end; head -c 70000 /dev/zero >&2",
    { stdout = "pipe", stderr = "pipe" }))
  is(#c:line(), 3000000)
  for _ = 1, 100000 do if c:line() ~= "0123456789" then error("a line is broken") end end
  local o, e, o_total, e_total = c:output()
  is(#o, 100000 * 11 + 3) is(o:sub(-5), "9\nend") is(#e, 70000) is(o_total, #o) is(e_total, 70000)
  is(c:line(), nil)
  c:delete()
  c = assert(sh("head -c 1000000 /dev/zero", { stdout = "pipe" }))
  o, e, o_total = c:output(1000)
  is(#o, 1000) is(e, nil) is(o_total, 1000000) is(c:wait().code, 0)
  c:delete()
  c = assert(sh("exec <&-; echo closed; sleep 100", { stdin = "pipe", stdout = "pipe" }))
  is(c:line(), "closed")
  fails(32, "pipe", c:write("x"))               -- and no SIGPIPE, which would have ended this program
  c:delete()
  c = assert(sh("sleep 0.2; wc -c", { stdin = "pipe", stdout = "pipe" }))
  assert(c:write(("y"):rep(1000000)))           -- more than the pipe takes
  c:close_stdin()
  is((c:output()), "1000000\n")
  c:delete()
end)

test("a log", function()
  local lines = {}
  local other = assert(conex.open { close_timeout = 5, log = function(level, line)
    lines[#lines + 1] = line
    is(type(level), "number")
    error("an error in it is lost")
  end })
  local c = assert(other:run { "/bin/true", rootfs = root, oci = { hooks = { poststop = { { path = "/bin/false" } } } } })
  c:wait()
  c:delete()
  other:close()
  is(#lines > 0, true) is(table.concat(lines, "\n"):find("/bin/false", 1, true) ~= nil, true)
  raises("function", conex.open, { log = "stderr" })
end)

test("exec", function()
  local c = assert(sh("sleep 1000", { env = { OUTER = "o" } }))
  local p = assert(c:exec { "/bin/sh", "-c", "echo $OUTER$INNER; exit 2", env = { INNER = "i" }, stdout = "pipe" })
  is((p:output()), "oi\n") is(p:wait().status, 2)
  fails(2, "nope", c:exec { "/bin/nope" })
  p = assert(c:exec { "/bin/sleep", "100" })
  is(p:wait(0.02), false)
  assert(p:kill())
  is(p:wait().signal, 9)
  c:delete()
end)

test("hold", function()
  local c = assert(cx:run { "/bin/echo", "now", rootfs = root, hold = true, stdout = "pipe" })
  is(c:state(), "held")
  assert(c:start())
  is((c:output()), "now\n")
  c:delete()
end)

test("plans", function()
  local plan = assert(cx:plan { "/bin/sh", "-c", "echo $0 $X", "a", rootfs = root, env = { X = "y" }, memory = "32M" })
  is(plan:text():find("exec") ~= nil, true)
  local c = assert(cx:launch(plan, { stdout = "pipe" }))
  is((c:output()), "a y\n")
  c:delete()
  c = assert(cx:launch(plan, { "/bin/sleep", "1000", id = "of-a-plan" }))
  is(c:stats().memory_limit, 32 * 1024 * 1024)
  is(cx:sample({ c })[1].pids, 1)
  c:delete()
end)

test("events", function()
  while cx:next_event(0) do end
  local c = assert(sh("exit 3"))
  c:wait()
  c:delete()
  local seen = {}
  while true do
    local e = cx:next_event(0)
    if not e then break end
    is(e.container, c)
    seen[#seen + 1] = e.type
  end
  is(table.concat(seen, " "), "started exited deleted")
  is(cx:next_event(0.01), false)
  for n = 1, 20 do                      -- the newest are kept, in order, while nobody asks
    c = assert(sh("exit " .. n))
    c:wait()
    c:delete()
  end
  for n = 1, 20 do
    local e
    repeat e = cx:next_event(0) until e.type == "exited"
    is(e.container:wait(0).code, n)
  end
  while cx:next_event(0) do end
end)

test("specifications", function()
  local spec = assert(cx:spec())
  is(spec:get("/process/args/0"), "sh")
  assert(spec:merge { hostname = "merged", process = { env = { "A=b" } } })
  is(spec:get("/hostname"), "merged")
  assert(spec:merge { hostname = conex.null })
  fails(2, "", spec:get("/hostname"))
  fails(22, "process.args", cx:spec { ociVersion = "1.0.2", process = { args = "x" } })
  is(out("hostname", { oci = { hostname = "by-oci" } }), "by-oci\n")
  local c = assert(cx:run { "/bin/sh", "-c", "echo $A", rootfs = root, spec = spec, stdout = "pipe" })
  is((c:output()), "b\n")
  c:delete()
  is(spec:text():find("ociVersion") ~= nil, true)
end)

test("networks", function()
  assert(cx:network_create("luanet", { subnets = { "10.212.3.0/24" } }))
  is(cx:network("luanet").subnets[1], "10.212.3.0/24")
  local b = assert(cx:run { "/bin/nc", "-ll", "-p", "80", "-e", "/bin/echo", "hello", rootfs = root, id = "b", network = "luanet",
    ports = { "127.0.0.1::80" } })
  is(b:address():match("^10%.212%.3%.") ~= nil, true) is(b:port(80) > 0, true) is(b:port(81), nil)
  is(out("for i in 1 2 3 4 5 6 7 8 9; do nc b 80 </dev/null && exit; sleep 0.1; done", { network = { "luanet" } }), "hello\n")
  assert(cx:network_policy("luanet", { default = "deny" }))
  is(cx:network("luanet").policy.default, "deny")
  assert(cx:network_policy("luanet"))
  assert(b:check_networks())
  fails(16, "luanet", cx:network_delete("luanet"))
  b:delete()
  assert(cx:network_delete("luanet"))
  fails(2, "luanet", cx:network("luanet"))
end)

test("cgroups and namespaces", function()
  local g = assert(cx:cgroup_create("lua-group", { pids = 10 }))
  assert(g:set { pids = 20 })
  is(#g:pids(), 0)
  is(g:stats().pids_limit == 20 or g:stats().pids_limit == nil, true)
  while cx:next_event(0) do end
  assert(g:set { memory = "8M" })
  assert(g:watch("oom"))
  local path = os.tmpname()
  local child = io.popen("echo $$ >" .. path .. "; read go; x=$(head -c 50000000 /dev/zero | tr '\\0' x)", "w")
  repeat until #read(path) > 1
  assert(g:add(tonumber(read(path))))
  child:write("go\n")
  child:close()
  os.remove(path)
  local e
  repeat e = cx:next_event(5) until not e or e.type == "oom"
  is(e and e.cgroup, g)
  assert(g:set { memory = "max" })
  is(g:freeze(5), true)
  assert(g:thaw())
  is(g:delete(), true)
  fails(2, "lua-group", cx:cgroup("lua-group"))
  local kind, limits, score = conex.classify { cpu_request = 0.5, cpu_limit = 1, memory_request = "64M", memory_limit = "128M",
    capacity = "1G" }
  is(kind, "burstable") is(limits.memory, 128 * 1024 * 1024) is(limits.cpus, 1) is(score > 2 and score < 1000, true)
  local ns = assert(cx:namespace_create("net"))
  is(ns:fd() >= 0, true)
  local c = assert(sh("sleep 1000", { join = { ns } }))
  is(exists("/proc/" .. c:pid() .. "/ns/net"), true)
  assert(cx:namespace_open("/proc/" .. c:pid() .. "/ns/net"))
  c:delete()
end)

test("connect", function()
  raises("IPv4 or IPv6", conex.connect, "localhost", 80)
  raises("no port", conex.connect, "127.0.0.1", 65536)
  fails(111, "refused", conex.connect("127.0.0.1", 1, 5))
  fails(111, "refused", conex.connect("::1", 1, 5))
end)

test("a broker", function()
  local asked = {}
  local c = assert(sh("mkdir /tmp/good && test -d /tmp/good && ! mkdir /tmp/bad && mkdir /tmp/lie && ! test -d /tmp/lie && echo fine",
    { mounts = { "tmpfs:/tmp" }, stdout = "pipe", ask = { mkdir = function(call)
      local path = call:string(call.args[1])
      asked[#asked + 1] = call.name .. " " .. path
      if path == "/tmp/good" then return call:proceed() end
      if path == "/tmp/bad" then return call:fail("EACCES") end
      return call:ret(0)
    end } }))
  is((c:output()), "fine\n") is(c:wait().code, 0)
  is(table.concat(asked, ","), "mkdir /tmp/good,mkdir /tmp/bad,mkdir /tmp/lie")
  c:delete()
  c = assert(sh("mkdir /tmp/x 2>&1; true", { stdout = "pipe", ask = { mkdir = function() end } }))
  is(c:output():find("not permitted") ~= nil, true)
  c:delete()
  c = assert(sh("mkdir /tmp/x", { ask = { mkdir = function() error("a handler's own") end } }))
  raises("a handler's own", c.wait, c)
  c:delete()
  c = assert(sh("exit 0", { ask = { socket = function(call) return call:proceed() end } }))
  if not PUC51 then is(c.exit.code, 0) end
  c:delete()
end)

test("calls as events", function()
  while cx:next_event(0) do end
  local c = assert(cx:run { "/bin/mkdir", "/tmp/x", rootfs = root, ask = { "mkdir" } })
  local e
  repeat e = cx:next_event(5) until not e or e.syscall
  assert(e.syscall:ret(0))
  is(c:wait().code, 0)
  c:delete()
end)

test("late answers", function()
  local other = assert(conex.open())
  local c = assert(other:run { "/bin/mkdir", "/tmp/x", rootfs = root, ask = { "mkdir" } })
  local e
  repeat e = other:next_event(10) until not e or e.syscall
  local call = e.syscall
  is(call:answered(), false)
  other:close()
  is(call:answered(), true)
  raises("answered already", call.fail, call, "EPERM")
  call, e = nil, nil
  collectgarbage() collectgarbage()
  c = assert(sh("mkdir /tmp/x 2>&1; exit 7", { ask = { "mkdir" }, stdout = "pipe" }))
  repeat e = cx:next_event(10) until not e or e.syscall
  e = nil                                       -- refused, since nobody can answer it now
  collectgarbage() collectgarbage()
  is(c:output():find("not permitted") ~= nil, true) is(c:wait(10).code, 7)
  c:delete()
end)

test("a loop", function()
  local begun = 0
  local r = conex.loop(cx, function()
    local workers = {}
    for n = 1, 8 do
      workers[n] = conex.go(function()
        local c = assert(sh("echo " .. n .. ".1; read go; echo " .. n .. ".$go; exit " .. n, { stdin = "pipe", stdout = "pipe" }))
        local first = c:line()
        begun = begun + 1
        while begun < 8 do c:wait(0.005) end        -- for ever, if they ran one after the other
        assert(c:write("2\n"))
        local second, last = c:line(), c:line()
        local status = assert(c:wait()).status
        c:delete()
        return first .. " " .. second .. tostring(last), status
      end)
    end
    for n, w in ipairs(workers) do
      local lines, status = w:join()
      is(lines, ("%d.1 %d.2nil"):format(n, n)) is(status, n)
    end
    return "done"
  end)
  is(r, "done")
end)

test("errors in a loop", function()
  raises("in a task", conex.loop, cx, function() conex.go(function() error("in a task") end) end)
  raises("joined", conex.loop, cx, function() conex.go(function() error("joined") end):join() end)
  is(conex.loop(cx, function()
    local w = conex.go(function() error("caught") end)
    local fine = pcall(w.join, w)
    return PUC51 or fine == false
  end), true)
  raises("outside of a loop", conex.go, function() end)
  conex.loop(cx, function() fails(2, "nope", cx:run { "/bin/nope", rootfs = root }) end)
end)

test("luv", function()
  local fine, uv = pcall(require, "luv")
  if not fine then tap.skip("no luv for " .. _VERSION) end
  local go = conex.luv(uv)
  local done = {}
  for n = 1, 4 do
    go(function()
      local c = assert(sh("echo " .. n .. "; sleep 0.02; exit " .. n, { stdout = "pipe" }))
      local line = c:line()
      done[n] = line .. " " .. c:wait().status
      c:delete()
    end)
  end
  uv.run()
  is(table.concat(done, ","), "1 1,2 2,3 3,4 4")
end)

test("images", function()
  is(#cx:images() >= 0, true)
  fails(2, "no-such-image", cx:image("no-such-image"))
  fails(22, "", cx:image("NOT A NAME"))
  if not arg[2] then tap.skip("no image was given") end
  local dir = arg[2]
  local with = assert(conex.open { store = dir .. "/store" })
  local job = assert(with:import(dir .. "/busybox.tar", "busybox"))
  local last
  for p in job:progress() do is(type(p.step), "string"); last = p end
  is(last.done_layers, 1) is(last.total_layers, 1)  -- the last one says that all is there
  local digest = assert(job:result())
  is(with:image("busybox").digest, digest) is(with:usage().images, 1) is(with:verify():result(), "")
  local c = assert(with:run { "sh", "-c", "echo made >/made; echo hello", image = "busybox", stdout = "pipe" })
  is((c:output()), "hello\n")
  c:wait()
  assert(assert(c:commit("made:1", { Cmd = { "cat", "/made" } })):result())
  c:delete()
  conex.loop(with, function()
    local d = assert(with:run { image = "made:1", stdout = "pipe" })
    is(d:line(), "made")
    d:delete()
    is(assert(with:export("made:1", dir .. "/out.tar")):result(), with:image("made:1").digest)
    fails(2, "", with:import(dir .. "/nowhere.tar", "x"))
    local r, message, code = with:pull("127.0.0.1:1/nobody", { plain_http = true }):result()
    is(r, nil) is(code ~= nil, true) is(message:find("127.0.0.1:1", 1, true) ~= nil, true)
  end)
  for _, name in ipairs(with:images()) do assert(with:image_delete(name)) end
  with:close()
end)

test("nothing leaks", function()
  local function cycle()
    local c = assert(sh("true", { stdout = "pipe" }))
    c:output()
    c:wait()
    c:delete()
  end
  for _ = 1, 20 do cycle() end
  while cx:next_event(0) do end
  collectgarbage() collectgarbage()
  local before, memory = descriptors(), collectgarbage("count")
  for n = 1, tonumber(os.getenv("CONEX_LUA_CYCLES") or 1000) do
    cycle()
    if n % 10 == 0 then while cx:next_event(0) do end end
    if n % 100 == 0 then collectgarbage() end           -- else weak tables grow meanwhile, and never shrink
  end
  while cx:next_event(0) do end
  collectgarbage() collectgarbage()
  is(descriptors() <= before, true)
  if collectgarbage("count") >= memory + 100 then error(("%.0f KiB, after %.0f"):format(collectgarbage("count"), memory)) end
end)

test("closing", function()
  local other = assert(conex.open())
  local c = assert(other:run { "/bin/sleep", "1000", rootfs = root })
  local pid = c:pid()
  other:close()
  other:close()
  is(exists("/proc/" .. pid), false)
  is(c:record().status, 137)
  raises("closed", other.run, other, { "/bin/true", rootfs = root })
  local load = loadstring or load
  local text = load("local conex, root = ... ; local cx <close> = assert(conex.open()); local c <close> = "
    .. "assert(cx:run{'/bin/sleep', '1000', rootfs = root}) ; return c:pid(), c")
  if text then
    local p, kept = text(conex, root)
    is(kept:state(), "deleted") is(exists("/proc/" .. p), false)
  end
end)

cx:close()
tap.done()
