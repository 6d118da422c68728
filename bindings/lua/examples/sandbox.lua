-- Runs somebody's shell text with limits and a time-out, and says what it did and used. Any Lua:
-- lua sandbox.lua [ROOTFS [TEXT]] (without one, the image busybox)
local conex = require "conex"
local cx = assert(conex.open())

-- One plan, launched for each text: nothing is compiled twice, nothing is left between two. No network unless one is named.
local plan = assert(cx:plan { rootfs = arg[1], image = not arg[1] and "busybox" or nil, user = "65534:65534", read_only = true,
  mounts = { "tmpfs:/tmp:size=16M,mode=1777" }, memory = "64M", cpus = 1, pids = 16 })

local function run(text, input)
  local c = assert(cx:launch(plan, { "sh", "-c", text, input = input, stdout = "pipe", stderr = "stdout", timeout = 2 }))
  local out, _, total = c:output(64 * 1024)
  local exit = c:wait()
  c:delete()
  return { ok = exit.cause == "code" and exit.code == 0, why = tostring(exit), out = out, total = total, peak = exit.memory_peak,
    cpu = exit.cpu }
end

local texts = {
  { "read a b c; echo $((a + b + c))", "1 2 3\n" },
  { "while :; do :; done" },
  { "x=y; while :; do x=$x$x; done" },
  { "while :; do sleep 9 & done" },
  { "echo >/etc/passwd" },
  { "nc 10.0.0.1 80" },
  { "yes | head -c 100000" },
  { "exit 3" },
}
for _, one in ipairs(arg[2] and { { arg[2], "" } } or texts) do
  local r = run(one[1], one[2])
  local last = r.out:sub(-300):gsub("\n$", ""):match("[^\n]*$")
  print(("%-35s %s: %s; %d bytes: %s"):format(one[1], r.ok and "ok" or "no", r.why, r.total, last))
end
cx:close()
