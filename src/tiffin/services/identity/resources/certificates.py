"""Certificates of PKI tokens (OS-SIMPLE-CERT): gone with them, as upstream answers to everybody."""

from __future__ import annotations

from tiffin.core.call import Call
from tiffin.core.errors import Gone
from tiffin.core.resource import Resource

certificates = Resource("certificate", "certificates", "/v3/OS-SIMPLE-CERT")


@certificates.operation("GET", "/ca", policy=None, auth=False)
@certificates.operation("GET", "/certificates", policy=None, auth=False)
def gone(call: Call) -> None:
    raise Gone("There are no PKI tokens any more, and thus no certificates of them.")
