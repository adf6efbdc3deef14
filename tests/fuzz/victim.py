"""A whole simulated cloud in this process, with something of everything in it, and who attacks it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from databases import empty_url
from fuzz.requests import Request
from stored import stored
from tiffin import bootstrap
from tiffin.core.errors import Unauthorized
from tiffin.core.http.app import make
from tiffin.core.http.local import LocalClient, Reply
from tiffin.core.settings import Settings
from tiffin.core.state_folder import StateFolder
from tiffin.main import compose
from tiffin.services.identity.public import Identity, IdentitySettings, Keys

ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
KEPT = 200  # ids that the attacker knows at a time


class Attacker(LocalClient):
    """Sends requests byte by byte as they are, and remembers the ids that answers tell."""

    def __init__(self, home: Path) -> None:
        settings = Settings(home=home, simulated=True, database=empty_url())
        folder = StateFolder(home)
        folder.create()
        self.composition = compose(settings)
        self._make_identity()
        app: Callable[..., Any] = make(self.composition.cloud, lambda detail: (200, {"status": "ok"}))
        super().__init__(app, "127.0.0.1:8000")
        bootstrap.identity(self.composition, lambda step: None)
        bootstrap.definitions(self.composition, lambda step: None)
        bootstrap.first_start(self.composition, app, lambda step: None)
        secrets = folder.secrets()
        self.tokens = {
            "admin": self._login("admin", secrets.admin_password),
            "demo": self._login("demo", secrets.demo_password),
        }
        self.ids: list[str] = []
        self._make_something_of_everything()
        self.stored = stored(self.composition.cloud.database)
        self.stored.keep()

    def close(self) -> None:
        self.stored.close()
        self.composition.cloud.database.close()

    def _make_identity(self) -> None:
        """With an empty memory, and quick hashes: a quarter of a second for each would be most of the time of all."""
        cloud = self.composition.cloud
        assert isinstance(cloud.secrets, Keys)
        identity = Identity(cloud.secrets, cloud.world, IdentitySettings(password_rounds=4))
        cloud.add(Identity, identity)
        cloud.authenticate = identity.authenticate

    def settle(self) -> None:
        """Let lifecycles run. Who has made away with an attacker's user or project starts anew: with tokens that are
        good for nothing the rest would be one 401 after the other."""
        self.composition.engine.run_until_idle()
        cloud = self.composition.cloud
        try:
            with cloud.database.read() as session:
                for token in self.tokens.values():
                    cloud.authenticate(session, token)
        except Unauthorized:
            self.stored.restore()
            self._make_identity()

    def send(self, request: Request) -> Reply:
        url = self._filled(request.path) + ("?" + self._filled(request.query) if request.query else "")
        body = None if request.body is None else self._filled(request.body.decode("latin-1")).encode("latin-1")
        headers = {name: self.tokens.get(value, value) for name, value in request.headers.items()}
        reply = self.request(request.method, url, headers=headers, body=body)
        if reply.status < 300:
            new = {id.decode() for id in ID.findall(reply.body)} - set(self.ids)
            self.ids = (self.ids + sorted(new))[-KEPT:]
        return reply

    def _filled(self, text: str) -> str:
        """With a real id in the place of each `@id:N`."""
        return re.sub(r"@id:(\d+)", lambda match: self.ids[int(match[1]) % len(self.ids)], text)

    def _environ(self, method: str, path: str, *rest: Any) -> dict[str, Any]:
        environ = super()._environ(method, "/", *rest)
        return environ | {"PATH_INFO": path.encode(errors="surrogateescape").decode("latin-1")}

    def _login(self, name: str, password: str) -> str:
        user = {"name": name, "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": name, "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": scope}}
        return self.request("POST", "/identity/v3/auth/tokens", json=body).headers["x-subject-token"]

    def _do(self, method: str, url: str, body: Any = None, root: str = "", who: str = "demo") -> dict[str, Any]:
        """A request that must work; gives what is under `root`, which also is the root of the body."""
        headers = {"X-Auth-Token": self.tokens[who], "OpenStack-API-Version": "compute 2.100"}
        reply = self.request(method, url, headers=headers, json={root: body} if root and body is not None else body)
        assert reply.status < 300, (method, url, reply)
        self.ids += [id.decode() for id in ID.findall(reply.body)]
        answer: dict[str, Any] = reply.json or {}
        return answer[root] if root else answer

    def _make_something_of_everything(self) -> None:
        compute, network = "/compute/v2.1", "/network/v2.0"
        public = self._do("GET", f"{network}/networks?name=public")["networks"][0]["id"]
        image = self._do("GET", "/image/v2/images")["images"][0]["id"]
        net = self._do("POST", f"{network}/networks", {"name": "n"}, "network")["id"]
        subnet = {"network_id": net, "ip_version": 4, "cidr": "10.1.0.0/24"}
        subnet_id = self._do("POST", f"{network}/subnets", subnet, "subnet")["id"]
        gateway = {"external_gateway_info": {"network_id": public}}
        router = self._do("POST", f"{network}/routers", {"name": "r", **gateway}, "router")["id"]
        self._do("PUT", f"{network}/routers/{router}/add_router_interface", {"subnet_id": subnet_id})
        group = self._do("POST", f"{network}/security-groups", {"name": "g"}, "security_group")["id"]
        rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
        self._do("POST", f"{network}/security-group-rules", rule, "security_group_rule")
        port = self._do("POST", f"{network}/ports", {"network_id": net}, "port")["id"]
        self._do("POST", f"{network}/floatingips", {"floating_network_id": public, "port_id": port}, "floatingip")
        self._do("POST", f"{compute}/os-keypairs", {"name": "k", "public_key": PUBLIC_KEY}, "keypair")
        server = {"name": "s", "imageRef": image, "flavorRef": "1", "networks": [{"uuid": net}]}
        self._do("POST", f"{compute}/servers", server, "server")
        self._do("POST", "/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"})
        part = [{"name": image}]  # names are what is known of them, so that they are like ids here
        parts = {"objects": part, "tags": part, "resource_type_associations": part}
        self._do("POST", "/image/v2/metadefs/namespaces", {"namespace": image, "visibility": "public", **parts}, who="admin")
        self._do("GET", "/placement/resource_providers", who="admin")
        self._do("GET", "/identity/v3/users", who="admin")
        self._do("GET", "/identity/v3/projects", who="admin")
        self.settle()
