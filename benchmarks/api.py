"""A small client for the benchmarks: plain http.client on a kept-alive connection, logged in once."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMPUTE = "/compute/v2.1"
NETWORK = "/network/v2.0"
IMAGE = "/image/v2"
IDLE = 5.0  # seconds
NEWEST = {"OpenStack-API-Version": "compute latest"}


class Api:
    """One user's view. Raises `Unexpected` when the cloud answers with an error."""

    def __init__(self, address: str, clouds_yaml: Path, cloud: str) -> None:
        self.address = address
        self._connection = http.client.HTTPConnection(address, timeout=120)
        self._used = 0.0
        auth = _entry(clouds_yaml, cloud)
        self.login = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {
                            "name": auth["username"],
                            "password": auth["password"],
                            "domain": _domain(auth, "user"),
                        }
                    },
                },
                "scope": {"project": {"name": auth["project_name"], "domain": _domain(auth, "project")}},
            }
        }
        self.headers: dict[str, str] = {"Content-Type": "application/json"}
        _, headers, token = self.send("POST", "/identity/v3/auth/tokens", self.login)
        self.headers |= {"X-Auth-Token": headers["X-Subject-Token"], **NEWEST}
        self.project_id: str = token["token"]["project"]["id"]

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, http.client.HTTPMessage, Any]:
        if time.monotonic() - self._used > IDLE:
            self._connection.close()  # the server may be about to; the next request opens it again
        self._used = time.monotonic()
        self._connection.request(method, path, None if body is None else json.dumps(body), self.headers)
        answer = self._connection.getresponse()
        raw = answer.read()
        if answer.status >= 400:
            raise Unexpected(f"{method} {path}: {answer.status} {raw[:500].decode(errors='replace')}", answer.status)
        return answer.status, answer.headers, json.loads(raw) if raw else None

    def get(self, path: str) -> Any:
        return self.send("GET", path)[2]

    def post(self, path: str, body: Any) -> Any:
        return self.send("POST", path, body)[2]

    def delete(self, path: str) -> None:
        self.send("DELETE", path)

    def await_gone(self, path: str) -> None:
        _until(lambda: self._gone(path), f"{path} did not go away")

    def await_status(self, path: str, root: str, status: str, pause: float = 0.002) -> float:
        """Look until the thing is in `status`; gives the time of the look that saw it."""
        _until(lambda: self._in(self.get(path)[root], status), f"{path} did not become {status}", pause)
        return time.perf_counter()

    def _gone(self, path: str) -> bool:
        try:
            self.get(path)
        except Unexpected as error:
            return error.status == 404
        return False

    def _in(self, thing: dict[str, Any], status: str) -> bool:
        if thing["status"].lower() == "error":
            raise Unexpected(f"it ended in ERROR: {thing.get('fault')}", 0)
        return bool(thing["status"].lower() == status.lower())


class Unexpected(Exception):
    """The cloud did not do what a measurement needs."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def _until(true: Callable[[], bool], complaint: str, pause: float = 0.002, patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            raise Unexpected(complaint, 0)
        time.sleep(pause)


def _entry(clouds_yaml: Path, cloud: str) -> dict[str, str]:
    import yaml

    auth: dict[str, str] = yaml.safe_load(clouds_yaml.read_text())["clouds"][cloud]["auth"]
    return auth


def _domain(auth: dict[str, str], whose: str) -> dict[str, str]:
    if name := auth.get(f"{whose}_domain_name"):
        return {"name": name}
    return {"id": auth[f"{whose}_domain_id"]}
