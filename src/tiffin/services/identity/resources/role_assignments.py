"""Role assignments: who has which role where, as granted or in effect."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.http.dialect import next_href
from tiffin.core.listing import limit_of
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Resource
from tiffin.core.sql import listed
from tiffin.services.identity import targets
from tiffin.services.identity.assignments import Block, Page, Place, Wanted, find
from tiffin.services.identity.authorization import DOMAIN, PROJECT, SYSTEM
from tiffin.services.identity.filters import MOST_ROWS, asked
from tiffin.services.identity.tables import Group, Project, Role, User

RULE = "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and domain_id:%(target.domain_id)s)"
AT_ONCE = 1 << 20
"""Bytes up to which a list is sent as a whole; a longer one is streamed as it is made."""
ROWS = 2000
"""Assignments that are made at a time."""

role_assignments = Resource(
    "role_assignment", "role_assignments", "/v3/role_assignments",
    rules=(("identity:list_role_assignments_for_tree", RULE),),
)  # fmt: skip


def _wanted(call: Call) -> Wanted:
    """Raises `BadRequest` for what cannot be meant, or would always be empty."""
    project, domain, system = (call.param(f"scope.{word}") for word in ("project.id", "domain.id", "system"))
    user, group, subtree = call.param("user.id"), call.param("group.id"), asked(call, "include_subtree")
    inherited = call.param("scope.OS-INHERIT:inherited_to")
    effective = asked(call, "effective")
    for one, other, names in (
        (domain, project, "a domain or project"), (domain, system, "system or domain"),
        (project, system, "system or project"), (user, group, "a user or group"),
    ):  # fmt: skip
        if one and other:
            raise BadRequest(f"Specify {names}, not both.")
    if effective and group:
        raise BadRequest("Combining effective and group filter will always result in an empty list.")
    if effective and inherited == "projects" and domain:
        raise BadRequest("Combining effective, domain and inherited filters will always result in an empty list.")
    if subtree and not project:
        raise BadRequest("scope.project.id must be specified if include_subtree is also specified.")
    scope = PROJECT if project else DOMAIN if domain else SYSTEM if system == "all" else None
    return Wanted(
        user=user or None, group=group or None, role=call.param("role.id") or None,
        scope=scope, scope_id=project or domain or None, subtree=subtree,
        inherited=None if inherited is None else inherited == "projects", effective=effective,
        domain=None if subtree else call.actor.domain_id, page=_page(call),
    )  # fmt: skip


def _page(call: Call) -> Page | None:
    """The page that is asked for. Upstream's list has none; the marker is what the link to the next one says."""
    most, marker = call.param("limit"), call.param("marker")
    if most is None:
        return None
    grant, _, row = (marker or ".0").partition(".")
    if not row.isdecimal() or len(row) > 18:
        raise BadRequest(f"marker [{marker}] not found")
    return Page(limit_of(most, MOST_ROWS) or 0, grant, int(row))


def about(call: Call) -> Target:
    """A token of a domain speaks for that domain, whose assignments alone are shown; a tree is that of its root."""
    if not asked(call, "include_subtree"):
        return Target(None, **({"target.domain_id": call.actor.domain_id} if call.actor.domain_id else {}))
    found = call.db.get(Project, call.param("scope.project.id", ""))
    target = Target(None, **({"target.domain_id": found.domain_id} if found is not None else {}))
    target.rule = "identity:list_role_assignments_for_tree"
    return target


@role_assignments.operation("GET", policy=("identity:list_role_assignments", RULE), about=about)
def index(call: Call) -> Answer:
    wanted = _wanted(call)
    if wanted.scope == PROJECT and (wanted.effective or wanted.subtree):
        _demand(call, "project", Project, wanted.scope_id)
    if wanted.effective:
        _demand(call, "user", User, wanted.user)
    blocks, behind = find(call.db, wanted)
    if asked(call, "include_names"):
        blocks = iter(every := list(blocks))
        writer = Writer(call.base_url, _names(call.db, every))
    else:
        writer = Writer(call.base_url, {})
    query = f"?{call.request.query_string}" if call.request.query_string else ""
    links = {
        "self": f"{call.base_url}/v3/role_assignments{query}",
        "previous": None,
        "next": next_href(call, behind) if behind is not None else None,
    }
    return Answer(_whole_or_stream(writer.text(blocks, links)))


def _demand(call: Call, kind: str, table: Any, id: str | None) -> None:
    """Raises `NotFound` for the id of something that is not there; upstream looks it up to see what is in effect."""
    if id is not None and call.db.scalar(select(table.id).where(table.id == id)) is None:
        raise targets.missing(kind, id)


def _whole_or_stream(chunks: Iterator[bytes]) -> Any:
    first: list[bytes] = []
    size = 0
    for chunk in chunks:
        first.append(chunk)
        size += len(chunk)
        if size > AT_ONCE:
            return itertools.chain(first, chunks)
    return b"".join(first)


