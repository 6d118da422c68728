"""What types and help say of keywords is what calls take; everything public has a docstring."""

import inspect
import subprocess
import sys
import typing

import pytest

import conex
from conex import _awaited, _streams, aio, broker, cgroups, images, keywords, namespaces, networks, options, pytest_plugin, spec

CLASSES = [keywords.RunOptions, keywords.PlanOptions, keywords.LaunchOptions, keywords.ExecOptions, keywords.LimitOptions,
           keywords.ImageOptions, keywords.ProgramOptions, keywords.StreamOptions]


def known():
    """The keywords that Options fills the struct from."""
    of_methods = {n[1:] for n, f in vars(options.Options).items() if n.startswith("_") and not n.startswith("__")}
    return of_methods | set(options._FLAGS) | set(options._TEXTS) | set(options._LIMITS)


def test_all_are_described():
    assert known() | {"text", "encoding", "errors"} == set(keywords.RunOptions.__annotations__)
    assert set(options._LIMITS) == set(keywords.LimitOptions.__annotations__)
    assert set(keywords.PlanOptions.__annotations__) | set(keywords.LaunchOptions.__annotations__) == set(keywords.RunOptions.__annotations__)
    assert set(keywords.ExecOptions.__annotations__) <= set(keywords.RunOptions.__annotations__)
    for name in keywords.ImageOptions.__annotations__:
        value = {"limits": {}, "plain_http": True, "not_newer": True, "max_bytes": 1}.get(name, "x")
        images._options({name: value}, conex._low.Memory())
    with pytest.raises(TypeError, match="nonsense"):
        images._options({"nonsense": 1}, conex._low.Memory())


@pytest.mark.parametrize("kind", CLASSES, ids=lambda k: k.__name__)
def test_types_can_be_evaluated(kind):
    """What is read out of the text is the type and the meaning."""
    names = {**vars(typing), **vars(keywords), "Spec": conex.Spec, "Network": conex.Network, "Namespace": conex.Namespace,
             "Handler": broker.Handler}
    hints = typing.get_type_hints(kind, None, names, include_extras=True)
    for name, written, meaning in keywords.documented(kind):
        assert meaning and hints[name].__metadata__ == (meaning,)
        assert eval(written, names)


def test_what_each_call_takes(cx, root):
    """The library refuses what a call doesn't read, by its name: so do the types."""
    values = {"id": "x", "labels": {"a": "b"}, "timeout": 5, "input": b"x", "pass_fds": [0], "hostname": "h", "memory": "64M", "read_only": True,
              "cwd": "/", "user": "0", "env": {"A": "b"}}
    plan = cx.plan(["/bin/true"], rootfs=root)
    with cx.start(["/bin/sleep", "1000"], rootfs=root) as c:
        def takes(call, name):
            try:
                call(**{name: values[name]})
            except conex.InvalidError:
                return False
            return True
        for name in values:
            assert takes(lambda **o: cx.plan(["/bin/true"], rootfs=root, **o), name) == (name in keywords.PlanOptions.__annotations__), name
            assert takes(lambda **o: plan.run(**o), name) == (name in keywords.LaunchOptions.__annotations__), name
            assert takes(lambda **o: c.exec(["/bin/true"], **o), name) == (name in keywords.ExecOptions.__annotations__), name
            assert takes(lambda **o: cx.run(["/bin/true"], rootfs=root, **o), name)


FUNCTIONS = [(conex.run, keywords.RunOptions), (conex.Context.start, keywords.RunOptions), (conex.Context.plan, keywords.PlanOptions),
             (conex.Plan.run, keywords.LaunchOptions), (conex.Container.exec, keywords.ExecOptions), (conex.Container.update, keywords.LimitOptions),
             (aio.run, keywords.RunOptions), (aio.Context.start, keywords.RunOptions), (aio.Container.popen, keywords.ExecOptions),
             (images.Images.pull, keywords.ImageOptions), (aio.Images.pull, keywords.ImageOptions)]


@pytest.mark.parametrize("function,kind", FUNCTIONS, ids=lambda f: getattr(f, "__qualname__", ""))
def test_help(function, kind):
    parameters = inspect.signature(function).parameters
    text = inspect.getdoc(function)
    for name, _, meaning in keywords.documented(kind):
        assert name in parameters and f"{name}: {meaning}" in text
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def public(owner, prefix):
    for name, value in vars(owner).items():
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value) or isinstance(value, (property, classmethod))):
            continue
        if not getattr(value, "__module__", "conex").startswith("conex"):
            continue
        yield f"{prefix}.{name}", value
        if inspect.isclass(value) and not issubclass(value, dict):
            yield from public(value, f"{prefix}.{name}")


def test_docstrings():
    modules = [conex, aio, _awaited, _streams, broker, cgroups, images, keywords, namespaces, networks, spec, pytest_plugin]
    lacking = {name for m in modules for name, value in public(m, m.__name__) if not inspect.getdoc(value)}
    assert not lacking and all(m.__doc__ for m in modules)


def test_import_is_quick_and_light():
    """No module comes along that a program wouldn't expect: asyncio only with conex.aio, pytest never."""
    text = "import sys; before = set(sys.modules); import conex; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "pytest", "trio", "typing_extensions", "ssl"} & set(loaded)
