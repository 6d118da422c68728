--- Containers for Lua 5.1 to 5.4 and LuaJIT: `local conex = require "conex"`. README.md is the manual.
-- What can fail returns nil, message, errno, details; after conex.raise(true) it raises the details, a table with
-- message, code, stage, object, call and hint. What waits takes seconds; inside of conex.loop, and in conex.luv's tasks, it yields.
local core = require "conex.core"
local conex = { version = core.version(), has = core.has, parse_size = core.parse_size, classify = core.classify, raise = core.raise, null = core.null,
  poll = core.poll, now = core.now, connect = core.connect, close = core.close }
local unpack = table.unpack or unpack
local MOST_EVENTS = 10000       -- that nobody has asked for

local function weak(mode) return setmetatable({}, { __mode = mode }) end
local handlers = weak "k"       -- container or plan → {system call = function}
local contexts = weak "k"       -- container, process, job → its context
local queues = weak "k"         -- context → events that nobody has asked for yet
local readers = weak "k"        -- container, process → {[1] = reader, [2] = reader}
local tasks = weak "k"          -- coroutine → its task

-- ---- waiting ----

local next_event                -- the C half's

local Call = {}
Call.__index = Call
for _, name in ipairs { "read", "ret", "fail", "inject", "proceed", "answered" } do
  Call[name] = function(self, ...) return self.raw[name](self.raw, ...) end
end
--- A copy of a text that ends with a zero byte, at most so many bytes: good for a log.
function Call:string(address, most)
  local bytes, message, code, details = self:read(address, most or 4096)
  if not bytes then return nil, message, code, details end
  return (bytes:match("^[^%z]*"))
end
Call.__tostring = function(self) return ("%s of %d"):format(self.name, self.pid) end

local function call_of(raw)
  local call = setmetatable({ raw = raw, name = raw:name(), pid = raw:pid(), args = {} }, Call)
  for n = 1, 6 do call.args[n] = raw:arg(n) end
  return call
end

-- What a handler doesn't answer fails with EPERM, after an error in it with EIO.
local function answer(raw, handler)
  local call = call_of(raw)
  local fine, message = pcall(handler, call)
  if not raw:answered() then raw:fail(fine and "EPERM" or "EIO") end
  if not fine then error(message, 0) end
end

-- A queue: its oldest is at first, its newest at last.
local function get(queue)
  local e = queue[queue.first]
  if e == nil then return false end
  queue[queue.first] = nil
  queue.first = queue.first + 1
  return e
end

local function put(queue, e)
  queue.last = queue.last + 1
  queue[queue.last] = e
  if queue.last - queue.first >= MOST_EVENTS then get(queue) end
end

local function pump(cx)
  while true do
    local e = next_event(cx, 0)
    if not e then return end
    local answers = e.syscall and e.container and handlers[e.container]
    if answers and answers[e.syscall:name()] then
      answer(e.syscall, answers[e.syscall:name()])
    else
      if e.syscall then e.syscall = call_of(e.syscall) end
      put(queues[cx], e)
    end
  end
end

-- Calls look() until it says something else than false; then that. false: not within the time. It looks again when there is news
-- of cx, when one of the descriptors in `read` is readable, or one in `write` writable.
local function wait(cx, look, seconds, read, write)
  local deadline = seconds and core.now() + seconds
  while true do
    local r, message, code, details = look()
    if r ~= false then return r, message, code, details end
    if deadline and core.now() >= deadline then return false end
    local task = tasks[coroutine.running() or 0]
    if task then
      coroutine.yield { cx = cx, read = read, write = write, deadline = deadline }
    else
      local fds = { cx and cx:fd(), unpack(read or {}) }
      core.poll(cx and fds or read or {}, deadline and math.max(0, deadline - core.now()), write)
      if cx then pump(cx) end
    end
  end
end

local function never() return false end

-- ---- tasks ----

local Task = {}
Task.__index = Task
--- Waits until a task has ended: what its function returned; an error in it is raised here.
function Task:join()
  wait(nil, function()
    if self.done then return true end
    local me = tasks[coroutine.running() or 0]
    if not me then error("join: outside of a loop", 0) end
    self.joiners[me] = true
    return false
  end)
  if self.fault then error(self.fault, 0) end
  return unpack(self.results, 1, self.results.n)
