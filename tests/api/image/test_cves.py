"""What became a CVE of OpenStack's handling of images, each as a small hostile file, and formats that lie about themselves.

Every file is refused on upload, on import and by what converts, and by the host that would boot from it.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import uuid

import msgspec
import pytest

from api.image.refusals import not_imported, refused_on_upload
from tiffin.core.driver import Impossible
from tiffin.core.errors import BadRequest
from tiffin.services.compute.drivers.base import BaseImage
from tiffin.services.compute.drivers.image_inspection import verified
from tiffin.services.image.public import bootable

from .conftest import ImageCloud
from .test_hostile import BAD, descriptor, disk, iso, qcow2, vdi, vhd, vmdk

MIB = 1 << 20
KIB = 1 << 10
VDS = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
PARENT = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"


def guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


def vhdx(size: int = MIB, *items: str, metadata: bool = True) -> bytes:
    """A VHDX file ([MS-VHDX]) of its region table and metadata; `items`: further ones by their GUIDs."""
    regions = (
        [guid("8b7ca206-4790-4b9a-b8fe-575f050f886e") + struct.pack("<QII", 256 * KIB, MIB, 1)] if metadata else []
    )
    table = struct.pack("<IIII", 0x69676572, 0, len(regions), 0) + b"".join(regions)
    entries = [guid(VDS) + struct.pack("<IIII", 64 * KIB, 8, 6, 0)]
    entries += [guid(item) + struct.pack("<IIII", 65 * KIB, 8, 6, 0) for item in items]
    found = struct.pack("<8sHH20x", b"metadata", 0, len(entries)) + b"".join(entries)
    head = b"vhdxfile".ljust(192 * KIB, b"\0") + table.ljust(64 * KIB, b"\0")
    return (head + found.ljust(64 * KIB, b"\0") + struct.pack("<Q", size)).ljust(400 * KIB, b"\0")


def at(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def with_extension(kind: int, text: bytes, features: int = 0) -> bytes:
    """A qcow2 file with a header extension, such as the name of its data file."""
    return at(
        qcow2(features=features), 104, struct.pack(">II", kind, len(text)) + text.ljust(-(-len(text) // 8) * 8, b"\0")
    )


EXTENT = 'RW 2048 FLAT "/etc/shadow" 0'
STREAM = descriptor("streamOptimized", 'RW 2048 SPARSE "disk.vmdk"')
DATA_FILE = b"json:" + b'{"driver":"file","filename":"/etc/passwd"}'
PARTS = {"luks": b"LUKS\xba\xbe\x00\x02".ljust(4096, b"\0"), "vhdx": vhdx()}

MORE = {
    "backing-by-json": ("qcow2", qcow2(backing=b'json:{"driver":"file","filename":"/etc/shadow"}'), "backing"),
    "backing-by-url": ("qcow2", qcow2(backing=b"nbd://127.0.0.1:10809/secret"), "backing"),
    "backing-in-a-short-file": ("qcow2", qcow2(backing=b"/etc/passwd")[:600], "backing"),
    "backing-in-a-raw-file-too-short-to-tell": ("raw", qcow2(backing=b"/etc/passwd")[:300], "begins as qcow2"),
    "data-file-by-json": ("qcow2", with_extension(0x44415441, DATA_FILE, features=4), "data_file"),
    "data-file-in-a-raw-file": ("raw", with_extension(0x44415441, DATA_FILE, features=4), "qcow2"),
    "a-petabyte": ("qcow2", qcow2(size=1 << 50), "unfolds"),
    "a-petabyte-of-vhd": ("vhd", vhd(1 << 50), "unfolds"),
    "a-petabyte-of-vdi": ("vdi", vdi(1 << 50), "unfolds"),
    "a-petabyte-of-vhdx": ("vhdx", vhdx(1 << 50), "unfolds"),
    "as-large-as-a-number": ("qcow2", qcow2(size=(1 << 64) - 1), "unfolds"),
    "vmdk-twoGbMaxExtentFlat": ("vmdk", vmdk(descriptor("twoGbMaxExtentFlat", EXTENT)), "vmdk"),
    "vmdk-custom": ("vmdk", vmdk(descriptor("custom", EXTENT)), "vmdk"),
    "vmdk-without-a-kind": ("vmdk", vmdk(descriptor("", EXTENT)), "vmdk"),
    "vmdk-extent-up-the-tree": ("vmdk", vmdk(descriptor("monolithicSparse", 'RW 9 FLAT "../../secret"')), "vmdk"),
    "vmdk-extent-in-odd-case": ("vmdk", vmdk(descriptor("MONOLITHICFLAT", EXTENT)), "vmdk"),
    "vmdk-of-no-size": ("vmdk", vmdk(STREAM, sectors=0), "virtual size"),
    "vmdk-with-a-line-nobody-knows": ("vmdk", vmdk(STREAM + "\nbacking /etc/passwd\n"), "vmdk"),
    "vmdk-descriptor-elsewhere": ("vmdk", at(vmdk(STREAM), 28, struct.pack("<Q", 9)), "raw"),
    "vmdk-with-a-footer": ("vmdk", at(vmdk(STREAM), 56, b"\xff" * 8), "vmdk"),
    "bare-descriptor-as-raw": ("raw", descriptor("monolithicFlat", EXTENT).encode().ljust(4096, b"\n"), "vmdk"),
    "bare-descriptor-with-odd-bytes-as-raw": (
        *("raw", b"# Disk DescriptorFile \xff\n" + descriptor("monolithicFlat", EXTENT).encode()),
        "begins as vmdk",
    ),
    "vmdk-3-as-raw": ("raw", b"COWD".ljust(4096, b"\0"), "begins as vmdk"),
    "vhd-of-a-parent": ("vhd", at(vhd(MIB), 60, struct.pack(">I", 4)), "another disk"),
    "vdi-of-a-parent": ("vdi", at(vdi(MIB), 76, struct.pack("<I", 4)), "another disk"),
    "vdi-with-a-link": ("vdi", at(vdi(MIB), 0x1A8, b"\1" * 16), "another disk"),
    "vhdx-of-a-parent": ("vhdx", vhdx(MIB, PARENT), "another disk"),
    "vhdx-without-metadata": ("vhdx", vhdx(metadata=False), "virtual size"),
    "vhdx-cut-off": ("vhdx", vhdx()[: 300 * KIB], "vhdx"),
    "vhdx-of-endless-regions": ("vhdx", at(vhdx(), 192 * KIB + 8, b"\xff\xff\xff\xff"), "raw"),
    "vhdx-of-a-lie": ("vhdx", b"vhdxfile", "vhdx"),
    "vhdx-as-raw": ("raw", vhdx(), "vhdx"),
    "vhdx-too-short-as-raw": ("raw", b"vhdxfile", "vhdx"),
    "vdi-cut-off": ("vdi", vdi(MIB)[:400], "raw"),
    "vhd-cut-off": ("vhd", vhd(MIB)[:44], "vhd"),
    "luks-too-short-as-raw": ("raw", PARTS["luks"][:500], "luks"),
    "luks-2-as-raw": ("raw", PARTS["luks"], "luks"),
    "bochs-as-raw": ("raw", b"Bochs Virtual HD Image".ljust(4096, b"\0"), "begins as bochs"),
    "cloop-as-raw": ("raw", b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop".ljust(4096, b"\0"), "begins as cloop"),
    "ploop-as-raw": ("raw", b"WithoutFreeSpace".ljust(4096, b"\0"), "begins as ploop"),
    "qcow2-as-iso": ("iso", qcow2(), "qcow2"),
    "qcow2-as-aki": ("aki", qcow2(), "qcow2"),
    "qcow2-as-ari": ("ari", qcow2(backing=b"/etc/passwd"), "qcow2"),
    "vhdx-and-iso": ("vhdx", at(vhdx(), 32 * KIB, iso()[32 * KIB : 36 * KIB]), "iso"),
    "vdi-and-iso": ("vdi", vdi(MIB).ljust(32 * KIB, b"\0") + iso()[32 * KIB :], "iso"),
    "vmdk-and-iso": ("vmdk", at(vmdk(STREAM), 32 * KIB, iso()[32 * KIB : 36 * KIB]), "iso"),
    "iso-and-vmdk": ("iso", vmdk(STREAM)[: 32 * KIB] + iso()[32 * KIB :], "vmdk"),
    "iso-and-vdi": ("iso", vdi(MIB).ljust(32 * KIB, b"\0") + iso()[32 * KIB :], "vdi"),
    "iso-and-vhdx": ("iso", at(vhdx(), 32 * KIB, iso()[32 * KIB : 36 * KIB]), "vhdx"),
    "partitions-and-vdi": ("raw", at(disk(), 64, vdi(MIB)[64:72]), "vdi"),
    "vdi-and-partitions": ("vdi", at(vdi(MIB), 446, disk()[446:512]), "gpt"),
    "qcow2-and-vdi": ("qcow2", at(qcow2(version=2), 64, vdi(MIB)[64:72]), "vdi"),
}

CVES = {
    # a backing file, or a path within an archive
    "CVE-2011-3147": ("backing-file", "backing-file-version-2", "backing-by-json", "backing-by-url"),
    "CVE-2015-5163": ("backing-file", "hostile-qcow2-as-raw", "backing-in-a-short-file"),
    # a small file that unfolds to fill the disk; unpacking has its tests in test_plugins.py
    "CVE-2013-2096": ("enormous", "a-petabyte", "as-large-as-a-number"),
    "CVE-2013-4463": ("enormous-vmdk", "a-petabyte-of-vhd", "a-petabyte-of-vdi", "a-petabyte-of-vhdx"),
    "CVE-2013-4469": ("enormous", "enormous-vmdk"),
    # raw bytes that begin like a format, for whoever guesses formats when he reads them again
    "CVE-2014-0134": ("qcow2-as-raw", "backing-in-a-raw-file-too-short-to-tell"),
    "CVE-2015-1850": ("hostile-qcow2-as-raw", "vdi-as-raw"),
    "CVE-2015-1851": ("hostile-qcow2-as-raw", "vhd-as-raw", "vhdx-as-raw"),
    "CVE-2015-7548": ("qcow2-as-raw", "hostile-qcow2-as-raw"),
    "CVE-2024-40767": (
        "bare-descriptor-as-raw",
        "bare-descriptor-with-odd-bytes-as-raw",
        "vmdk-as-raw",
        "qcow2-as-raw",
    ),
    "CVE-2026-24708": ("hostile-qcow2-as-raw", "data-file-in-a-raw-file"),
    # extents that are files of the host
    "CVE-2022-47951": (
        "flat-extent",
        "sparse-extent-elsewhere",
        "bare-descriptor",
        "vmdk-custom",
        "vmdk-extent-up-the-tree",
    ),
    # an external data file
    "CVE-2024-32498": ("data-file", "data-file-in-a-raw-file"),
    "CVE-2024-4467": ("data-file-by-json",),
}
"""Those of one file. CVE-2011-4596 (paths in an archive) and CVE-2015-5162 (what qemu-img may take) have tests of their own: here
below, and tests/core/test_qemu_img.py."""

HOSTILE = {**BAD, **MORE}


def test_every_cve_has_its_files() -> None:
    assert {name for names in CVES.values() for name in names} <= HOSTILE.keys()
    assert not BAD.keys() & MORE.keys()
    assert len(CVES) == 14


@pytest.mark.parametrize("piece", [MIB, 1000])
@pytest.mark.parametrize("name", sorted(MORE))
def test_it_is_refused_on_upload(cloud: ImageCloud, name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.services.image.resources.data.CHUNK", piece)
    refused_on_upload(cloud, MORE[name])


@pytest.mark.parametrize("name", sorted(MORE))
def test_it_is_not_imported(cloud: ImageCloud, name: str) -> None:
    not_imported(cloud, MORE[name])


SEEN_BY_THE_IMAGE_SERVICE = {name for name, (_, _, why) in HOSTILE.items() if "begins as" in why} | {
    *(
        "vhd-of-a-parent",
        "vdi-of-a-parent",
        "vdi-with-a-link",
        "vhdx-of-a-parent",
        "vhdx-without-metadata",
        "vmdk-of-no-size",
    ),
    *("qcow2-as-aki", "qcow2-as-ari", "qcow2-as-ploop", "luks-too-short-as-raw"),
}
"""A host loads kernels as they are, and its second look at the rest is coarser than the first."""


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - SEEN_BY_THE_IMAGE_SERVICE))
def test_a_host_that_was_given_it_would_not_take_it(name: str) -> None:
    disk_format, data, _ = HOSTILE[name]
    claim = {"id": "image-1", "disk_format": disk_format, "size": len(data), "virtual_size": MIB}
    image = msgspec.convert({**claim, "sha512": hashlib.sha512(data).hexdigest()}, BaseImage)
    kept: list[bytes] = []
    with pytest.raises(Impossible):
        verified(iter([data]), image, 16 << 40, kept.append)


@pytest.mark.parametrize("container_format", ["ova", "docker", "compressed"])
def test_an_archive_is_never_opened(cloud: ImageCloud, container_format: str) -> None:
    """CVE-2011-4596: a path in an archive leads out of the folder. Archives are kept as they are, and nothing boots of them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("../../../../etc/cron.d/evil", "/etc/passwd"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
        link = tarfile.TarInfo("disk.vmdk")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        archive.addfile(link)
    image = cloud.active(out.getvalue(), disk_format="vmdk", container_format=container_format)
    assert cloud.ask("GET", f"/image/v2/images/{image['id']}/file").body == out.getvalue()
    from support import PERSONAS

    with cloud.cloud.database.read() as session, pytest.raises(BadRequest, match="nothing boots"):
        bootable(session, PERSONAS["member"], image["id"])


@pytest.mark.parametrize(
    ("disk_format", "data", "size"),
    [
        ("vhdx", vhdx(), MIB),
        ("vmdk", vmdk(STREAM), MIB),
        ("ploop", b"WithoutFreeSpace".ljust(4096, b"\0"), None),
        ("vdi", at(vdi(MIB), 76, struct.pack("<I", 1)), MIB),
        ("vhd", at(vhd(MIB), 60, struct.pack(">I", 3)), MIB),
        ("raw", b"# a disk that begins with a comment", 35),
    ],
    ids=["vhdx", "vmdk-stream", "ploop", "vdi", "vhd", "raw"],
)
def test_the_innocent_pass(cloud: ImageCloud, disk_format: str, data: bytes, size: int | None) -> None:
    image = cloud.active(data, disk_format=disk_format)
    assert (image["status"], image["virtual_size"]) == ("active", size)
