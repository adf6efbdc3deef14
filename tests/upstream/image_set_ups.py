"""Clouds on which Tempest's tests of images pass: each proves what the other's settings leave out.

Both have two stores to write to, one that reads from the web, and all import methods. `STRICT` reads what clients say is at an
address and takes only bytes that are what they claim to be; `LENIENT` does neither, and converts what is imported.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from openstack.connection import Connection

from web_servers import WebServer, pages, serving

IMAGE = r"^tempest\.api\.image\."
ALL_TESTS = 102
"""That Tempest 47 has of images, when it has no images of its own to try (`images_manifest_file`)."""
OTHER_ENDPOINT = "image-remote"
"""A second service of the catalogue, with the address of the first: for tests that ask another worker."""

NOWHERE = (
    r"ImageTaskCreate\.test_image_tasks_create",  # switched off in Tempest itself: bug 2030527
    r"ImageDependencyTests\.test_image_volume_server_snapshot_dependency",  # needs the volume service
    r"ImageCachingTest\.test_remote_and_self_cache",  # needs a cache for each endpoint; ours are the hosts'
)
"""What no set-up can prove."""

ONLY_LENIENT = (
    r"ListUserImagesTest\.",  # puts random bytes into images of every format
    r"ImagesFormatTest\.",  # puts images where hosts have to refuse them
    r"test_add_location_with_do_secure_hash_false",
    r"test_image_web_download_import",  # once more, with a conversion
)

FORMATS = ("raw", "qcow2")
"""Of the images that `ImagesFormatTest` tries: each of its tests runs once with each."""

SETTINGS = """
[image.stores.archive]
kind = "file"
folder = "{folder}"
weight = 10

[image.stores.file]
kind = "file"
default = true

[image.stores.web]
kind = "http"

[image.web]
allowed_hosts = ["127.0.0.1"]
allowed_ports = [{port}]

[image.imports]
enabled_import_methods = ["glance-direct", "web-download", "copy-image", "glance-download"]
{imports}
[image.imports.locations]
show_multiple_locations = true
show_image_direct_url = true
{locations}
"""


@dataclass(frozen=True)
class SetUp:
    """What is set in the cloud, what Tempest is told of it, and which of its tests are for it."""

    image: str
    imports: str
    locations: str
    features: dict[str, str]
    regex: str

    def settings(self, folder: Path, server: WebServer) -> str:
        """The tables of tiffin.toml."""
        return (
            SETTINGS.format(folder=folder, port=server.port, imports=self.imports, locations=self.locations)
            + self.image
        )

    def sections(self, folder: Path, server: WebServer) -> dict[str, dict[str, str]]:
        """The sections of tempest.conf."""
        return {
            "image": {
                "http_image": f"{server.url}/raw",
                "http_qcow2_image": f"{server.url}/qcow2",
                "images_manifest_file": str(folder / "manifest.yaml"),
                "image_caching_enabled": "true",
                "alternate_image_endpoint": OTHER_ENDPOINT,
                "build_timeout": "60",
                "disk_formats": "raw,qcow2,vhd,vhdx,vmdk,vdi,iso",  # the first is that of `http_image`
            },
            "image-feature-enabled": {
                "manage_locations": "true",
                "http_store_enabled": "true",
                "store_weight_enabled": "true",
                **self.features,
            },
            "volume-feature-enabled": {"enable_volume_image_dep_tests": "true"},
        }


def _without(*names: str) -> str:
    return rf"{IMAGE}(?!.*({'|'.join(names)}))"


STRICT = SetUp("", "", "", {}, _without(*NOWHERE, *ONLY_LENIENT[:3]))
LENIENT = SetUp(
    image="\n[image.image_format]\nrequire_image_format_match = false\n",
    imports='image_import_plugins = ["image_conversion"]\n',
    locations="do_secure_hash = false\n",
    features={"do_secure_hash": "false", "image_conversion": "true", "image_format_enforcement": "false"},
    regex=rf"{IMAGE}.*({'|'.join(ONLY_LENIENT)})",
)


@contextlib.contextmanager
def images(folder: Path) -> Iterator[WebServer]:
    """A web server with an image of each format, and a manifest of the same in `folder`."""
    files = {name: folder / f"disk.{name}" for name in FORMATS}
    for name, file in files.items():
        subprocess.run(["qemu-img", "create", "-q", "-f", name, str(file), "2M"], check=True)
    entries = (f"- {{name: {name}, format: {name}, filename: {f.name}, usable: true}}\n" for name, f in files.items())
    (folder / "manifest.yaml").write_text("images:\n" + "".join(entries))
    with serving(pages(**{name: file.read_bytes() for name, file in files.items()})) as server:
        yield server


def add_other_endpoint(cloud: Connection) -> None:
    """`cloud` is logged in as the admin."""
    service = cloud.identity.create_service(name="glance_remote", type=OTHER_ENDPOINT)
    url = re.sub(r"/v2/?$", "", cloud.image.get_endpoint())
    cloud.identity.create_endpoint(
        service_id=service.id, interface="public", url=url, region_id=cloud.config.region_name
    )
