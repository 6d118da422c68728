"""A PostgreSQL a session, a fresh database a test. images.sh makes the image; the official one does as well. Needs psycopg.

pytest examples/services; with -n 4 there are four servers, one for each worker.
"""

from typing import Any, Iterator

import psycopg
import pytest

from conex.pytest_plugin import Service, Start

Db = psycopg.Connection[Any]


@pytest.fixture(scope="session")
def pg(conex_service: Start) -> Service:
    return conex_service("postgres:16", env={"POSTGRES_PASSWORD": "x"}, network="bridge", ports=["127.0.0.1::5432"],
                         health={"exec": ["pg_isready", "-h", "127.0.0.1"], "interval": "100ms"}, ready=30)


@pytest.fixture
def db(pg: Service, request: pytest.FixtureRequest) -> Iterator[Db]:
    name = f"t{abs(hash(request.node.nodeid))}"
    pg.exec(["createdb", "-U", "postgres", name], check=True)
    host, port = pg.port(5432)
    with psycopg.connect(f"host={host} port={port} user=postgres password=x dbname={name}") as c:
        yield c


def test_insert(db: Db) -> None:
    db.execute("create table t (a int)")
    assert db.execute("insert into t values (1) returning a").fetchone() == (1,)


@pytest.mark.parametrize("n", range(3))
def test_fresh_database(db: Db, n: int) -> None:
    assert db.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone() == (0,)
    db.execute("create table t (id serial, n int)")
    assert db.execute("insert into t (n) values (%s) returning id", [n]).fetchone() == (1,)
    db.commit()         # it stays, where no other test looks


def test_unique(db: Db) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute("create table t (a int unique); insert into t values (7), (7)")


def test_uncommitted_is_unseen(db: Db, pg: Service) -> None:
    db.execute("create table t (a int)")
    ask = ["psql", "-U", "postgres", "-Atc", "select to_regclass('t') is null", db.info.dbname]
    assert pg.exec(ask, capture_output=True, text=True).stdout == "t\n"
    db.commit()
    assert pg.exec(ask, capture_output=True, text=True).stdout == "f\n"


def test_password(db: Db) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(db.info.dsn, password="y")
