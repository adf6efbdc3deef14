"""The few requests that the command line itself makes, by plain HTTP."""

from __future__ import annotations

import http.client
from typing import Any

import msgspec

from tiffin.cli.cloud import Cloud
from tiffin.cli.errors import CliError
from tiffin.core.state_folder import auth_variables

TIMEOUT = 10.0  # seconds


class Unreachable(Exception):
    """Nobody answers where the cloud should be."""


def request(
    cloud: Cloud, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
) -> tuple[int, dict[str, str], Any]:
    """One request: status, headers (lower case), decoded JSON (None when the body is none). Raises `Unreachable`."""
    where = cloud.settings.url.removeprefix("http://")
    connection = http.client.HTTPConnection(where, timeout=TIMEOUT)
    try:
        sent = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, None if body is None else msgspec.json.encode(body), sent)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{cloud.settings.url} does not answer ({error})") from error
    finally:
        connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, _json(content)


def health(cloud: Cloud, detail: bool = False) -> tuple[int, dict[str, Any]]:
    """The status code and body of /healthz. Raises `Unreachable` when no Tiffin answers there."""
    status, _, body = request(cloud, "GET", "/healthz?detail=1" if detail else "/healthz")
    if status not in (200, 503) or not isinstance(body, dict) or "status" not in body:
        raise Unreachable(f"what answers at {cloud.settings.url} is not Tiffin")
    return status, body


class Session:
    """Requests as admin, with a token that is fetched once."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        who = auth_variables(cloud.settings, cloud.folder.secrets(), "admin")
        domain = {"id": "default"}
        user = {"name": who["OS_USERNAME"], "domain": domain, "password": who["OS_PASSWORD"]}
        scope = {"project": {"name": who["OS_PROJECT_NAME"], "domain": domain}}
        login = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        status, headers, _ = self._request("POST", "/identity/v3/auth/tokens", {}, login)
        if status != 201:
            raise CliError(f"the cloud refuses its own admin (HTTP {status}); was its password changed?")
        self._headers = {"X-Auth-Token": headers["x-subject-token"]}

    def get(self, path: str, version: str | None = None) -> Any:
        """The decoded body, None for 404. `version` is a compute microversion. Raises `CliError` for other answers."""
        extra = {"OpenStack-API-Version": f"compute {version}"} if version else {}
        status, _, body = self._request("GET", path, {**self._headers, **extra}, None)
        if status == 404:
            return None
        if status != 200:
            raise CliError(f"GET {path} gives HTTP {status}; see `./tiffin logs`.")
        return body

    def _request(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, dict[str, str], Any]:
        try:
            return request(self._cloud, method, path, headers, body)
        except Unreachable as error:
            raise CliError(f"{error}; start the cloud by `./tiffin up`.") from error


def _json(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content) if content else None
    except msgspec.DecodeError:
        return None
