-- A container without any network reaches one address and nothing else: its connect() is answered here. Any Lua:
-- lua broker.lua ADDRESS:PORT [ROOTFS] (without one, the image busybox)
local conex = require "conex"
local allowed = { [assert(arg[1], "broker.lua ADDRESS:PORT [ROOTFS]")] = true }
local host, port = arg[1]:match("^(.*):(%d+)$")

-- struct sockaddr_in: the family (2, in this machine's order of bytes), port and address in the network's.
local function address_of(raw)
  if not raw or #raw < 8 or not (raw:find("^\2%z") or raw:find("^%z\2")) then return nil end
  local p1, p2, a, b, c, d = raw:byte(3, 8)
  return ("%d.%d.%d.%d"):format(a, b, c, d), p1 * 256 + p2
end

local function connect(call)            -- a system call of the container's, which waits for us
  local fd, address, size = call.args[1], call.args[2], call.args[3]
  local to, number = address_of(call:read(address, math.min(size, 128)))        -- one copy: what is checked is what is used
  if not to or not allowed[to .. ":" .. number] then
    io.stderr:write("refused: ", to or "no IPv4", to and ":" .. number or "", "\n")
    return call:fail("EACCES")
  end
  local s, _, code = conex.connect(to, number, 5)       -- on the host's network
  if not s then return call:fail(code) end
  call:inject(s, fd)                    -- becomes its descriptor; its connect() returns 0
  conex.close(s)
end

local cx = assert(conex.open())
local c = assert(cx:run { "sh", "-c", ("ip -o addr; nc %s %s </dev/null; nc %s 1 </dev/null"):format(host, port, host),
  rootfs = arg[2], image = not arg[2] and "busybox" or nil, stdout = "pipe", stderr = "stdout", ask = { connect = connect } })
io.write((c:output()))
print(tostring(c:wait()))
cx:close()
