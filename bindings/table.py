#!/usr/bin/python3
"""doc/bindings.md: each C function with its names in Python and Lua, read out of the three sources.

table.py            prints it
table.py --check    TAP: it is as doc/bindings.md has it, and no function lacks a name
"""

import ast
import os
import re
import sys
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir") or Path(__file__).resolve().parent.parent)
HEADERS = ("base", "context", "container", "plan", "spec", "cgroup", "namespace", "network", "image", "broker")

# What no method calls by its name: by itself, or under another one.
PYTHON = {"conex_error_code": "Error.errno", "conex_error_stage": "Error.stage", "conex_error_object": "Error.object",
          "conex_error_call": "Error.call", "conex_error_hint": "Error.hint", "conex_error_text": "str(Error)",
          "conex_exit_text": "str(Exit)", "conex_parse_size": "parse_size", "conex_version": "__version__", "conex_has": "has", "conex_open": "open",
          "conex_parse_ports": "ports=", "conex_container_output": "run, Container.communicate",
          "conex_process_output": "Container.exec, Process.communicate", "conex_container_ref": "Event.container",
          "conex_container_take_stdio": "Container.stdin, .stdout, .stderr", "conex_process_take_stdio": "Process.stdin, .stdout, .stderr",
          "conex_run": "run, Context.run, .start", "conex_launch": "Plan.run, .start", "conex_exec": "Container.exec, .popen",
          "conex_container_wait": "Container.wait, .poll", "conex_process_wait": "Process.wait, .poll",
          "conex_next_event": "Context.next_event, .events", "conex_spec_parse": "Spec", "conex_spec_new": "Spec",
          "conex_spec_print": "str(Spec)", "conex_plan_dump": "str(Plan)", "conex_close": "Context.close", "conex_ref": "Context",
          "conex_job_wait": "Job.result, .done"}
LUA = {"conex_ref": "(Lua has one thread)", "conex_close": "cx:close", "conex_error_code": "details.code", "conex_error_stage": "details.stage", "conex_error_object": "details.object",
       "conex_error_call": "details.call", "conex_error_hint": "details.hint", "conex_error_text": "details.message",
       "conex_exit_text": "tostring(exit)", "conex_parse_ports": "ports =", "conex_container_output": "c:output",
       "conex_process_output": "p:output", "conex_container_take_stdio": "c:line, c:write, c:take_stdio",
       "conex_process_take_stdio": "p:line, p:write, p:take_stdio", "conex_container_ref": "event.container",
       "conex_container_exit": "c.exit, c:wait", "conex_process_exit": "p.exit, p:wait", "conex_job_wait": "job:result",
       "conex_job_result": "job:result", "conex_job_progress": "job:progress", "conex_version": "conex.version"}
BY_ITSELF = r"_(free|clear)$"
LISTS = {"functions": "conex.", "cl_context_functions": "conex.", "context_methods": "cx:", "cl_run_methods": "cx:",
         "cl_image_methods": "cx:", "cl_other_methods": "cx:", "container_methods": "c:", "process_methods": "p:",
         "plan_methods": "plan:", "job_methods": "job:", "methods": "call:", "cgroup_methods": "g:",
         "namespace_methods": "ns:", "spec_methods": "spec:"}


def functions():
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", "", (TOP / f"include/conex/{header}.h").read_text(encoding="utf-8"), flags=re.S)
        names = re.findall(r"^(?!#)[\w ]+[ *](conex_\w+)\(", text, flags=re.M)
        yield header, names


class Uses(ast.NodeVisitor):
    """Which public name of the package leads to which function of the library."""

    def __init__(self):
        self.place, self.found = [], {}

    def scoped(self, node):
        self.place.append(node.name)
        self.generic_visit(node)
        self.place.pop()

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = scoped

    def note(self, function):
        name = ".".join(self.place[:2])
        if name and not any(part.startswith("_") and part != "__init__" for part in self.place[:2]):
            self.found.setdefault(function, []).append(name.replace(".__init__", ""))

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id == "lib" and node.attr.startswith("conex_"):
            self.note(node.attr)
        self.generic_visit(node)

    def visit_Call(self, node):
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("_call", "_function") and node.args \
                and isinstance(node.args[0], ast.Constant):
            self.of_both(node.args[0].value)
        self.generic_visit(node)

    def visit_JoinedStr(self, node):
        if isinstance(node.values[0], ast.Constant) and node.values[0].value == "conex_" and isinstance(node.values[-1], ast.Constant):
            self.of_both(node.values[-1].value.lstrip("_"))

    def of_both(self, what):
        for kind in ("container", "process"):
            before, self.place = self.place, [kind.capitalize(), *self.place[1:]]
            self.note(f"conex_{kind}_{what}")
            self.place = before


def python_names():
    uses = Uses()
    for path in sorted((TOP / "bindings/python/src/conex").glob("*.py")):
        if path.name not in ("aio.py", "_build.py"):
            uses.visit(ast.parse(path.read_text(encoding="utf-8")))
    return {function: ", ".join(dict.fromkeys(names)) for function, names in uses.found.items()} | PYTHON


def lua_names():
    text = "".join(p.read_text(encoding="utf-8") for p in sorted((TOP / "bindings/lua").glob("*.c")))
    bodies = dict(re.findall(r"^(?:static )?int (\w+)\(lua_State \*L\)\n\{\n(.*?)^\}", text, flags=re.M | re.S))
    found = {}
    for name, entries in re.findall(r"luaL_Reg (\w+)\[\] = \{(.*?)\};", text, flags=re.S):
        for verb, function in re.findall(r'\{ "(\w+)", (\w+) \}', entries):
            for used in re.findall(r"\b(conex_\w+)(?=[(,)])", bodies.get(function, "")):
                found.setdefault(used, []).append(LISTS[name] + verb)
    return {function: ", ".join(dict.fromkeys(names)) for function, names in found.items()} | LUA


def table():
    python, lua, lacking = python_names(), lua_names(), []
    lines = ["# The C functions in Python and Lua", "",
             "Made by `bindings/table.py` out of the headers and both bindings; `tests/check/bindings.sh` fails where a function has no name,",
             "and where this isn't what it makes. Handles are freed by the garbage collectors; the awaitable names of `conex.aio` are",
             "Python's.", ""]
    for header, names in functions():
        lines += [f"## conex/{header}.h", "", "| C | Python | Lua |", "|---|---|---|"]
        for name in names:
            own = "(by itself)" if re.search(BY_ITSELF, name) and name != "conex_job_free" else None
            row = [own or python.get(name), own or lua.get(name)]
            if name == "conex_job_free":
                row = ["Job.cancel", "job:cancel"]
            lacking += [f"{name} has no name in {language}" for language, cell in zip(("Python", "Lua"), row) if not cell]
            lines.append(f"| `{name}` | " + " | ".join(f"`{cell}`" if cell and cell != own else cell or "" for cell in row) + " |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n", lacking


if __name__ == "__main__":
    text, faults = table()
    if "--check" not in sys.argv:
        print(text, end="")
        sys.exit()
    print("".join(f"# {fault}\n" for fault in faults) + f"{'not ok' if faults else 'ok'} 1 - every function has its names")
    same = (TOP / "doc/bindings.md").read_text(encoding="utf-8") == text
    print(f"{'ok' if same else 'not ok'} 2 - doc/bindings.md is up to date (bindings/table.py >doc/bindings.md)\n1..2")
