"""The caches of the hosts, as the image service sees them: `ImageCaches` of its drivers/base.py."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import select

from tiffin.core.cloud import Cloud
from tiffin.core.driver import Impossible
from tiffin.services.compute.drivers.base import BaseImage, Hosts
from tiffin.services.compute.tables import Server
from tiffin.services.image.public import CachedCopy, boot_image


class HostCaches:
    def __init__(self, cloud: Cloud, which: Callable[[Hosts], list[str]] = lambda hosts: hosts.names()) -> None:
        """`which` hosts they are of."""
        self._cloud, self._which = cloud, which

    def nodes(self) -> list[str]:
        return self._which(self._cloud.part(Hosts))

    def own(self) -> HostCaches:
        return HostCaches(self._cloud, lambda hosts: hosts.own())

    def looked_after(self) -> HostCaches:
        return HostCaches(self._cloud, lambda hosts: hosts.looked_after())

    def cached(self, node: str) -> list[CachedCopy]:
        found = self._cloud.part(Hosts).hypervisor(node).cached_images()
        return [CachedCopy(one.id, one.size, one.hits, one.last_accessed, one.last_modified) for one in found]

    def ensure(self, node: str, image_id: str) -> None:
        with self._cloud.database.read() as session:
            image = boot_image(session, image_id)
        if image is None or image.status != "active":
            raise Impossible(f"Image {image_id} is not active any more.")
        try:
            base = msgspec.convert(image, BaseImage, from_attributes=True)
        except msgspec.ValidationError as no:
            raise Impossible(f"No host boots from the disk format {image.disk_format}.") from no
        self._cloud.part(Hosts).hypervisor(node).prefetch_image(base)

    def forget(self, node: str, image_id: str) -> bool:
        """Also the image of a server is in use whose disk is not there now: one that is rebuilt starts from its image anew,
        even when that was deleted."""
        with self._cloud.database.read() as session:
            servers = select(Server.id).where(Server.image_id == image_id, Server.deleted_at.is_(None))
            if session.scalar(servers.limit(1)) is not None:
                return False
        return self._cloud.part(Hosts).hypervisor(node).forget_image(image_id)

    def clean(self, node: str, stalled: float) -> int:
        return self._cloud.part(Hosts).hypervisor(node).clean_images(stalled)
