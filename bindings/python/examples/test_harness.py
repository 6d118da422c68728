"""A test suite with its services in containers: a Redis a module, a scratch container a test. Needs pytest and redis-server.

pytest test_harness.py
"""

import socket
from typing import Callable, Iterator

import pytest

import conex
from conex.pytest_plugin import Service, Start

Ask = Callable[..., str]

# Debian's redis-server, read-only, over an image that has no more than a shell; an image of Redis's own does as well.
HOST = [f"{d}:{d}:ro" for d in ("/usr", "/lib", "/lib64")]


@pytest.fixture(scope="module")
def redis(conex_service_module: Start) -> Service:
    return conex_service_module(["/usr/bin/redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""],
                                image="busybox", mounts=HOST, network="bridge", ports=["127.0.0.1::6379"], memory="64M",
                                health={"log": "eady to accept connections", "port": 6379})


@pytest.fixture
def ask(redis: Service) -> Iterator[Ask]:
    with socket.create_connection(redis.port(6379)) as s, s.makefile("rw", newline="\r\n") as f:
        def command(*words: str) -> str:
            f.write(" ".join(words) + "\r\n")
            f.flush()
            return f.readline().strip()
        command("FLUSHALL")             # a fresh database a test
        yield command


def test_set_and_get(ask: Ask) -> None:
    assert ask("SET", "answer", "42") == "+OK"
    assert ask("STRLEN", "answer") == ":2"


def test_fresh_database(ask: Ask) -> None:
    assert ask("EXISTS", "answer") == ":0"


def test_limits_hold(redis: Service) -> None:
    assert redis.stats().memory_limit == 64 << 20


def test_scratch(conex_context: conex.Context) -> None:
    r = conex_context.run(["sh", "-c", "echo x >/file; cat /file"], image="busybox", capture_output=True, text=True)
    assert r.stdout == "x\n"
