"""Allocation candidates: which providers could serve a request now."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import UNSET, UnsetType
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.listing import limit_of
from tiffin.core.resource import Resource
from tiffin.core.schema import NEVER, Schema, Version, since
from tiffin.services.placement import names, query
from tiffin.services.placement.dialect import Downgrade, downgraded, fresh
from tiffin.services.placement.picture import forest, trees
from tiffin.services.placement.providers import ANY
from tiffin.services.placement.searching import Candidate, Group, Provider, Wish, search

MOST_CANDIDATES = 10_000
SUFFIXED = ("resources", "required", "member_of", "in_tree")
PARAMETERS: dict[str, Version] = {
    "resources": (1, 10),
    "limit": (1, 16),
    "required": (1, 17),
    "member_of": (1, 21),
    "group_policy": (1, 25),
    "in_tree": (1, 31),
    "root_required": (1, 35),
    "same_subtree": (1, 36),
}
REPEATED: dict[str, Version] = {
    "member_of": query.REPEATED_MEMBER_OF_SINCE,
    "required": query.ANY_TRAITS_SINCE,
    "same_subtree": (1, 36),
}
SUFFIXES: tuple[tuple[Version, str], ...] = ((1, 33), r"[a-zA-Z0-9_-]{1,64}"), ((1, 25), r"[1-9][0-9]{0,63}")
GROUPS_SINCE: Version = (1, 25)
NESTED_SINCE: Version = (1, 29)


class RequestOut(Schema):
    allocations: Any
    mappings: Annotated[dict[str, list[str]] | UnsetType, since(1, 34)] = UNSET


class SummaryOut(Schema):
    resources: dict[str, dict[str, int]]
    traits: Annotated[list[str] | UnsetType, since(1, 17)] = UNSET
    parent_provider_uuid: Annotated[str | UnsetType | None, since(1, 29)] = UNSET
    root_provider_uuid: Annotated[str | UnsetType, since(1, 29)] = UNSET


class CandidatesOut(Schema):
    allocation_requests: list[RequestOut]
    provider_summaries: dict[str, SummaryOut]


allocation_candidates = Resource("allocation_candidate", "allocation_candidates", "/allocation_candidates")


@allocation_candidates.operation("GET", policy=("placement:allocation_candidates:list", ANY), since=(1, 10))
def index(call: Call) -> CandidatesOut:
    wish = asked(call)
    most = limit(call)
    _check_names(call.db, wish)
    classes = {name for group in wish.groups for name in group.resources}
    traits = wish.root.names.union(*(group.traits.names for group in wish.groups))
    providers = forest(call.db, classes, traits)
    found = search(providers, wish)
    if call.version < NESTED_SINCE:
        found = (one for one in found if _one_of_each_tree(one, providers.providers))
    chosen = list(itertools.islice(found, most))
    roots = {providers.providers[id].root_id for one in chosen for ids in one.mappings.values() for id in ids}
    view = CandidatesOut(
        allocation_requests=[_request(one) for one in chosen],
        provider_summaries={one.id: _summary(one) for one in trees(call.db, roots)},
    )
    fresh(call)
    return downgraded(view, call.version, _downgrades(classes))


def limit(call: Call) -> int:
    value = call.param("limit")
    most = limit_of(value, MOST_CANDIDATES) or 0
    if most < 1:
        raise query.bad(f"limit is a whole number from 1 on, not {value!r}.")
    return most


# --- the question -------------------------------------------------------------------------------------------------------


def asked(call: Call) -> Wish:
    """What the query string asks for."""
    by_suffix = _by_suffix(call)
    version = call.version
    groups = tuple(_group(suffix, by_suffix[suffix], version) for suffix in sorted(by_suffix))
    policy = call.param("group_policy")
    if policy not in (None, "none", "isolate"):
        raise query.bad(f"group_policy is none or isolate, not {policy[:40]!r}.")
    subtrees = _subtrees(call, set(by_suffix))
    for group in groups:
        if not group.resources and not any(group.suffix in one for one in subtrees):
            raise query.bad(f"resources{group.suffix} is required: all request groups name resources.")
    if not any(group.resources for group in groups):
        raise query.bad("at least one group must name resources.")
    if policy is None and sum(1 for group in groups if group.suffix and group.resources) > 1:
        raise BadRequest(
            "group_policy is required where more than one group with a suffix names resources.",
            code=query.MISSING_VALUE,
        )
    root = query.traits("root_required", call.query.get("root_required", ()), version)
    if any(len(one) > 1 for one in root.required):
        raise query.bad("root_required knows no in: expressions.")
    return Wish(groups, policy == "isolate", root, subtrees)


def _by_suffix(call: Call) -> dict[str, dict[str, list[str]]]:
    """The values of each group by parameter, once every key is known to be one of this version."""
    pattern = next((p for first, p in SUFFIXES if call.version >= first), r"(?!)")
    known, repeated = dict(PARAMETERS), dict(REPEATED)
    found: dict[str, dict[str, list[str]]] = {}
    for key, values in call.query.items():
        match = re.fullmatch(rf"({'|'.join(SUFFIXED)})({pattern})?", key)
        if match is None:
            continue
        name, suffix = match[1], match[2] or ""
        known[key] = max(PARAMETERS[name], GROUPS_SINCE) if suffix else PARAMETERS[name]
        repeated[key] = REPEATED.get(name, NEVER)
        found.setdefault(suffix, {})[name] = values
    query.check_keys(call, known, repeated)
    return found


def _group(suffix: str, values: dict[str, list[str]], version: Version) -> Group:
    resources = values.get("resources")
    tree = values.get("in_tree")
    return Group(
        suffix,
        query.resources("resources" + suffix, resources[-1]) if resources else {},
        query.traits("required" + suffix, values.get("required", ()), version),
        query.member_of("member_of" + suffix, values.get("member_of", ()), version),
        query.uuid("in_tree" + suffix, tree[-1]) if tree else None,
    )


def _subtrees(call: Call, known: set[str]) -> tuple[frozenset[str], ...]:
    found = []
    for value in call.query.get("same_subtree", ()):
        suffixes = frozenset(value.split(","))
        if "" in suffixes or not suffixes <= known:
            raise query.bad("same_subtree names suffixes of groups in this request.")
        found.append(suffixes)
    return tuple(found)


def _check_names(session: Session, wish: Wish) -> None:
    names.check(session, "resource_class", {name for group in wish.groups for name in group.resources})
    names.check(session, "trait", wish.root.names.union(*(group.traits.names for group in wish.groups)))


# --- the answer ---------------------------------------------------------------------------------------------------------


def _one_of_each_tree(candidate: Candidate, providers: dict[str, Provider]) -> bool:
    roots = [providers[id].root_id for id in candidate.allocation]
    return len(set(roots)) == len(roots)


def _request(candidate: Candidate) -> RequestOut:
    allocations = {id: {"resources": resources} for id, resources in candidate.allocation.items()}
    return RequestOut(allocations=allocations, mappings=candidate.mappings)


def _summary(provider: Provider) -> SummaryOut:
    return SummaryOut(
        resources={name: {"capacity": r.capacity, "used": r.used} for name, r in provider.rooms.items()},
        traits=sorted(provider.traits),
        parent_provider_uuid=provider.parent_id,
        root_provider_uuid=provider.root_id,
    )


def _downgrades(classes: set[str]) -> tuple[Downgrade, ...]:
    return ((NESTED_SINCE, _only_used), ((1, 27), _only_asked(classes)), ((1, 12), _listed))


def _only_used(view: CandidatesOut) -> None:
    """Providers from which nothing would come were not shown."""
    used = {id for one in view.allocation_requests for id in one.allocations}
    view.provider_summaries = {id: one for id, one in view.provider_summaries.items() if id in used}


def _only_asked(classes: set[str]) -> Callable[[CandidatesOut], None]:
    def change(view: CandidatesOut) -> None:
        for one in view.provider_summaries.values():
            one.resources = {name: room for name, room in one.resources.items() if name in classes}

    return change


def _listed(view: CandidatesOut) -> None:
    for one in view.allocation_requests:
        one.allocations = [{"resource_provider": {"uuid": id}, **held} for id, held in one.allocations.items()]
