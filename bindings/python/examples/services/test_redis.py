"""A Redis of its own for each test: it starts in less time than most tests take. images.sh makes the image. Needs redis-py."""

import time
from typing import Any, Iterator

import pytest
import redis

from conex.pytest_plugin import Start

Client = Any                # what redis.Redis is declared to return differs from version to version


@pytest.fixture
def client(conex_service_test: Start) -> Iterator[Client]:
    server = conex_service_test("redis:7", network="bridge", ports=["127.0.0.1::6379"], memory="64M",
                                health={"log": "Ready to accept connections", "port": 6379}, ready=30)
    with redis.Redis(*server.port(6379), decode_responses=True) as c:
        yield c


@pytest.mark.parametrize("n", range(3))
def test_fresh_database(client: Client, n: int) -> None:
    assert client.dbsize() == 0 and client.incr("counter") == 1
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    client.config_set("maxmemory-policy", "allkeys-lru")        # nobody else's server


def test_keys_expire(client: Client) -> None:
    client.set("soon", "gone", px=500)
    assert client.get("soon") == "gone" and 0 < client.pttl("soon") <= 500
    time.sleep(0.6)
    assert client.get("soon") is None


def test_transaction_sees_a_change(client: Client) -> None:
    with client.pipeline() as p:
        p.watch("stock")
        client.set("stock", 3)
        p.multi()
        p.decr("stock")
        with pytest.raises(redis.WatchError):
            p.execute()
    assert client.get("stock") == "3"


def test_messages(client: Client) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as p:
        p.subscribe("news")
        p.get_message(timeout=5)
        assert client.publish("news", "hello") == 1
        assert p.get_message(timeout=5)["data"] == "hello"


def test_memory_is_limited(client: Client) -> None:
    client.config_set("maxmemory", "4mb")
    with pytest.raises(redis.ResponseError, match="OOM"):
        for i in range(100):
            client.set(i, "x" * 100_000)
