"""Roles."""

from __future__ import annotations

from api.identity.personas import ADMINS, READERS, Row

ROWS = [
    Row("POST", "/v3/roles", ADMINS, {"role": {"name": "{name}"}}),
    Row("GET", "/v3/roles", f"{READERS} domain_manager"),
    Row("GET", "/v3/roles/{role}", f"{READERS} domain_manager"),
    Row("PATCH", "/v3/roles/{role}", ADMINS, {"role": {"description": "x"}}),
    Row("DELETE", "/v3/roles/{role}", ADMINS),
]
