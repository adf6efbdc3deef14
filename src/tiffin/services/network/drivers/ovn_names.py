"""Where the parts of one cloud's network are: files, namespaces and interfaces, all derived from its folder and tag."""

from __future__ import annotations

import re
from pathlib import Path

_TAG = re.compile(r"tf-[0-9a-f]{1,8}")
PHYSICAL_NETWORK = "public"
INTEGRATION_BRIDGE = "br-int"
EXTERNAL_BRIDGE = "br-ex"
UNDERLAY_BRIDGE = "br-phy"


class Names:
    """The names of the cloud `tag` (`tf-` and up to eight hexadecimal digits) whose chassis is called `host`."""

    def __init__(self, root: Path, tag: str, host: str) -> None:
        if not _TAG.fullmatch(tag):
            raise ValueError(f"the tag of a cloud is tf- and one to eight hexadecimal digits, not {tag!r}")
        self.root, self.tag, self.host = root, tag, host
        self.central = root / "central"
        self.chassis = root / "chassis"
        self.nb = self.central / "nb.sock"
        self.sb = self.central / "sb.sock"
        self.switch_db = self.chassis / "db.sock"
        self.prefix = f"{tag}-"
        self.netns = f"{tag}-hv"
        self.outside = f"{tag}-ext"
        self.host_interface = f"{tag}-h"  # at most 13 characters; the kernel takes 15

    def metadata_netns(self, network_id: str) -> str:
        return f"{self.metadata_prefix}{network_id}"

    @property
    def metadata_prefix(self) -> str:
        return f"{self.prefix}md-"


def tap(port_id: str) -> str:
    """The interface of a guest's port in the chassis' namespace."""
    return f"tap{port_id[:11]}"


def metadata_interface(network_id: str) -> str:
    """The chassis' end of the wire to the metadata namespace of a network."""
    return f"md{network_id[:12]}"
