rockspec_format = "3.0"
package = "conex"
version = "0.1.0-1"
source = { url = "." }       -- luarocks make, in this directory
description = {
  summary = "Containers in your own process: the bindings of libconex",
  detailed = "Runs, supervises and throws away Linux containers; for Lua 5.1 to 5.4 and LuaJIT.",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5" }
external_dependencies = { CONEX = { header = "conex/conex.h" }, JANSSON = { header = "jansson.h" } }
build = {
  type = "builtin",
  modules = {
    conex = "conex.lua",
    ["conex.core"] = {
      sources = { "broker.c", "container.c", "context.c", "core.c", "descriptors.c", "images.c", "json.c", "options.c", "other.c", "process.c" },
      defines = { "_GNU_SOURCE" },
      libraries = { "conex", "jansson" },
      incdirs = { "$(CONEX_INCDIR)", "$(JANSSON_INCDIR)" },
      libdirs = { "$(CONEX_LIBDIR)", "$(JANSSON_LIBDIR)" },
    },
  },
}
