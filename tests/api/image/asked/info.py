"""What the service tells about itself."""

from __future__ import annotations

from api.image.personas import ANY, Row

EVERYBODY = f"{ANY} anonymous"

ROWS = [
    Row("GET", "/", EVERYBODY, ok=300),
    Row("GET", "/versions", EVERYBODY),
    Row("GET", "/v2", EVERYBODY, ok=300),
    *(Row("GET", f"/v2/schemas/{name}", ANY) for name in ("image", "images", "member", "members")),
    Row("GET", "/v2/info/import", ANY),
    Row("GET", "/v2/info/stores", ANY),
    Row("GET", "/v2/info/stores/detail", "admin service"),
    Row("GET", "/v2/info/usage", ANY),
]