end

local function packed(...) return { n = select("#", ...), ... } end
local current                   -- the driver of the task that runs

local function resume(task)
  local before = current
  current = task.driver
  local out = packed(coroutine.resume(task.co))
  current = before
  if coroutine.status(task.co) ~= "dead" then
    task.driver:park(task, out[2])
    return
  end
  task.done = true
  if out[1] then
    task.results = { n = out.n - 1, unpack(out, 2, out.n) }
  else
    task.fault = out[2]
    task.results = { n = 0 }
  end
  for joiner in pairs(task.joiners) do joiner.driver:ready(joiner) end
  task.driver:ended(task)
end

local function go(driver, f)
  local task = setmetatable({ co = coroutine.create(f), joiners = {}, driver = driver }, Task)
  tasks[task.co] = task
  driver:begun(task)
  return task
end

--- Runs a function beside the one that calls: a task. Inside of conex.loop, or of a task of conex.luv.
function conex.go(f)
  if not current then error("conex.go: outside of a loop", 2) end
  return go(current, f)
end

-- The loop of our own: poll(2).
local Loop = {}
Loop.__index = Loop
function Loop:begun(task) self.count = self.count + 1; self.queue[#self.queue + 1] = task end
function Loop:ready(task) self.parked[task] = nil; self.queue[#self.queue + 1] = task end
function Loop:park(task, w) self.parked[task] = w end
function Loop:ended(task)
  self.count = self.count - 1
  if task.fault and not next(task.joiners) and not self.fault then self.fault = task.fault end
end

local function append(list, more)
  for _, one in ipairs(more or {}) do list[#list + 1] = one end
end

local function any(is, fds)
  for _, fd in ipairs(fds or {}) do if is[fd] then return true end end
  return false
end

function Loop:turn()
  local queue = self.queue
  self.queue = {}
  for _, task in ipairs(queue) do resume(task) end
  if #self.queue > 0 or self.count == 0 then return end
  local read, write, cxs, deadline = {}, {}, {}, nil
  for _, w in pairs(self.parked) do
    if w.cx and not cxs[w.cx] then cxs[w.cx] = w.cx:fd(); read[#read + 1] = cxs[w.cx] end
    append(read, w.read)
    append(write, w.write)
    if w.deadline and (not deadline or w.deadline < deadline) then deadline = w.deadline end
  end
  local is = core.poll(read, deadline and math.max(0, deadline - core.now()), write)
  for cx, fd in pairs(cxs) do if is[fd] then pump(cx) end end
  local now = core.now()
  for task, w in pairs(self.parked) do
    if (w.cx and is[cxs[w.cx]]) or any(is, w.read) or any(is, w.write) or (w.deadline and w.deadline <= now) then self:ready(task) end
  end
end

--- Calls f in a loop in which everything yields instead of blocking, until f and all tasks of conex.go have ended. Returns what f
-- does; the first error that no join has taken is raised.
function conex.loop(cx, f)
  local loop = setmetatable({ queue = {}, parked = {}, count = 0, cx = cx }, Loop)
  local main = go(loop, f)
  while loop.count > 0 and not loop.fault do loop:turn() end
  if loop.fault then error(loop.fault, 0) end
  return unpack(main.results, 1, main.results.n)
end

--- For libuv's loop (luv): returns go, whose tasks yield to it. uv.run() runs them.
function conex.luv(uv)
  local driver = { cxs = {} }
  local function later(task)
    local timer = uv.new_timer()
    timer:start(0, 0, function() timer:close(); resume(task) end)
  end
  function driver:begun(task) later(task) end
  function driver:ready(task) if task.parked then task.parked(); task.parked = nil end; later(task) end
  function driver:ended(task) if task.fault and not next(task.joiners) then error(task.fault, 0) end end
  function driver:park(task, w)
    local open, over = {}, false
    local function close() for _, h in ipairs(open) do if not h:is_closing() then h:close() end end end
    local function happened()
      if over then return end
      over = true
      task.parked = nil
      close()
      if w.cx then pump(w.cx) end
      resume(task)
    end
    local function watch(fd, events)
      local h = uv.new_poll(fd)
      h:start(events, happened)
      open[#open + 1] = h
    end
    task.parked = function() over = true; close() end
    if w.cx then                                    -- libuv takes a descriptor once: a copy for each task
      local copy = core.dup(w.cx:fd())
      watch(copy, "r")
      local shut = close
      close = function() shut(); if copy then core.close(copy); copy = nil end end
    end
    for _, fd in ipairs(w.read or {}) do watch(fd, "r") end
    for _, fd in ipairs(w.write or {}) do watch(fd, "w") end
    if w.deadline then
      local timer = uv.new_timer()
      timer:start(math.max(0, math.ceil((w.deadline - core.now()) * 1000)), 0, happened)
      open[#open + 1] = timer
    end
  end
  return function(f) return go(driver, f) end
end

-- ---- what runs: containers, and programs in them ----

local Life = {}

-- One of its pipes, in our hands from now on; nil: there is none.
local function pipe_of(self, n)
  local all = readers[self] or {}
  readers[self] = all
  if not all[n] then
    local fd = self:take_stdio(n)
    if fd < 0 then return nil end
    all[n] = { fd = fd, guard = core.guard(fd), begun = {}, buffer = "", at = 1 }   -- not taken yet: begun, and buffer from at on
  end
  return all[n]
end

-- What comes next, "" at its end, false where nothing is there, or nil and why.
local function take(pipe)
  if pipe.ended then return "" end
  local bytes, message, code, details = core.read(pipe.fd)
  if bytes == "" then
    pipe.ended = true
    pipe.guard:close()
  end
  return bytes, message, code, details
end

-- What was read before, and isn't taken yet.
local function rest(pipe)
  local text = table.concat(pipe.begun) .. pipe.buffer:sub(pipe.at)
  pipe.begun, pipe.buffer, pipe.at = {}, "", 1
  return text
end

--- The next line of stdout (or of stderr: n = 2) without its end; nil at the end of all.
function Life:line(n)
  local pipe = pipe_of(self, n or 1)
  if not pipe then error("stdout=\"pipe\" or stderr=\"pipe\" wasn't asked for", 2) end
  while true do
    local stop = pipe.buffer:find("\n", pipe.at, true)
    if stop then
      local line = table.concat(pipe.begun) .. pipe.buffer:sub(pipe.at, stop - 1)
      pipe.begun, pipe.at = {}, stop + 1
      return line
    end
    pipe.begun[#pipe.begun + 1] = pipe.buffer:sub(pipe.at)
    pipe.buffer, pipe.at = "", 1
    local bytes, message, code, details = wait(contexts[self], function() return take(pipe) end, nil, { pipe.fd })
    if not bytes then return nil, message, code, details end
    if bytes == "" then
      local line = rest(pipe)
      return line ~= "" and line or nil
    end
    pipe.buffer = bytes
  end
end

--- for line in c:lines() do. In PUC Lua 5.1 a for's iterator can't yield: there, in a loop, `while` and c:line().
function Life:lines(n) return function() return self:line(n) end end

local MOST_OUTPUT = 16 * 1024 * 1024

-- Keeps what fits, and counts all.
local function keep(out, bytes, most)
  if out.total < most then out[#out + 1] = bytes:sub(1, most - out.total) end
  out.total = out.total + #bytes
end

--- All that it writes until its end: stdout, stderr (nil: no pipe), and how many bytes each was in all. Of each so many bytes are
-- kept, 16 MiB unless told otherwise; the rest is counted.
function Life:output(most)
  most = most or MOST_OUTPUT
  local out, open = {}, {}
  for n = 1, 2 do
    local pipe = pipe_of(self, n)
    if pipe then
      out[n] = { total = 0 }
      open[#open + 1] = n
      keep(out[n], rest(pipe), most)
    end
  end
  while #open > 0 do                        -- both at once: a full pipe must not hold the other up
    local fds = {}
    for i, n in ipairs(open) do fds[i] = readers[self][n].fd end
    local r, message, code, details = wait(contexts[self], function()
      local any_came = false
      for i = #open, 1, -1 do
        local bytes, problem, number, more = take(readers[self][open[i]])
        if bytes == nil then return nil, problem, number, more end
        if bytes then keep(out[open[i]], bytes, most); any_came = true end
        if bytes == "" then table.remove(open, i) end
      end
      return any_came
    end, nil, fds)
    if r == nil then return nil, message, code, details end
  end
  return out[1] and table.concat(out[1]), out[2] and table.concat(out[2]), out[1] and out[1].total, out[2] and out[2].total
end

--- Writes to its stdin (stdin = "pipe"), all of it. true, or nil and why: EPIPE, nobody reads any more.
function Life:write(bytes)
  local pipe = pipe_of(self, 0)
  if not pipe then error("stdin=\"pipe\" wasn't asked for", 2) end
  local from = 1
  while from <= #bytes do
    local n, message, code, details = wait(contexts[self], function() return core.write(pipe.fd, bytes, from) end, nil, nil, { pipe.fd })
    if not n then return nil, message, code, details end
    from = from + n
  end
  return true
end

--- End of input.
function Life:close_stdin()
  local pipe = pipe_of(self, 0)
  if pipe then pipe.guard:close() end
end

local function extend(name, methods)
  local metatable, of_c = core.methods(name)
  local raw = {}
  for k, v in pairs(of_c) do raw[k] = v end
  for k, v in pairs(methods) do of_c[k] = v end
  return raw, metatable, of_c
end

local function live(name, methods)
  for k, v in pairs(Life) do methods[k] = methods[k] or v end
  local raw, metatable, of_c = extend(name, methods)
  --- Waits until it has ended: its exit record; false: not within so many seconds (nothing is killed).
  function of_c.wait(self, seconds)
    local r, message, code, details = wait(contexts[self], function() return raw.wait(self, 0) end, seconds)
    if r then return raw.record(self) end
    return r, message, code, details
  end
  -- c.exit waits for its end, and is the exit record; in PUC Lua 5.1 c:wait() does it in a loop.
  metatable.__index = function(self, key)
    if key == "exit" then return (of_c.wait(self)) end
    return of_c[key]
  end
  return raw, metatable, of_c
end

local raw_container, container_metatable, Container = live("conex.container", {})
live("conex.process", {})

--- Kills everything in it, and undoes all that was made for it. true; false: not yet within the time.
function Container:delete(seconds)
  return wait(contexts[self], function() return raw_container.delete(self, 0) end, seconds)
end

--- SIGTERM now, SIGKILL to all of it after its grace; waits for the end: its exit record.
function Container:stop(seconds)
  if self:state() == "exited" or self:state() == "deleted" then return self:wait(0) end
  local r, message, code, details = raw_container.stop(self)
  if not r then return nil, message, code, details end
  return self:wait(seconds)
end

--- Stops everything in it from running; false: not yet within the time.
function Container:pause(seconds)
  local deadline = seconds and core.now() + seconds
  while true do
    local r, message, code, details = raw_container.pause(self, 0)
    if r ~= false or (deadline and core.now() >= deadline) then return r, message, code, details end
    wait(contexts[self], never, 0.005)
  end
end

--- Executes one more program in it: c:exec{ "sh", "-c", "...", stdout = "pipe" }.
function Container:exec(options)
  local p, message, code, details = raw_container.exec(self, options)
  if not p then return nil, message, code, details end
  contexts[p] = contexts[self]
  return p
end

--- What it has written becomes a layer, and both together an image of this name: a job.
function Container:commit(...)
  local job, message, code, details = raw_container.commit(self, ...)
  if not job then return nil, message, code, details end
  contexts[job] = contexts[self]
  return job
end

container_metatable.__close = function(self) self:delete() end
container_metatable.__tostring = function(self) return ("container %s (%s)"):format(self:id(), self:state()) end

-- ---- jobs ----

local raw_job, _, Job = extend("conex.job", {})

--- Waits for its end: the image's digest, or nil and why not; false: not within so many seconds.
function Job:result(seconds)
  local r, message, code, details = wait(contexts[self], function() return raw_job.wait(self, 0) end, seconds)
  if r then return raw_job.digest(self) end
  return r, message, code, details
end

--- for p in job:progress() do: until it has ended, well or not; the last one is what it has come to.
function Job:progress()
  local begun, over = false, false
  return function()
    if over then return nil end
    if begun then
      local fine, r = pcall(wait, contexts[self], function() return raw_job.wait(self, 0) end, 0.1)
      over = not fine or r ~= false
    end
    begun = true
    return raw_job.now(self)
  end
end

-- ---- contexts ----

local raw, _, Context = extend("conex.context", {})
next_event = raw.next_event

local function known(cx, object, options)
  contexts[object] = cx
  if options and type(options.ask) == "table" then
    local by_name = {}
    for name, f in pairs(options.ask) do if type(f) == "function" then by_name[name] = f end end
    if next(by_name) then handlers[object] = by_name end
  end
  return object
end

-- In a task it isn't waited for in C: others have to run meanwhile.
local function begin(cx, start, options, inherited)
  local given, beside = options, tasks[coroutine.running() or 0] and not (options and (options.nowait or options.hold))
  if beside then
    given = { nowait = true }
    for k, v in pairs(options or {}) do given[k] = v end
  end
  local c, message, code, details = start(given)
  if not c then return nil, message, code, details end
  known(cx, c, options)
  handlers[c] = handlers[c] or inherited
  if beside then
    wait(cx, function() return raw_container.state(c) ~= "creating" end)
    if c:error() and raw_container.record(c).cause == "never_started" then
      raw_container.delete(c, 0)
      return core.failed(c)
    end
  end
  return c
end

--- Runs a program in a new container: cx:run{ "sh", "-c", "...", image = "busybox" }. Returns when it runs.
function Context:run(options)
  if type(options) == "string" then options = { image = options } end
  local image = options and options.image
  if image and tasks[coroutine.running() or 0] and not self:has_image(image) then
    local job, message, code, details = self:pull(image)
    if not job then return nil, message, code, details end
    local digest, why, errno, more_details = job:result()
    if not digest then return nil, why, errno, more_details end
  end
  return begin(self, function(o) return raw.run(self, o) end, options)
end

function Context:plan(options)
  local plan, message, code, details = raw.plan(self, options)
  if not plan then return nil, message, code, details end
  return known(self, plan, options)
end

--- Launches a container from a plan; options: what is about one launch.
function Context:launch(plan, options)
  return begin(self, function(o) return raw.launch(self, plan, o) end, options, handlers[plan])
end

function Context:container(id)
  local c, message, code, details = raw.container(self, id)
  if not c then return nil, message, code, details end
  contexts[c] = self
  return c
end

--- The oldest news; false: none within the time.
function Context:next_event(seconds)
  local queue = queues[self]
  return wait(self, function()
    if queue.last < queue.first then pump(self) end
    return get(queue)
  end, seconds)
end

-- A path in the place of a descriptor is opened for the call.
local function with_file(source, mode, start)
  if type(source) ~= "string" then return start(source) end
  local fd, message, code, details = core.file(source, mode)
  if not fd then return nil, message, code, details end
  local guard = core.guard(fd)
  local job, why, number, more_details = start(fd)
  guard:close()
  return job, why, number, more_details
end

local raw_import, raw_export = raw.import, raw.export
--- Brings an image out of an archive or a layout: cx:import("image.tar", "name"); a descriptor will do as well.
function raw.import(self, source, ...)
  local rest = packed(...)
  return with_file(source, "r", function(fd) return raw_import(self, fd, unpack(rest, 1, rest.n)) end)
end
--- Writes an image as an OCI layout: cx:export("name", "image.tar"), or into a directory that is there.
function raw.export(self, image, target, ...)
  local rest = packed(...)
  return with_file(target, "w", function(fd) return raw_export(self, image, fd, unpack(rest, 1, rest.n)) end)
end

for _, verb in ipairs { "pull", "push", "import", "export", "unpack", "verify" } do
  Context[verb] = function(self, ...)
    local job, message, code, details = raw[verb](self, ...)
    if not job then return nil, message, code, details end
    contexts[job] = self
    return job
  end
end

function Context:has_image(name)
  local fine, found = pcall(raw.image, self, name)
  return fine and found ~= nil
end

--- Opens a context: {state=, store=, cgroup=, cgroup_driver=, detached=, read_only=, close_timeout=, log=}. log is a function of a
-- level (syslog's, 3 an error) and a line; it may not call conex, and an error in it is lost.
function conex.open(options)
  local cx, message, code, details = core.open(options)
  if not cx then return nil, message, code, details end
  queues[cx] = { first = 1, last = 0 }
  return cx
end

return conex
