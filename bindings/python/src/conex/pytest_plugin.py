"""pytest-conex: services in containers for tests.

>>> @pytest.fixture(scope="session")
... def db(conex_service):
...     return conex_service("postgres:16", env={"POSTGRES_PASSWORD": "x"}, network="bridge", ports=["127.0.0.1::5432"],
...                          health={"exec": ["pg_isready", "-h", "127.0.0.1"]}, ready=30)

``conex_service`` starts services that live as long as the session, ``conex_service_module`` and ``conex_service_test`` as long
as a module or a test. What a service writes is shown with the tests that fail. Each worker of pytest-xdist has services of its
own, with ids and ports of their own; an image's layers are shared.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any, Callable, Iterator, List, Mapping, Optional

import pytest

import conex

Start = Callable[..., "Service"]
_SHOWN = 8000               # the last bytes of a service's log that a failure shows
_alive: "List[Service]" = []


class Service:
    """A container with a log; all else is :class:`conex.Container`'s."""

    def __init__(self, container: conex.Container, log: int, name: str) -> None:
        self.container, self._log, self.name = container, log, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)

    def logs(self) -> str:
        """All that it has written so far, stdout and stderr."""
        size = os.fstat(self._log).st_size
        return os.pread(self._log, size, 0).decode(errors="replace")

    def wait_until_ready(self, health: Mapping[str, Any], timeout: float) -> None:
        """Until all that health names is so: "exec" ends with 0, "port" answers, "log" has been written."""
        unknown = set(health) - {"exec", "port", "log", "interval"}
        if unknown:
            raise TypeError(f"health: {sorted(unknown)[0]!r} isn't one of exec, port, log, interval")
        end = time.monotonic() + timeout
        interval = _seconds(health.get("interval", 0.05))
        while "log" in health and health["log"] not in self.logs():
            if self.container.poll() is not None:
                raise conex.CalledProcessError(self.container.exit, self.name, self.logs())
            if time.monotonic() >= end:
                raise conex.TimeoutExpired(self.name, timeout, self.logs())
            time.sleep(interval)
        self.container.wait_for(port=health.get("port"), exec=health.get("exec"), interval=interval,
                                timeout=max(0.1, end - time.monotonic()))

    def close(self) -> None:
        """Deletes the container. What it wrote stays readable until the service is forgotten."""
        if self in _alive:
            _alive.remove(self)
        self.container.delete()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        os.close(self._log)


def _seconds(value: Any) -> float:
    """0.1, "100ms", "2s"."""
    if not isinstance(value, str):
        return float(value)
    return float(value[:-2]) / 1000 if value.endswith("ms") else float(value.rstrip("s"))


def _services(cx: conex.Context) -> Iterator[Start]:
    started: List[Service] = []

    def start(first: Any, args: Any = None, *, health: Optional[Mapping[str, Any]] = None, ready: float = 30,
              **options: Any) -> Service:
        log = os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            container = cx.start(first, args, stdout=log, stderr=conex.STDOUT, **options)
        except BaseException:
            os.close(log)
            raise
        service = Service(container, log, str(options.get("image") or first))
        started.append(service)
        _alive.append(service)
        if health:
            service.wait_until_ready(health, ready)
        return service

    try:
        yield start
    finally:
        for service in reversed(started):
            service.close()


@pytest.fixture(scope="session")
def conex_context() -> Iterator[conex.Context]:
    """The context of all fixtures here: one a session (a worker of pytest-xdist is one)."""
    with conex.open() as cx:
        yield cx


@pytest.fixture(scope="session")
def conex_service(conex_context: conex.Context) -> Iterator[Start]:
    """Starts services that live until the session ends.

    ``conex_service(image_or_command, args=None, health=..., ready=30, **options)``: options as of :meth:`conex.Context.start`.
    health: {"exec": [...], "port": 5432, "log": "ready to accept", "interval": "100ms"}; ready: for so many seconds it is
    waited for. Returns a :class:`Service`.
    """
    yield from _services(conex_context)


@pytest.fixture(scope="module")
def conex_service_module(conex_context: conex.Context) -> Iterator[Start]:
    """As conex_service, until the module's last test has run."""
    yield from _services(conex_context)


@pytest.fixture
def conex_service_test(conex_context: conex.Context) -> Iterator[Start]:
    """As conex_service, for one test."""
    yield from _services(conex_context)


@pytest.hookimpl(hookwrapper=True)  # type: ignore[misc]
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed:
        for service in _alive:
            text = service.logs()
            if text:
                cut = "" if len(text) <= _SHOWN else f"... ({len(text) - _SHOWN} characters before)\n"
                report.sections.append((f"conex: log of {service.name} ({service.container.id})", cut + text[-_SHOWN:]))
