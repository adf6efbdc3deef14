"""Effective role assignments of a thousand users on a hundred projects, however they came to them; and a hundred thousand
projects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.scenarios import MANY, Bench, Result, request, rows
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from tiffin.core.database import Database
from tiffin.core.settings import load
from tiffin.services.identity.rules import grant_id
from tiffin.services.identity.tables import Assignment, Epoch, Group, Membership, Project, ProjectTag, Role, User

LIST, PROJECTS = "/identity/v3/role_assignments", "/identity/v3/projects"
USERS, SOME, MANY_PROJECTS = 1_000, 100, 100_000
BUDGET, PAGE = 100.0, 5.0  # ms
GROUP = "b" * 32


def assignments(bench: Bench) -> Iterator[Result]:
    """The whole list and parts of it, for each way in which a thousand users can have roles on a hundred projects."""
    users, projects = [_id("1", n) for n in range(USERS)], [_id("2", n) for n in range(SOME)]
    with _database(bench) as database:
        _people(database, users, projects)
        for what, role, grants in (
            ("a role each", "member", ((("user", u), projects[n % SOME]) for n, u in enumerate(users))),
            ("each on each, one by one", "reader", ((("user", u), p) for u in users for p in projects)),
            ("each on each, by a group", "reader", ((("group", GROUP), p) for p in projects)),
        ):
            _grant(database, role, grants)
            yield from _measure(bench, what, users[7])
        _grant(database, "manager", ((("group", GROUP), p) for p in projects))
        asked = [request("GET", f"{LIST}?effective", bench.admin.headers)]
        yield from rows(bench, "GET effective assignments, a group of managers: 300 000", asked, 5, (None, ""))
    with _database(bench) as database:
        _many_projects(database)
        yield from _pages(bench)


def _measure(bench: Bench, what: str, user: str) -> Iterator[Result]:
    for part, query, budget, count in (
        ("all", "effective", BUDGET, 10),
        ("with names", "effective&include_names", None, 10),
        ("a page of 100", f"effective&limit={MANY}", 2 * PAGE, 100),
        ("of one user", f"effective&user.id={user}", PAGE, 100),
    ):
        asked = [request("GET", f"{LIST}?{query}", bench.admin.headers)]
        yield from rows(bench, f"GET effective assignments, {what}: {part}", asked, count, (budget, ""))


def _pages(bench: Bench) -> Iterator[Result]:
    middle = _id("3", MANY_PROJECTS // 2)
    for what, query in (
        ("the first 100", ""), ("100 in the middle", f"&marker={middle}"),
        ("100 of a domain", f"&domain_id=default&marker={middle}"), ("100 of a parent", f"&parent_id=default&marker={middle}"),
        ("of a rare tag", "&tags=rare"),
    ):  # fmt: skip
        asked = [request("GET", f"{PROJECTS}?limit={MANY}{query}", bench.admin.headers)]
        yield from rows(bench, f"GET /projects of 100000, {what}", asked, bench.requests // 4, (PAGE, ""))


# --- rows that the API would take minutes to make ----------------------------------------------------------------------


@contextmanager
def _database(bench: Bench) -> Iterator[Database]:
    """The cloud's database. What the benchmark put into it goes away at the end."""
    database = Database(load(bench.home).database or f"sqlite:///{bench.home / 'tiffin.db'}", durable=False)
    try:
        yield database
    finally:
        with database.write() as session:
            for table in (Group, User, Project):
                session.execute(delete(table).where(table.name.startswith("bench-")))
            _tell(session)
        database.close()


def _tell(session: Session) -> None:
    session.execute(update(Epoch).values(value=Epoch.value + 1))


def _people(database: Database, users: list[str], projects: list[str]) -> None:
    with database.write() as session:
        session.execute(insert(User), [_user(id) for id in users])
        session.execute(insert(Project), [_project(id) for id in projects])
        group = {"id": GROUP, "domain_id": "default", "name": "bench-group", "description": "", "extra": {}}
        session.execute(insert(Group), [group])
        session.execute(insert(Membership), [{"user_id": id, "group_id": GROUP} for id in users])


def _grant(database: Database, role: str, grants: Iterable[tuple[tuple[str, str], str]]) -> None:
    """Have exactly these grants of a role on projects, beside those that the cloud has."""
    with database.write() as session:
        session.execute(delete(Assignment).where(Assignment.scope_id.startswith("2")))
        role_id = session.scalars(select(Role.id).where(Role.name == role)).one()
        session.execute(insert(Assignment), [_assignment(who, project, role_id) for who, project in grants])
        _tell(session)


def _assignment(who: tuple[str, str], project: str, role_id: str) -> dict[str, Any]:
    kind, id = who
    return {
        "id": grant_id(who, ("project", project), role_id, False), "scope": "project", "scope_id": project,
        "user_id": id if kind == "user" else None, "group_id": id if kind == "group" else None, "role_id": role_id,
        "inherited": False,
    }  # fmt: skip


def _user(id: str) -> dict[str, Any]:
    return {"id": id, "domain_id": "default", "name": f"bench-{id}", "enabled": True, "created_at": 0.0, "generation": 0}


def _project(id: str) -> dict[str, Any]:
    return {
        "id": id, "name": f"bench-{id}", "domain_id": "default", "parent_id": "default", "is_domain": False, "enabled": True,
        "description": "", "generation": 0,
    }  # fmt: skip


def _many_projects(database: Database) -> None:
    with database.write() as session:
        session.execute(insert(Project), [_project(_id("3", n)) for n in range(MANY_PROJECTS)])
        tags = [{"project_id": _id("3", n), "name": "common" if n % 1000 else "rare"} for n in range(MANY_PROJECTS)]
        session.execute(insert(ProjectTag), tags)


def _id(kind: str, n: int) -> str:
    return f"{kind}{n:031x}"
