-- A dozen lines of TAP. test(name, f): an error in f is a failure; skip(why) inside of it ends it.
local tap = { count = 0, failed = 0 }
local SKIP = {}

function tap.skip(why) error(setmetatable({ why = why }, SKIP), 0) end
function tap.test(name, f)
  tap.count = tap.count + 1
  local fine, message = xpcall(f, function(e)
    return getmetatable(e) == SKIP and e or debug.traceback(tostring(e), 2)
  end)
  if fine then
    print(("ok %d - %s"):format(tap.count, name))
  elseif getmetatable(message) == SKIP then
    print(("ok %d - %s # SKIP %s"):format(tap.count, name, message.why))
  else
    tap.failed = tap.failed + 1
    print(("not ok %d - %s"):format(tap.count, name))
    print((("\n" .. message):gsub("\n", "\n# "):sub(2)))
  end
end

local function show(v)
  if type(v) ~= "table" then return type(v) == "string" and ("%q"):format(v) or tostring(v) end
  local out = {}
  for k, x in pairs(v) do out[#out + 1] = tostring(k) .. "=" .. show(x) end
  return "{" .. table.concat(out, ", ") .. "}"
end

function tap.is(got, wanted)
  if got ~= wanted then error(("%s, not %s"):format(show(got), show(wanted)), 2) end
end

-- fails(code, part of the message, results of a call...)
function tap.fails(code, part, r, message, number, details)
  if r ~= nil then error("it didn't fail: " .. show(r), 2) end
  if number ~= code then error(("errno %s (%s), not %s"):format(tostring(number), tostring(message), tostring(code)), 2) end
  if not message:find(part, 1, true) then error(("no %q in %q"):format(part, message), 2) end
  if type(details) ~= "table" or details.code ~= code or details.message ~= message then error("details: " .. show(details), 2) end
end

function tap.raises(part, f, ...)
  local fine, message = pcall(f, ...)
  if fine then error("it didn't raise", 2) end
  if not tostring(message):find(part, 1, true) then error(("no %q in %q"):format(part, tostring(message)), 2) end
  return message
end

function tap.done()
  print("1.." .. tap.count)
  if tap.failed > 0 then os.exit(1, true) end       -- else the interpreter ends by itself, and closes its state: 5.1's os.exit doesn't
end
return tap
