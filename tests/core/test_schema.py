"""Bodies that have no fixed names: bounded dicts and lists of schemas."""

from __future__ import annotations

from typing import Annotated

import pytest
from msgspec import UNSET, Meta, UnsetType

from tiffin.core.errors import BadRequest
from tiffin.core.schema import Schema, decode, epochs, json_schema, since

Key = Annotated[str, Meta(pattern=r"^[a-z]+\Z", max_length=8)]


class Toy(Schema):
    size: Annotated[int, Meta(ge=0, le=9)]
    color: Annotated[Key | UnsetType, since(1, 2)] = UNSET


Toys = Annotated[dict[Key, Toy], Meta(min_length=1, max_length=2)]


def test_a_dict_of_schemas_has_their_epochs() -> None:
    assert epochs(Toys) == ((0, 0), (1, 2))
    assert decode(Toys, "", b'{"bear": {"size": 1, "color": "red"}}', (1, 2))["bear"].color == "red"
    assert decode(Toys, "toys", b'{"toys": {"bear": {"size": 1}}}', (1, 1))["bear"].size == 1
    assert json_schema(Toys, (1, 2))["maxProperties"] == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[]",
        b'{"BEAR": {"size": 1}}',
        b'{"bear": {"size": 10}}',
        b'{"bear": {"size": 1, "color": "red"}}',
        b'{"a": 1}',
    ],
)
def test_what_does_not_fit_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        decode(Toys, "", raw, (1, 1))


def test_a_list() -> None:
    assert decode(Annotated[list[Key], Meta(max_length=2)], "", b'["a"]', (1, 0)) == ["a"]
    with pytest.raises(BadRequest):
        decode(Annotated[list[Key], Meta(max_length=2)], "", b'["a", "b", "c"]', (1, 0))
