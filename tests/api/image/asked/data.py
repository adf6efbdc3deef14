"""The bytes of images."""

from __future__ import annotations

from api.image.personas import MEMBERS, PROJECTS, READERS, Row

OCTETS = {"Content-Type": "application/octet-stream"}

ROWS = [
    Row("PUT", "/v2/images/{private}/file", MEMBERS, see=READERS, body=b"bytes", headers=OCTETS),
    Row("PUT", "/v2/images/{public}/file", MEMBERS, see=PROJECTS, body=b"bytes", headers=OCTETS),
    Row("GET", "/v2/images/{active}/file", MEMBERS, see=READERS),
    Row("GET", "/v2/images/{published}/file", f"{MEMBERS} other", see=PROJECTS),
    Row("GET", "/v2/images/{deactivated}/file", "admin", see=READERS),
    Row("PUT", "/v2/images/{private}/stage", MEMBERS, see=READERS, body=b"bytes", headers=OCTETS),
    Row("PUT", "/v2/images/{public}/stage", MEMBERS, see=PROJECTS, body=b"bytes", headers=OCTETS),
    Row("POST", "/v2/images/{staged}/import", MEMBERS, see=READERS, body={"method": {"name": "glance-direct"}}, ok=202),
]
