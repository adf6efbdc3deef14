"""Lists of users, at the sizes of a large company."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.scenarios import MANY, Bench, Result, request, rows
from sqlalchemy import delete, func, insert, select

from tiffin.core.database import Database
from tiffin.core.settings import load
from tiffin.services.identity.tables import User

USERS = "/identity/v3/users"
THOUSAND, HUNDRED_THOUSAND = 1_000, 100_000
BUDGET = 20.0  # ms for a thousand users
PAGE = 5.0  # ms for a page of a hundred, however many there are


def users(bench: Bench) -> Iterator[Result]:
    """The list of a thousand users, and pages of a hundred thousand."""
    headers, few = bench.admin.headers, bench.requests // 20
    with many_users(bench, THOUSAND):
        yield from rows(bench, "GET /users, 1000", [request("GET", USERS, headers)], few, (BUDGET, ""))
    middle = _id(HUNDRED_THOUSAND // 2)
    with many_users(bench, HUNDRED_THOUSAND):
        for what, query in (
            ("the first 100", f"limit={MANY}"),
            ("100 in the middle", f"limit={MANY}&marker={middle}"),
            ("100 of a domain", f"limit={MANY}&domain_id=default&marker={middle}"),
            ("one by name", f"name={_name(HUNDRED_THOUSAND // 2)}"),
            ("the disabled ones", "enabled=false"),
            ("by the beginning of the name", f"limit={MANY}&name__startswith=bench-05"),
        ):
            asked = [request("GET", f"{USERS}?{query}", headers)]
            yield from rows(bench, f"GET /users of 100000, {what}", asked, bench.requests // 4, (PAGE, ""))
        slow = [request("GET", f"{USERS}?name__contains=05000", headers)]
        yield from rows(bench, "GET /users of 100000, by a part of the name", slow, few, (None, ""))


@contextmanager
def many_users(bench: Bench, total: int) -> Iterator[None]:
    """As many users as that in all. The rows are put into the database: the API would take minutes."""
    database = Database(load(bench.home).database or f"sqlite:///{bench.home / 'tiffin.db'}", durable=False)
    made = User.name.startswith("bench-")
    with database.write() as session:
        known = session.scalar(select(func.count()).select_from(User)) or 0
        session.execute(insert(User), [_user(n) for n in range(total - known)])
    try:
        yield
    finally:
        with database.write() as session:
            session.execute(delete(User).where(made))
        database.close()


def _user(n: int) -> dict[str, object]:
    return {
        "id": _id(n), "domain_id": "default", "name": _name(n), "enabled": n % 50_000 != 7, "created_at": 0.0,
        "options": {}, "extra": {"email": f"{_name(n)}@example.org"}, "generation": 0,
    }  # fmt: skip


def _id(n: int) -> str:
    return f"{n:032x}"


def _name(n: int) -> str:
    return f"bench-{n:06d}"
