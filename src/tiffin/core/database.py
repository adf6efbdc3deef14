"""One database; a mutation is one transaction."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Engine, bindparam, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

CHANNEL = "tiffin"
"""Where a PostgreSQL server passes on, from process to process, what a commit was about."""
_encode = msgspec.json.Encoder().encode

PATIENCE = 30
"""Seconds for which a writer waits for those before it."""
Kind = Literal["view", "write", "statement"]
"""Of transactions: a consistent view; a writer, one at a time; a single statement that locks the rows that it looks at."""

_SQLITE: dict[Kind, str] = {
    "view": "BEGIN",
    "write": "BEGIN IMMEDIATE",  # a lock that is taken half way may be refused for good
    "statement": "BEGIN IMMEDIATE",
}
_POSTGRESQL: dict[Kind, str] = {
    "view": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    # at this level each statement sees all that has committed: once the lock is ours that is all there is
    "write": "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(8433462)",
    "statement": "BEGIN ISOLATION LEVEL READ COMMITTED",
}
_SERVER_SETTINGS = {
    "timezone": "UTC",
    "jit": "off",  # compiling takes longer than any of our statements
    "enable_seqscan": "off",  # the right plan for large tables from the first row on; what is due comes in its order
    "lock_timeout": "30s",
    # a writer that was stopped half way, or whose machine is gone, must not keep the others waiting for long
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


_NOTIFY = select(func.pg_notify(bindparam("channel"), bindparam("words")))


def _dumps(value: Any) -> str:
    return _encode(value).decode()


def _sqlite(url: str, durable: bool, *, writes: bool = False) -> Engine:
    """`writes`: by one connection, so that what it has seen of the file stays true; another's write makes a connection forget
    all that it has seen."""
    sizes = {"pool_size": 1, "max_overflow": 0} if writes else {"pool_size": 32, "max_overflow": 64}
    options: dict[str, Any] = {"poolclass": StaticPool} if _in_memory(url) else {"pool_use_lifo": True, **sizes}
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": PATIENCE, "isolation_level": None},
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
            f"busy_timeout={PATIENCE * 1000}",
            "temp_store=MEMORY",
            f"cache_size={-16000 if writes else -4000}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.connection.driver_connection.execute(_SQLITE[_kind(connection)]).close()  # type: ignore[union-attr]

    return engine


def _postgresql(url: str, durable: bool) -> Engine:
    rest = url.partition("://")[2]
    settings = {**_SERVER_SETTINGS, "synchronous_commit": "on" if durable else "off"}
    engine = create_engine(
        f"postgresql+psycopg://{rest}",
        json_serializer=_dumps,
        json_deserializer=msgspec.json.decode,
        hide_parameters=True,
        pool_size=24,
        pool_use_lifo=True,  # few of them are busy, and the server keeps plans for each
        max_overflow=8,
        connect_args={
            "autocommit": True,  # transactions begin by our own words
            "connect_timeout": 5,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        },
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        words = _POSTGRESQL[_kind(connection)]
        if _kind(connection) == "view" and _begun(connection, words):
            return
        if connection.get_execution_options().get("lax"):
            words += "; SET LOCAL synchronous_commit TO off"
        # without parameters, so that it is one message to the server
        connection.exec_driver_sql(words, execution_options={"no_parameters": True})

    return engine


def _begun(connection: Connection, words: str) -> bool:
    """Whether the driver itself has begun, which takes half as long as by way of SQLAlchemy; that knows better what to do with a
    connection that is lost."""
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(words)
    except driver.Error:
        return False
    return True


def _kind(connection: Connection) -> Kind:
    kind: Kind = connection.get_execution_options().get("kind", "view")
    return kind


def _in_memory(url: str) -> bool:
    return url in ("sqlite://", "sqlite:///:memory:")


def is_away(error: DBAPIError) -> bool:
    """Whether the database is why it failed, and not the statement: a server that does not answer, a file that somebody else
    writes to for long, a full disk."""
    name = getattr(error.orig, "sqlite_errorname", "SQLITE_BUSY")  # PostgreSQL's are of their own class, OperationalError
    return isinstance(error, OperationalError) and name.startswith(("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR"))


class Database:
    """Transactions on the one database. `url` is SQLAlchemy's: sqlite:///path or postgresql://...

    `durable`: whether what was committed outlives a power cut, too, and not only the end of every process. On SQLite that
    is one fsync for each write (measured: 1 ms, 0.1 ms of it CPU, against 0.01 ms without). A real cloud needs it: hosts
    and the network's database keep what they were told, and a turn that only they remember would fence us off.
    """

    def __init__(self, url: str, *, durable: bool = True) -> None:
        self.is_server = not url.startswith("sqlite")
        self.engine = _postgresql(url, durable) if self.is_server else _sqlite(url, durable)
        self._memory = threading.RLock() if _in_memory(url) else None
        self._turn = None if self.is_server else self._memory or threading.Lock()
        file = not self.is_server and not self._memory
        writing = _sqlite(url, durable, writes=True) if file else self.engine
        lax = _sqlite(url, False, writes=True) if file and durable else writing  # connects when it is first used
        self.writer = writing.execution_options(kind="write")
        self._statement = writing.execution_options(kind="statement")
        self._lax_writer = lax.execution_options(kind="write", lax=True)
        self._after: list[tuple[str, Callable[[], None]]] = []
        self.name = secrets.token_hex(8)
        """Tells this process from the others of the database."""

    def on_commit(self, told: Callable[[], None], about: str = "") -> None:
        """Call `told` after each write that committed; with `about`, after those only whose `session.info` has this word,
        and after those of other processes where it is true there (core/peers.py). A hint: what it wakes must also look by
        itself at times."""
        self._after.append((about, told))

    def told(self, heard: str = "") -> None:
        """Another process has committed something about this; or something that nobody knows."""
        for about, told in self._after:
            if about and heard in (about, ""):
                told()

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view; nothing is kept of what is changed in it."""
        with (
            self._memory or contextlib.nullcontext(),
            Session(self.engine, autoflush=False, expire_on_commit=False) as session,
        ):
            if self.is_server:
                self._begin(session)
            yield session

    def write(self, *, lax: bool = False) -> contextlib.AbstractContextManager[Session]:
        """All or nothing: commits at the end, rolls back on any exception. Never call the outside world in it: no other
        writer of any process is beside it, and all wait for its end (docs/decisions/0004).

        `lax`: a power cut may take it, unless another write has followed; for accounts of what has changed nothing.
        """
        return self._writing(self._lax_writer if lax else self.writer)

    def statement(self) -> contextlib.AbstractContextManager[Session]:
        """A write transaction of a single statement that locks the rows that it looks at; on a server it may be beside
        others."""
        return self._writing(self._statement)

    @contextlib.contextmanager
    def _writing(self, engine: Engine) -> Iterator[Session]:
        with self._alone(), Session(engine, expire_on_commit=False) as session:
            self._begin(session)
            yield session
            if self.is_server:
                self._tell_others(session)
            session.commit()
        for about, told in self._after:
            if not about or about in session.info:
                told()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for the other writers of this process. SQLite would do so, too, but by sleeping for up to 100 ms at a time.
        Raises what it raises: `OperationalError`."""
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=PATIENCE):
            raise OperationalError("BEGIN", None, TimeoutError("other writers took too long"))
        try:
            yield
        finally:
            self._turn.release()

    def _tell_others(self, session: Session) -> None:
        for about, _ in self._after:
            if about and session.info.get(about):
                session.execute(_NOTIFY, {"channel": CHANNEL, "words": f"{self.name} {about}"})

    def _begin(self, session: Session) -> None:
        """Begin at once: a writer's turn comes before what it reads. A connection of the pool may have died of the server's
        restart: then all have, and the next one is new."""
        try:
            session.connection()
        except DBAPIError as lost:
            if not lost.connection_invalidated:
                raise
            session.rollback()
            session.connection()

    def close(self) -> None:
        for engine in (self.engine, self.writer, self._lax_writer):
            engine.dispose()
