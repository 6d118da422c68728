#!/usr/bin/python3
"""Trees of files, to the last attribute.
tree.py scan TREE FILE          notes all that there is of it
tree.py compare A B             trees, or files of scans; prints the first differences
tree.py changes A B LIST GONE [bare]
                                what of B a layer on A has to bring, and the whiteouts that it takes; paths end with NUL;
                                bare: without the directories on the way that haven't changed"""
import hashlib
import os
import pickle
import stat
import sys

SHOWN = 20


def content(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def describe(path, groups, name):
    st = os.lstat(path)
    about = {"type": stat.S_IFMT(st.st_mode), "mode": oct(st.st_mode & 0o7777), "uid": st.st_uid, "gid": st.st_gid, "mtime": st.st_mtime_ns,
             "xattrs": {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}}
    if not stat.S_ISDIR(st.st_mode):
        about["links"] = st.st_nlink
        about["linked with"] = groups.setdefault((st.st_dev, st.st_ino), name)
    if stat.S_ISREG(st.st_mode):
        about["size"], about["content"] = st.st_size, content(path)
        if st.st_size > 1 << 20:
            about["sparse"] = st.st_blocks * 512 < st.st_size // 2
    elif stat.S_ISLNK(st.st_mode):
        about["target"] = os.readlink(path)
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        about["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
    return about


def scan(tree):
    """Path below the tree -> its attributes; in an order that is the same for equal trees."""
    if not os.path.isdir(tree):
        with open(tree, "rb") as file:
            return pickle.load(file)
    tree, groups = os.fsencode(tree), {}
    found, todo = {b".": describe(tree, groups, b".")}, [b""]
    while todo:
        below = todo.pop()
        for name in sorted(os.listdir(os.path.join(tree, below))):
            path = os.path.join(below, name)
            found[path] = describe(os.path.join(tree, path), groups, path)
            if stat.S_ISDIR(found[path]["type"]):
                todo.append(path)
    return found


def compare(a, b):
    faults = []
    for path in sorted(a.keys() | b.keys()):
        if path not in a or path not in b:
            faults.append(f"{path!r}: only in the {'second' if path in b else 'first'}")
        elif a[path] != b[path]:
            faults += [f"{path!r}: {key} is {a[path].get(key)!r}, not {b[path].get(key)!r}"
                       for key in sorted(a[path].keys() | b[path].keys()) if a[path].get(key) != b[path].get(key)]
    print("\n".join(faults[:SHOWN]))
    links = sum(1 for about in a.values() if about.get("links", 1) > 1)
    xattrs = sum(1 for about in a.values() if about["xattrs"])
    print(f"{len(a)} and {len(b)} entries ({links} of several links, {xattrs} with attributes, "
          f"{sum(about.get('size', 0) for about in a.values()) >> 20} MiB), {len(faults)} differences")
    return bool(faults)


def changes(a, b, list_file, gone_file, bare):
    is_dir = {path: stat.S_ISDIR(about["type"]) for path, about in a.items()}
    gone, opaque = set(path for path in a if path not in b), set()
    children = {}
    for path in a:
        if path != b".":
            children.setdefault(os.path.dirname(path) or b".", []).append(path)
    for path, names in children.items():
        if path in b and stat.S_ISDIR(b[path]["type"]) and all(name in gone for name in names):
            opaque.add(path)

    def hidden(path):
        above = os.path.dirname(path)
        return above in gone or (above or b".") in opaque or (above in b and is_dir[above] and not stat.S_ISDIR(b[above]["type"]))
    with open(list_file, "wb") as file:
        # with what they lie in, as whoever packs overlay's upper directories has it
        changed = {path for path in b if a.get(path) != b[path]}
        for path in [] if bare else list(changed) + [path for path in gone if os.path.dirname(path) in b] + [path + b"/x" for path in opaque]:
            while path := os.path.dirname(path):
                changed.add(path)
        file.writelines(b"./" + path + b"\0" for path in sorted(changed if bare else changed | {b"."}))
    with open(gone_file, "wb") as file:
        file.writelines(b"./" + os.path.join(path, b".wh..wh..opq") + b"\0" for path in sorted(opaque))
        file.writelines(b"./" + os.path.join(os.path.dirname(path), b".wh." + os.path.basename(path)) + b"\0"
                        for path in sorted(gone) if not hidden(path))
    print(f"{len(opaque)} opaque, {len(gone)} gone")


if sys.argv[1] == "scan":
    with open(sys.argv[3], "wb") as out:
        pickle.dump(scan(sys.argv[2]), out)
elif sys.argv[1] == "compare":
    sys.exit(compare(scan(sys.argv[2]), scan(sys.argv[3])))
elif sys.argv[1] == "changes":
    changes(scan(sys.argv[2]), scan(sys.argv[3]), sys.argv[4], sys.argv[5], sys.argv[6:] == ["bare"])
else:
    sys.exit(__doc__)
