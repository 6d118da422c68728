#!/usr/bin/python3
"""The doc blocks of the public headers as man3 pages: man.py DIRECTORY HEADER ...

A doc block stands directly above one prototype: what it does, then paragraphs that begin with "Owner:",
"Returns:" (unless it returns nothing) and "Threads:", the last one ending with "Since: VERSION".
tests/check/names.py uses functions() to see that every function has one."""
import os
import re
import sys
import textwrap

BLOCK = re.compile(r"(?:^/\* ((?:(?!\*/).)*) \*/\n)?^([a-z][^\n#{};]*?\b(conex_\w+)\((?:[^;{]*)\));",
                   re.S | re.M)


def functions(path):
    """Yields (name, prototype, parts); parts is {} where there is no block."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for block, prototype, name in BLOCK.findall(text):
        if prototype.startswith("typedef"):
            continue
        lines = re.sub(r"^ \* ?", "", block, flags=re.M)
        pieces = re.split(r"(?:^|\s)(Owner|Returns|Threads|Since):\s", lines) if block else []
        parts = {"Text": pieces[0]} if pieces else {}
        parts.update(zip(pieces[1::2], pieces[2::2]))
        yield name, prototype, {key: " ".join(value.split()) for key, value in parts.items()}


def missing(prototype, parts):
    wanted = ["Text", "Threads", "Since"]
    if not prototype.startswith("void "):
        wanted.append("Returns")
    return [key for key in wanted if not parts.get(key)]


def roff(text, known=()):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = re.sub(r"\b(conex_\w+)", lambda m: f"\\fB{m[1]}\\fP" + ("(3)" if m[1] in known else ""), text)
    text = re.sub(r"(\\-E[A-Z0-9]{2,})\b", r"\\fB\1\\fP", text)
    return "\\&" + text if text.startswith(".") else text


def returns(text, known):
    """"0; -EINVAL why; ..." as a list."""
    yield ".SH RETURN VALUE"
    for item in text.rstrip(".").split("; "):
        match = re.match(r"((?:-E[A-Z0-9]+\s*)+|-?\d+)(?:\s+(.*))?$", item)
        if match:
            yield f".TP\n.B {roff(match[1].strip()).replace(chr(92) + 'fB', '').replace(chr(92) + 'fP', '')}"
            yield roff(match[2] or "success", known)
        elif item == "the usual":
            yield ".PP\nThe usual errors, of all functions, are in\n.BR libconex (3)."
        else:
            yield f".PP\n{roff(item, known)}"


def page(header, name, prototype, parts, known):
    first = re.split(r"[.:;] |\.$", parts["Text"])[0]
    first = first[:1].lower() + first[1:]
    lines = textwrap.wrap(" ".join(prototype.split()) + ";", 76, subsequent_indent="    ")
    yield f'.TH {name.upper()} 3 "" "conex {parts["Since"]}" "libconex"'
    yield f".SH NAME\n{name} \\- {roff(first)}"
    yield f".SH SYNOPSIS\n.nf\n.B #include <conex/{os.path.basename(header)}>\n.PP"
    yield "".join(f".B \"{line}\"\n" for line in lines) + ".fi"
    yield f".SH DESCRIPTION\n{roff(parts['Text'], known)}"
    if "Owner" in parts:
        yield f".SS Ownership\n{roff(parts['Owner'], known)}"
    if "Returns" in parts:
        yield from returns(parts["Returns"], known)
    yield f".SH THREADS\n{roff(parts['Threads'].capitalize(), known)}"
    yield f".SH HISTORY\nSince libconex {parts['Since']}."
    others = sorted(set(re.findall(r"conex_\w+", " ".join(parts.values()))) & known - {name})
    yield ".SH SEE ALSO\n" + "".join(f".BR {other} (3),\n" for other in others) + ".BR libconex (3)"


def main(directory, *headers):
    found = [(header, *function) for header in headers for function in functions(header)]
    known = {name for _, name, _, _ in found}
    os.makedirs(directory, exist_ok=True)
    for header, name, prototype, parts in found:
        if missing(prototype, parts):
            sys.exit(f"{header}: {name} has no {', '.join(missing(prototype, parts))}")
        with open(os.path.join(directory, name + ".3"), "w", encoding="utf-8") as file:
            file.write("\n".join(page(header, name, prototype, parts, known)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
