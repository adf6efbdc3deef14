"""One database; a mutation is one transaction."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

_encode = msgspec.json.Encoder().encode


def _dumps(value: Any) -> str:
    return _encode(value).decode()


def _sqlite(url: str, durable: bool) -> Engine:
    memory = url in ("sqlite://", "sqlite:///:memory:")
    options: dict[str, Any] = {"poolclass": StaticPool} if memory else {"pool_size": 32, "max_overflow": 64}
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": 30, "isolation_level": None},
        json_serializer=_dumps,
        json_deserializer=msgspec.json.decode,
        hide_parameters=True,  # a value may be a secret, and errors are logged
        **options,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={'FULL' if durable else 'NORMAL'}",
            "foreign_keys=ON",
            "busy_timeout=30000",
            "temp_store=MEMORY",
            "cache_size=-4000",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # a writer takes the lock at once: a lock that is taken half way may be refused for good
        write = connection.get_execution_options().get("write")
        connection.connection.driver_connection.execute("BEGIN IMMEDIATE" if write else "BEGIN").close()

    return engine


def _postgresql(url: str, durable: bool) -> Engine:
    rest = url.partition("://")[2]
    return create_engine(
        f"postgresql+psycopg://{rest}",
        json_serializer=_dumps,
        json_deserializer=msgspec.json.decode,
        hide_parameters=True,
        pool_size=32,
        max_overflow=64,
        connect_args={"options": f"-c timezone=UTC -c synchronous_commit={'on' if durable else 'off'}"},
    )


_VIEW = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""What makes a transaction on PostgreSQL a consistent view, as every one is on SQLite."""


class Database:
    """Transactions on the one database. `url` is SQLAlchemy's: sqlite:///path or postgresql://...

    `durable`: whether what was committed outlives a power cut, too, and not only the end of every process. On SQLite that
    is one fsync for each write (measured: 1 ms, 0.1 ms of it CPU, against 0.01 ms without). A real cloud needs it: hosts
    and the network's database keep what they were told, and a turn that only they remember would fence us off.
    """

    def __init__(self, url: str, *, durable: bool = True) -> None:
        make = _sqlite if url.startswith("sqlite") else _postgresql
        engine = make(url, durable)
        self.writer = engine.execution_options(write=True)
        self.engine = engine.execution_options(**(_VIEW if engine.dialect.name == "postgresql" else {}))
        self._memory = threading.RLock() if url in ("sqlite://", "sqlite:///:memory:") else None
        lax = make(url, False).execution_options(write=True) if durable and not self._memory else self.writer
        self._lax = lax  # connects when it is first used
        self._after: list[tuple[str, Callable[[], None]]] = []

    def on_commit(self, told: Callable[[], None], about: str = "") -> None:
        """Call `told` after each write that committed; with `about`, after those only whose `session.info` has this word.
        A hint: what it wakes must also look by itself at times."""
        self._after.append((about, told))

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view; nothing is kept of what is changed in it."""
        with (
            self._memory or contextlib.nullcontext(),
            Session(self.engine, autoflush=False, expire_on_commit=False) as session,
        ):
            yield session

    @contextlib.contextmanager
    def write(self, *, lax: bool = False) -> Iterator[Session]:
        """All or nothing: commits at the end, rolls back on any exception. Never call the outside world in it.

        `lax`: a power cut may take it, unless another write has followed; for accounts of what has changed nothing.
        """
        engine = self._lax if lax else self.writer
        with self._memory or contextlib.nullcontext(), Session(engine, expire_on_commit=False) as session:
            yield session
            session.commit()
        for about, told in self._after:
            if not about or about in session.info:
                told()

    def close(self) -> None:
        self.engine.dispose()
        self._lax.dispose()
