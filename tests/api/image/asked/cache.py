"""The caches of the hosts."""

from __future__ import annotations

from api.image.personas import PROJECTS, READERS, Row

ROWS = [
    Row("GET", "/v2/cache", "admin"),
    Row("DELETE", "/v2/cache", "admin"),
    Row("POST", "/v2/cache/clean", "admin", ok=200),
    Row("POST", "/v2/cache/prune", "admin", ok=200),
    Row("PUT", "/v2/cache/{published}", "admin", see=PROJECTS, ok=202),
    Row("PUT", "/v2/cache/{active}", "admin", see=READERS, ok=202),
    Row("DELETE", "/v2/cache/{published}", "admin", see=PROJECTS),
    Row("DELETE", "/v2/cache/{active}", "admin", see=READERS),
    Row("GET", "/v2/cache/nodes/{published}", "admin", see=PROJECTS),
    Row("GET", "/v2/cache/nodes/{active}", "admin", see=READERS),
]
