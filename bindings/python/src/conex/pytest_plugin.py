"""pytest-conex: services in containers for tests.

>>> @pytest.fixture(scope="session")
... def db(conex_service):
...     return conex_service("postgres:16", env={"POSTGRES_PASSWORD": "x"}, network="bridge", ports=["127.0.0.1::5432"],
...                          health={"exec": ["pg_isready", "-h", "127.0.0.1"]}, ready=30)

``conex_service`` starts services that live as long as the session, ``conex_service_module`` and ``conex_service_test`` as long
as a module or a test. What a service writes is shown with the tests that fail, and how it ended if it did. Each worker of
pytest-xdist has services of its own, with ids and ports of their own: ``id="db"`` becomes "db-gw0", which is also its name for
others, so ask the service for its ``id``. An image's layers are shared.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Protocol, Tuple, TypedDict, Union

import pytest

import conex
from .container import split
from .keywords import Args, RunOptions, described
from .options import Options

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SHOWN = 8000               # the last bytes of a service's log that a failure shows
_alive: "List[Service]" = []


class Health(TypedDict, total=False):
    """When a service can be used: all that is named here is so."""

    exec: Args                      # a command in it ends with 0
    port: int                       # it answers
    log: str                        # this was written
    interval: Union[float, str]     # how often one looks: 0.1, "100ms"


class Service(conex.Container):
    """A container whose output goes to a log."""

    name = ""               #: the image, or the program
    _log = -1
    _before = 0             # so long was its log when the test began

    def logs(self) -> str:
        """All that it has written so far, stdout and stderr."""
        return self._read(0).decode(errors="replace")

    def _read(self, start: int) -> bytes:
        return os.pread(self._log, max(0, self._size() - start), start)

    def _size(self) -> int:
        return os.fstat(self._log).st_size

    def wait_until_ready(self, health: Health, timeout: float) -> None:
        """Until all that health names is so. Raises :class:`conex.TimeoutExpired`, or :class:`conex.CalledProcessError` where it
        ends before; both have what it wrote as their output."""
        unknown = set(health) - set(Health.__annotations__)
        if unknown:
            raise TypeError(f"health: {sorted(unknown)[0]!r} isn't one of {', '.join(Health.__annotations__)}")
        end = time.monotonic() + timeout
        interval = _seconds(health.get("interval", 0.05))
        try:
            while health.get("log", "") not in self.logs():
                if self.poll() is not None:
                    raise conex.CalledProcessError(self.exit, self.name)
                if time.monotonic() >= end:
                    raise conex.TimeoutExpired(self.name, timeout)
                time.sleep(interval)
            self.wait_for(port=health.get("port"), exec=health.get("exec"), interval=interval, timeout=max(0.1, end - time.monotonic()))
        except (conex.CalledProcessError, conex.TimeoutExpired) as e:
            e.output = self.logs()
            raise

    def _section(self) -> Optional[Tuple[str, str]]:
        """What a report shows of it: a heading, and the end of its log. None: it runs, and has said nothing."""
        try:
            ended = "" if self.poll() is None else f", {self.exit}"
        except conex.Error as e:        # a test has closed its context
            ended = f", {e}"
        start = max(0, self._size() - _SHOWN)
        text = self._read(start)
        cut = f"... ({start} bytes before)\n" if start else ""
        if start < self._before:        # not all of it is this test's
            n = self._before - start
            text = text[:n] + b"---- since this test began ----\n" + text[n:]
        if not text and not ended:
            return None
        return f"conex: log of {self.name} ({self.id}){ended}", cut + text.decode(errors="replace")

    def close(self) -> None:
        """Deletes the container. What it wrote stays readable until the service is forgotten."""
        if self in _alive:
            _alive.remove(self)
        self.delete()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._log >= 0:
            os.close(self._log)


class Start(Protocol):
    """What the fixtures are: call it to start a service."""

    def __call__(self, first: Args, args: Args = None, *, image: Optional[str] = None, health: Optional[Health] = None,
                 ready: float = 30, **options: Unpack[RunOptions]) -> Service:
        ...


def _seconds(value: Union[float, str]) -> float:
    if not isinstance(value, str):
        return float(value)
    return float(value[:-2]) / 1000 if value.endswith("ms") else float(value.rstrip("s"))


def _own_id(options: Any) -> Any:
    """Workers of pytest-xdist ask for the same id: each gets one of its own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return {**options, "id": f"{options['id']}-{worker}"} if worker and options.get("id") else options


def _started(cx: conex.Context, first: Args, args: Args, image: Optional[str], options: Any) -> Service:
    log = os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        given, here = split({**_own_id(options), "stdout": log, "stderr": conex.STDOUT})
        service = cx._start(first, args, image, Options(given), here, Service)
    except BaseException:
        os.close(log)
        raise
    service._log, service.name = log, str(image or (first if isinstance(first, str) else service.args[0]))
    return service


def _services(cx: conex.Context) -> Iterator[Start]:
    started: List[Service] = []

    @described(RunOptions)
    def start(first: Args, args: Args = None, *, image: Optional[str] = None, health: Optional[Health] = None,
              ready: float = 30, **options: Unpack[RunOptions]) -> Service:
        """Starts a service, and waits until its health is as it should be, at most for ``ready`` seconds."""
        service = _started(cx, first, args, image, options)
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
    waited for. Returns a :class:`Service`, which is a :class:`conex.Container` with ``logs()``.
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


@pytest.hookimpl(tryfirst=True)  # type: ignore[misc]
def pytest_runtest_setup() -> None:
    """Remembers how much the services have written before this test."""
    for service in _alive:
        service._before = service._size()


@pytest.hookimpl(hookwrapper=True)  # type: ignore[misc]
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    """Adds to the report of a test that failed what the services that run have written, and which of them don't run any more."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed:
        for service in _alive:
            section = service._section()
            if section:
                report.sections.append(section)