# --- how it is shown ---------------------------------------------------------------------------------------------------

_json = msgspec.json.Encoder()


class _Texts(dict[str, str]):
    """The JSON of each thing by its id: `{"id": ...}`, with its name where that is known."""

    def __missing__(self, id: str) -> str:
        text = self[id] = _json.encode({"id": id}).decode()
        return text


class Writer:
    """Writes assignments as JSON. Most of each is what its block says; only the holder's part differs from row to row."""

    def __init__(self, base_url: str, names: dict[str, _Texts]) -> None:
        self.base = _json.encode(f"{base_url}/v3").decode()[1:-1]
        self.texts = {kind: names.get(kind, _Texts()) for kind in ("user", "group", "role", PROJECT, DOMAIN)}
        self._heads: dict[str, list[str]] = {}  # of the rows of each group's members

    def text(self, blocks: Iterator[Block], links: dict[str, Any]) -> Iterator[bytes]:
        """The whole body in pieces."""
        yield b'{"role_assignments":['
        comma = b""
        for block in blocks:
            for part in self._members(block) if block.group_id else self._holders(block):
                yield comma + part.encode()
                comma = b","
        yield b'],"links":' + _json.encode(links) + b"}"

    def _holders(self, block: Block) -> Iterator[str]:
        """The rows of those who were granted the role themselves."""
        texts, url = self.texts[block.kind], self._url(block)
        head, middle, tail = f'{{"{block.kind}":', f',"links":{{"assignment":"{url}/{block.kind}s/', self._tail(block)
        for part in _parts(block, block.holders):
            yield ",".join([f"{head}{texts[id]}{middle}{id}{tail}" for id in part])

    def _members(self, block: Block) -> Iterator[str]:
        """The rows of those who have the role through a group."""
        group, users = str(block.group_id), self.texts["user"]
        heads = self._heads.get(group)
        if heads is None:
            link = f'"links":{{"membership":"{self.base}/groups/{group}/users/'
            heads = self._heads[group] = [f'{{"user":{users[id]},{link}{id}",' for id in block.holders]
        tail = f'"assignment":"{self._url(block)}/groups/{group}{self._tail(block)}'
        for part in _parts(block, heads):
            yield f"{tail},".join(part) + tail

    def _url(self, block: Block) -> str:
        """Where the role was granted, up to whom."""
        scope, id = block.granted or block.place
        return f"{self.base}{'/OS-INHERIT' if block.inherited else ''}/{scope if id is None else f'{scope}s/{id}'}"

    def _tail(self, block: Block) -> str:
        """The rest of the assignment's URL, and of the row."""
        links = f"/roles/{block.prior_id or block.role_id}{'/inherited_to_projects' if block.inherited else ''}\""
        if block.prior_id:  # a path that leads nowhere, and these two the wrong way round: as upstream writes it
            links += f',"prior_role":"{self.base}/prior_role/{block.role_id}/implies/{block.prior_id}"'
        return f'{links}}},"role":{self.texts["role"][block.role_id]},"scope":{self._scope(block.place, block.inherited)}}}'

    def _scope(self, place: Place, inherited: bool) -> str:
        scope, id = place
        inner = '{"all":true}' if id is None else self.texts[scope][id]
        return f'{{"{scope}":{inner}{_INHERITED if inherited else ""}}}'


def _parts(block: Block, each: Sequence[str]) -> Iterator[Sequence[str]]:
    """What there is for each holder that is meant, some thousand at a time."""
    stop = len(each) if block.stop is None else block.stop
    return (each[at : min(at + ROWS, stop)] for at in range(block.start, stop, ROWS))


_INHERITED = ',"OS-INHERIT:inherited_to":"projects"'


def _names(session: Session, blocks: list[Block]) -> dict[str, _Texts]:
    """The names of everything that the blocks speak of, each with its domain; a domain has none."""
    ids: dict[str, set[str]] = {kind: set() for kind in ("user", "group", "role", PROJECT, DOMAIN, SYSTEM)}
    for block in blocks:
        ids[block.kind].update(block.holders[block.start : block.stop])
        ids["role"].add(block.role_id)
        ids[block.place.scope].add(block.place.id or "")
    tables: dict[str, Any] = {"user": User, "group": Group, "role": Role, PROJECT: Project, DOMAIN: Project}
    domains: dict[str, str] = dict(session.execute(select(Project.id, Project.name).where(Project.is_domain)).all())
    return {kind: _named(session, table, ids[kind], domains) for kind, table in tables.items()}


def _named(session: Session, table: Any, ids: set[str], domains: dict[str, str]) -> _Texts:
    texts = _Texts()
    for id, name, domain in session.execute(
        select(table.id, table.name, table.domain_id).where(table.id.in_(listed(ids)))
    ):
        body: dict[str, Any] = {"id": id, "name": name}
        if domain is not None:
            body["domain"] = {"id": domain, "name": domains.get(domain, "")}
        texts[id] = _json.encode(body).decode()
    return texts
